"""Modules under ComfyUI's memory management, and files in its folders."""

from pathlib import Path

import pytest
import torch
from portrait_diffusion.models import checkpoint

from ..models import small
from ..models.prior import pretend


@pytest.fixture(scope="module")
def loading():
    from portrait_diffusion.nodes import loading

    return loading


@pytest.fixture(scope="module")
def mm():
    import comfy.model_management

    return comfy.model_management


@pytest.mark.parametrize("state", ["NORMAL_VRAM", "LOW_VRAM", "NO_VRAM", "DISABLED"])
def test_a_head_renders_the_same_however_little_memory_there_is(state, loading, mm, monkeypatch):
    from portrait_diffusion.models.camera import orbit

    monkeypatch.setattr(mm, "vram_state", mm.VRAMState[state])
    monkeypatch.setattr(
        mm, "is_device_cpu", lambda device: False
    )  # as on an accelerator, whose state is taken seriously
    monkeypatch.setattr(mm, "get_free_memory", lambda *_, **__: (2**20, 2**20) if len(_) > 1 or __ else 2**20)
    camera = orbit(torch.tensor([0.3]), 0.1)
    with torch.inference_mode():
        head = small.head()
        expected = head.render(camera, 16).rgb
        wire = loading.wire_head(head)
        ready = loading.ready(wire, memory=2**30)
        assert torch.equal(ready.render(camera, 16).rgb, expected)
        assert all(value.device == wire.patcher.load_device for value in ready.generator.parameters())
    mm.unload_all_models()


def test_gradients_run_through_a_loaded_prior(loading, mm):
    from portrait_diffusion.nodes.optimising import normally, private

    with torch.inference_mode():
        prior = loading.load_prior(loading.EMBEDDED)
        mm.load_models_gpu([prior.patcher])
        with normally():
            generator = private(prior.generator)
            z = torch.zeros(1, generator.config.z_dim, requires_grad=True)
            generator.planes(generator.mapping(z)).square().mean().backward()
            assert z.grad.abs().sum() > 0
    mm.unload_all_models()


def test_the_user_s_folder_is_known_and_an_extra_path_comes_first(loading, monkeypatch, tmp_path):
    import folder_paths

    names = dict(folder_paths.folder_names_and_paths)
    names[loading.FOLDER] = ([str(tmp_path)], {".safetensors"})  # as extra_model_paths.yaml does
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", names)
    (tmp_path / "mine.safetensors").write_bytes(b"")
    (tmp_path / "mine.ckpt").write_bytes(b"")
    (tmp_path / "VGG16-mine.safetensors").write_bytes(b"")  # no prior
    assert loading.weight_files() == [loading.EMBEDDED, "mine.safetensors"]
    assert (
        folder_paths.get_folder_paths(loading.FOLDER)[0] == str(tmp_path)
        and len(folder_paths.get_folder_paths(loading.FOLDER)) == 2
    )
    loading.register_folder()
    assert len(folder_paths.get_folder_paths(loading.FOLDER)) == 2
    assert loading.weights_path("mine.safetensors", "prior") == tmp_path / "mine.safetensors"
    assert loading.weights_path(loading.EMBEDDED, "encoder") == checkpoint.shipped("encoder")


def test_the_user_s_vgg_is_found_and_told_apart(loading, monkeypatch, tmp_path):
    import folder_paths

    monkeypatch.setattr(folder_paths, "folder_names_and_paths", dict(folder_paths.folder_names_and_paths))
    folder_paths.folder_names_and_paths[loading.FOLDER] = ([str(tmp_path)], {".safetensors"})
    assert loading.vgg_file() is None and loading.file_facts(loading.vgg_file()) == []
    (tmp_path / "vgg16-397923af.pth").write_bytes(b"a")
    (tmp_path / "vgg19.safetensors").write_bytes(b"")
    (tmp_path / "vgg16.pt").write_bytes(b"")  # as a rule TorchScript
    assert loading.vgg_file() == tmp_path / "vgg16-397923af.pth"
    facts = loading.file_facts(loading.vgg_file())
    (tmp_path / "vgg16-397923af.pth").write_bytes(b"ab")
    assert loading.file_facts(loading.vgg_file()) != facts
    (tmp_path / "VGG16_features.safetensors").write_bytes(b"")
    assert loading.vgg_file() == tmp_path / "VGG16_features.safetensors"
    with pytest.raises(ValueError, match="vgg: expected safetensors"):
        loading.load_vgg_patcher(loading.vgg_file())


def test_the_user_s_judges_are_found_and_are_no_priors(loading, monkeypatch, tmp_path):
    import folder_paths
    from safetensors.torch import save_file

    monkeypatch.setattr(folder_paths, "folder_names_and_paths", dict(folder_paths.folder_names_and_paths))
    folder_paths.folder_names_and_paths[loading.FOLDER] = ([str(tmp_path)], {".safetensors"})
    assert loading.user_judges() == {}
    save_file(
        {"mu_prisparam": torch.zeros(1, 36), "cov_prisparam": torch.eye(36)},
        tmp_path / "niqe_standard.safetensors",
    )
    assert list(loading.user_judges()) == ["standard_niqe"] and loading.user_weights() == []
    (tmp_path / "arcface_r50.pth").write_bytes(b"")
    (tmp_path / "lpips_vgg.pth").write_bytes(b"")
    files = loading.judge_files()
    assert [None if path is None else path.name for path in files.values()] == [
        None,
        "lpips_vgg.pth",
        "arcface_r50.pth",
        "niqe_standard.safetensors",
    ]
    with pytest.raises(ValueError, match="lpips: "):
        loading.user_judges()


def test_contents_go_before_names(loading, monkeypatch, tmp_path):
    import folder_paths
    from safetensors.torch import save_file

    monkeypatch.setattr(folder_paths, "folder_names_and_paths", dict(folder_paths.folder_names_and_paths))
    folder_paths.folder_names_and_paths[loading.FOLDER] = ([str(tmp_path)], {".safetensors"})
    checkpoint.write(tmp_path / "vgg16-of-mine.safetensors", "prior", small.CONFIG, small.generator())
    (tmp_path / "prior.safetensors").write_bytes(checkpoint.shipped("turbo").read_bytes())
    (tmp_path / "face.safetensors").write_bytes(checkpoint.shipped("hpdm").read_bytes())
    save_file({"conv_in_condition.weight": torch.zeros(1)}, tmp_path / "diffusion_pytorch_model.safetensors")
    assert loading.user_weights() == ["vgg16-of-mine.safetensors"] and loading.vgg_file() is None
    assert loading.refiner_files() == [loading.EMBEDDED, "prior.safetensors"]
    assert sorted(loading.hpdm_files()[1:]) == ["diffusion_pytorch_model.safetensors", "face.safetensors"]


@pytest.fixture
def folder(loading, monkeypatch, tmp_path):
    import folder_paths

    monkeypatch.setattr(folder_paths, "folder_names_and_paths", dict(folder_paths.folder_names_and_paths))
    folder_paths.folder_names_and_paths[loading.FOLDER] = ([str(tmp_path)], {".safetensors"})
    return tmp_path


def test_of_several_the_one_that_is_called_so(loading, folder):
    weights = {"conv1.weight": torch.zeros(1), "layer1.0.prelu.weight": torch.zeros(1)}
    torch.save(weights, folder / "antelope.pth")
    assert loading.judge_files()["arcface"] == folder / "antelope.pth"
    torch.save(weights, folder / "arcface_r50.pth")
    assert loading.judge_files()["arcface"] == folder / "arcface_r50.pth"
    (folder / "antelope.pth").unlink()
    (folder / "aaa.pth").symlink_to(folder / "nowhere.pth")
    assert loading.judge_files()["arcface"] == folder / "arcface_r50.pth"


@pytest.mark.parametrize("family", ["eg3d", "panohead"])
def test_a_snapshot_is_listed_and_loaded(loading, folder, family):
    from portrait_diffusion.models.commands.doctor import weights
    from portrait_diffusion.nodes.prior import LoadHeadPrior

    made = pretend.make(family)
    pretend.write_snapshot(folder / "vgg16-or-so.pkl", made, family, folder / "ran", 3)
    assert loading.weight_files() == [loading.EMBEDDED, "vgg16-or-so.pkl"] and loading.vgg_file() is None
    prior = LoadHeadPrior.execute("vgg16-or-so.pkl").args[0]
    assert prior.generator.config == made.config and prior.encoder is None and prior.critic is None
    (finding,) = (f for f in weights([folder / "vgg16-or-so.pkl"]) if f.subject.endswith(".pkl"))
    assert finding.found.startswith(f"{family}, ")
    assert finding.remedy.startswith(
        "portrait-diffusion convert vgg16-or-so.pkl vgg16-or-so.safetensors makes 0."
    )
    (folder / "vgg16-or-so.pkl").write_bytes(b"cos\nsystem\n.")
    (finding,) = (f for f in weights([folder / "vgg16-or-so.pkl"]) if f.subject.endswith(".pkl"))
    assert "wants os system" in finding.found and finding.remedy and not (folder / "ran").exists()


def test_a_program_of_torch_s_is_no_vgg(loading, folder):
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(folder / "vgg16.pt"))
    assert loading.vgg_file() is None


def test_a_folder_s_name_tells_where_contents_do_not(loading, folder):
    (folder / "BrushNet").mkdir()
    (folder / "BrushNet" / "random_mask.safetensors").write_bytes(b"")
    assert len(loading.hpdm_files()) == 2 and loading.user_weights() == []


def test_output_files_are_numbered_inside_the_output_folder(loading):
    import folder_paths

    path, entry = loading.output_file("a/köpfe 頭", ".safetensors")
    assert path.parent == Path(folder_paths.get_output_directory()) / "a"
    assert (
        entry == {"filename": "köpfe 頭_00001_.safetensors", "subfolder": "a", "type": "output"}
        and path.name == entry["filename"]
    )
    path.touch()
    assert loading.output_file("a/köpfe 頭", ".safetensors")[1]["filename"] == "köpfe 頭_00002_.safetensors"


@pytest.mark.parametrize("prefix", ["../x", "a/../../x", "/etc/x", "", "  ", "..", "a/../.."])
def test_a_prefix_stays_inside(prefix, loading):
    with pytest.raises(
        ValueError, match=r"filename_prefix: expected a name inside the output folder, got .*; remove"
    ):
        loading.output_file(prefix, ".glb")


def test_a_prior_of_other_sizes_comes_without_encoder_and_critic(loading, tmp_path, monkeypatch):
    import folder_paths

    checkpoint.write(
        tmp_path / "other.safetensors", "prior", small.CONFIG, small.generator(), family="panohead"
    )
    monkeypatch.setattr(folder_paths, "get_full_path", lambda folder, name: str(tmp_path / name))
    prior = loading.load_prior("other.safetensors")
    assert (
        prior.encoder is None and prior.critic is None and prior.generator.config.z_dim == small.CONFIG.z_dim
    )
    embedded = loading.load_prior(loading.EMBEDDED)
    assert embedded.encoder is not None and embedded.critic is not None
