"""Files in folders that are shared with other packs: BrushNet in models/inpaint, Difix in models/diffusers; what is not there is named."""

import pytest
import torch
from portrait_diffusion.models.checkpoint import save_tensors
from portrait_diffusion.models.diffusion.brushnet import Branch, BranchConfig

from .test_denoising import neighbour, said  # noqa: F401 - a fixture

SMALL = BranchConfig(channels=(32, 64, 128, 128))


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Private model folders, whose listing nobody has cached."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", {})
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    for name in ("inpaint", "diffusers", "portrait_diffusion"):
        (tmp_path / name).mkdir()
    return tmp_path


def diffusion(neighbour):  # noqa: F811
    from portrait_diffusion.nodes.diffusion import LoadViewDiffusion

    prompt = neighbour.small_prompt(1)
    wires = {"model": neighbour.small_model(), "vae": neighbour.small_vae()}
    return LoadViewDiffusion.execute(**wires, front=prompt, negative=prompt).result[0]


def test_a_brushnet_in_models_inpaint_is_listed_and_loaded(models, neighbour):  # noqa: F811
    import folder_paths
    from portrait_diffusion.nodes import loading
    from portrait_diffusion.nodes.new_views import LoadHPDM

    elsewhere = models / "elsewhere"
    elsewhere.mkdir()
    half = {key: value.half() for key, value in Branch(SMALL).state_dict().items()}
    save_tensors(models / "inpaint" / "random_mask" / "diffusion_pytorch_model.safetensors", half, {})
    save_tensors(models / "inpaint" / "lama.safetensors", {"a": torch.zeros(2)}, {})
    folder_paths.add_model_folder_path("inpaint", str(elsewhere))  # as extra_model_paths.yaml does
    save_tensors(elsewhere / "brushnet_random_mask_fp16.safetensors", half, {})
    own = [
        "inpaint/brushnet_random_mask_fp16.safetensors",
        "inpaint/random_mask/diffusion_pytorch_model.safetensors",
    ]
    assert loading.hpdm_files() == ["embedded", *own]
    for name in own:
        (wire,) = LoadHPDM.execute(diffusion(neighbour), name).result
        assert wire.network.implicit is None and next(wire.network.parameters()).dtype == torch.float16
    words = said(lambda: LoadHPDM.execute(diffusion(neighbour), "embedded"))
    assert "made for Stable Diffusion 1.x, got the embedded ones" in words
    assert (
        "brushnet_random_mask_fp16.safetensors (size: 1.24 GB; licence: Apache-2.0; published by TencentARC"
        in words
    )


@pytest.mark.parametrize("folder", ["inpaint", "portrait_diffusion"])
def test_a_file_that_is_not_there_is_named_with_where_it_comes_from(folder, models):
    import folder_paths
    from portrait_diffusion.nodes import loading

    name = "gone.safetensors" if folder == "portrait_diffusion" else "inpaint/gone.safetensors"
    loading.hpdm_files()
    folder_paths.add_model_folder_path(folder, str(models / "more"))
    words = said(lambda: loading.weights_path(name, "hpdm"))
    assert f"expected the file {name} in {models / folder} or {models / 'more'}, found none" in words
    assert "goes into models/inpaint, or a folder that extra_model_paths.yaml names inpaint" in words


def test_before_a_run_each_loader_names_the_file_that_is_missing(models):
    from portrait_diffusion.nodes.new_views import LoadHPDM
    from portrait_diffusion.nodes.prior import LoadHeadPrior
    from portrait_diffusion.nodes.turbo import LoadTurboRefiner

    words = LoadHeadPrior.validate_inputs("ffhqrebalanced512-128.pkl")
    assert (
        f"expected the file ffhqrebalanced512-128.pkl in {models / 'portrait_diffusion'}, found none" in words
    )
    assert "EG3D: ffhqrebalanced512-128.pkl (size: 378 MB; licence: NVIDIA non-commercial" in words
    assert "PanoHead" not in words and "SphereHead" in LoadHeadPrior.validate_inputs("another.pkl")
    assert "published by TencentARC" in LoadHPDM.validate_inputs("inpaint/gone.safetensors")
    assert "published by NVIDIA" in LoadTurboRefiner.validate_inputs("diffusers/gone")
    for loader in (LoadHeadPrior, LoadHPDM, LoadTurboRefiner):
        assert loader.validate_inputs("embedded") is True
        assert "expected the name of a file, got 5" in loader.validate_inputs(5)
    (models / "portrait_diffusion" / "mine.pkl").write_bytes(b"x")
    assert LoadHeadPrior.validate_inputs("mine.pkl") is True


def difix_folder(path):
    """Difix' layout with few channels."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from portrait_diffusion.models.diffusion.autoencoder import skips_for

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(64, 128),
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=(1, 2),
        use_linear_projection=True,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 64, 64),
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    state = vae.state_dict() | {f"decoder.{key}": value for key, value in skips_for(vae).state_dict().items()}
    weight = state.pop("decoder.conv_in.weight")
    lora = {"lora_A": torch.randn(4, 4, 3, 3), "lora_B": torch.randn(64, 4, 1, 1) * 0.1}
    state |= {f"decoder.conv_in.{side}.vae_skip.weight": factor for side, factor in lora.items()}
    state |= {
        "decoder.conv_in.base_layer.weight": weight,
        "decoder.conv_in.base_layer.bias": state.pop("decoder.conv_in.bias"),
    }
    name = "diffusion_pytorch_model.safetensors"
    save_tensors(
        path / "unet" / name, {key: value.contiguous() for key, value in unet.state_dict().items()}, {}
    )
    save_tensors(path / "vae" / name, {key: value.contiguous() for key, value in state.items()}, {})
    delta = 2 * torch.einsum("ra,ri...->ai...", lora["lora_B"][..., 0, 0].T, lora["lora_A"])
    return weight + delta


def test_difix_folder_is_a_refiner(models, neighbour):  # noqa: F811
    from portrait_diffusion.nodes import loading
    from portrait_diffusion.nodes.turbo import LoadTurboRefiner, RefineViews
    from torch.testing import assert_close

    merged = difix_folder(models / "diffusers" / "difix")
    (models / "diffusers" / "other" / "vae").mkdir(parents=True)
    assert loading.refiner_files() == ["embedded", "diffusers/difix"]
    prompt = neighbour.small_prompt(1)
    (wire,) = LoadTurboRefiner.execute("diffusers/difix", prompt=prompt).result
    assert_close(wire.turbo.vae.decoder.conv_in.weight.detach(), merged)
    assert wire.turbo.config.t == 199 and wire.turbo.skips is not None
    settings = {"seed": 0, "window": 1, "overlap": 0, "loop": False, "steady": 0.0}
    image, photo = torch.rand(2, 2, 32, 32, 3).unbind()
    (views,) = RefineViews.execute(wire, image, photo[:1], r=0.0, **settings).result
    assert views.shape == image.shape and views.isfinite().all() and not torch.equal(views, image)
    assert LoadTurboRefiner.fingerprint_inputs("diffusers/difix", prompt=prompt)


def test_what_difix_lacks_is_named(models, neighbour):  # noqa: F811
    from portrait_diffusion.nodes.turbo import LoadTurboRefiner

    difix_folder(models / "diffusers" / "difix")
    prompt = neighbour.small_prompt(1)
    words = said(lambda: LoadTurboRefiner.execute("diffusers/difix"))
    assert "expected its prompt 'remove degradation', got none; wire CLIP Text Encode" in words
    words = said(
        lambda: LoadTurboRefiner.execute("diffusers/difix", vae=neighbour.small_vae(), prompt=prompt)
    )
    assert "got a VAE beside it; unplug vae" in words
    (models / "diffusers" / "difix" / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    words = said(lambda: LoadTurboRefiner.execute("diffusers/difix", prompt=prompt))
    assert "expected its UNet beside diffusers/difix" in words and "copy Difix' folder whole" in words
    words = said(lambda: LoadTurboRefiner.execute("diffusers/gone", prompt=prompt))
    assert "NVIDIA non-commercial" in words and "diffusers/gone" in words


def test_no_name_leads_out_of_the_folders(models):
    from portrait_diffusion.nodes.places import shared_path

    name = "diffusion_pytorch_model.safetensors"
    for place in ("diffusers/difix", "outside"):
        save_tensors(models / place / "vae" / name, {"x": torch.zeros(1)}, {})
    assert shared_path("diffusers/difix") == models / "diffusers" / "difix" / "vae" / name
    for outside in ("../outside", f"{models}/outside", "difix/../../outside", "..", ""):
        assert shared_path(f"diffusers/{outside}") is None
    (models / "branches.safetensors").touch()
    assert shared_path("inpaint/../branches.safetensors") is None
