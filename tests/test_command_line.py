"""`python -m portrait_diffusion ...`: exit codes, one sentence for bad input, never a traceback."""

import subprocess
import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from PIL import Image
from portrait_diffusion.__main__ import commands, main
from portrait_diffusion.models import checkpoint, embedded
from portrait_diffusion.models.avatar.model import load_avatar
from portrait_diffusion.models.commands import doctor
from portrait_diffusion.models.commands import run as running
from portrait_diffusion.models.distillation.restoration import RestorationConfig
from portrait_diffusion.models.fitting.inversion import InversionConfig
from portrait_diffusion.models.head import load_head
from portrait_diffusion.models.portrait import MeshConfig

from .models.avatar import small as avatars
from .models.commands.test_run import readings


@pytest.fixture(scope="module")
def bad(tmp_path_factory, root):
    """A folder of files that are no photo of a person."""
    folder = tmp_path_factory.mktemp("bad")
    portrait = root / "web" / "pictures" / "portrait.png"
    (folder / "zero.jpg").touch()
    (folder / "cut.png").write_bytes(portrait.read_bytes()[:20_000])
    (folder / "words.jpg").write_text("this is not a picture")
    (folder / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(2000))
    (folder / "folder.jpg").mkdir()
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    Image.new("RGB", (256, 256)).save(folder / "nobody.png")
    Image.new("RGBA", (256, 256)).save(folder / "transparent.png")
    Image.new("RGB", (1, 1)).save(folder / "никто 誰.png")
    return folder


ROWS = {
    "zero bytes": (["zero.jpg"], ["photo: expected a picture", "0 bytes", "again"]),
    "cut off": (["cut.png"], ["photo: expected a whole picture", "cut off", "again"]),
    "not a picture": (["words.jpg"], ["photo: expected a picture", "words.jpg"]),
    "a video": (["film.mp4"], ["photo: expected a picture", "video"]),
    "a folder": (["folder.jpg"], ["photo: expected a picture file", "folder"]),
    "missing": (["nothing.jpg"], ["photo: expected a picture file", "does not exist", "check the path"]),
    "one pixel": (["dot.png"], ["at least 32x32", "1x1", "larger"]),
    "no face": (["nobody.png"], ["expected a photo with a visible face", "none", "crop"]),
    "all transparent": (["transparent.png"], ["expected"]),
    "one pixel, in another alphabet": (["никто 誰.png"], ["at least 32x32", "1x1"]),
    "a VGG16 that is a photo": (
        ["nobody.png", "--vgg", "words.jpg"],
        ["vgg: expected a .safetensors, .pth, .pt, .ckpt or .bin file", "words.jpg"],
    ),
    "no VGG16": (["nobody.png", "--vgg", "none.pth"], ["vgg: expected", "found none called none.pth"]),
    "out is a file": (
        ["nobody.png", "--out", "dot.png"],
        ["--out: expected a folder", "dot.png", "another name"],
    ),
}


WHOLE = ("all transparent",)  # every turn of the picture is searched; so it is of a black one


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.whole) if name in WHOLE else name for name in ROWS]
)
def test_run_says_what_is_wrong_in_one_line(name, bad, tmp_path, monkeypatch, capsys):
    arguments, words = ROWS[name]
    monkeypatch.chdir(bad)
    if "--out" not in arguments:
        arguments = [*arguments, "--out", str(tmp_path / "out")]
    assert main(["run", *arguments]) == 2
    message = capsys.readouterr().err
    print(f"| {name} | {message.strip()} |")
    assert [word for word in words if word not in message] == [], message
    assert message.startswith("portrait-diffusion run: ") and message.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "command"),
        (["fly"], "choose from"),
        (["bench", "nonsense"], "heads"),
        (["train", "nonsense"], "diffusion, encoder"),
        (["train"], "train needs one of"),
        (["run", "photo.jpg"], "--out"),
        (["run", "photo.jpg", "--out", "x", "--inversion", "slow"], "quick"),
        (["run", "photo.jpg", "--out", "x", "--seed", "a"], "--seed"),
        (["run", "photo.jpg", "--out", "x", "--mark", "red"], "visible"),
    ],
)
def test_wrong_words_are_answered_with_the_right_ones(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert words in message and "Traceback" not in message


@pytest.mark.parametrize("command", ["run", "fit", "convert", "doctor"])
def test_help_is_there(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0 and f"portrait-diffusion {command}" in capsys.readouterr().out


def test_trainings_and_benches_are_found():
    assert {"alignment", "prior", "encoder"} <= set(commands("training")) and {"heads", "pipeline"} <= set(
        commands("benchmarks")
    )


def test_doctor_prints_what_is_there(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for word in (
        "python",
        "torch",
        "scikit-image",
        "trimesh",
        "xatlas",
        "cpu",
        "accelerator",
        *(f"{kind}.safetensors" for kind in doctor.SHIPPED),
    ):
        assert word in text
    assert "->" not in text, "something is missing here"


def test_doctor_names_what_is_missing_and_the_remedy(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint, "WEIGHTS", tmp_path)
    (tmp_path / "prior.safetensors").write_bytes(b"PK" + bytes(20))
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert (
        "pickle" in text
        and "found none called encoder.safetensors" in text
        and text.count("->") == len(doctor.SHIPPED)
    )


def test_weights_that_do_not_fit_stop_run_in_one_line(tmp_path, monkeypatch, capsys, root):
    for kind in ("prior", "encoder", "discriminator", "alignment"):
        (tmp_path / f"{kind}.safetensors").write_bytes(checkpoint.shipped(kind).read_bytes()[:3000])
    monkeypatch.setattr(checkpoint, "WEIGHTS", tmp_path)
    assert main(["run", str(root / "web" / "pictures" / "portrait.png"), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "expected safetensors" in message and "copy the file again" in message and message.count("\n") == 1


@pytest.mark.whole
def test_the_module_is_the_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "portrait_diffusion", "run", "nothing.jpg", "--out", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert (
        done.stderr
        == "portrait-diffusion run: photo: expected a picture file, but nothing.jpg does not exist; check the path\n"
    )


@pytest.fixture
def coarse_mesh(monkeypatch):
    """Meshes of `run` are small."""
    monkeypatch.setattr(running, "DELIVERED", MeshConfig(resolution=56, texture_size=128, photo=True))


@pytest.mark.whole
@pytest.mark.usefixtures("coarse_mesh")
def test_run_writes_its_files(tmp_path, monkeypatch, root, capsys):
    """The main path without ComfyUI, with a few steps and a coarse mesh."""
    monkeypatch.setitem(
        running.PRESETS,
        "quick",
        InversionConfig(latent_steps=2, tuning_steps=2, detail_steps=2, sweep_steps=2, rays=256, size=64),
    )
    out = tmp_path / "моя голова"
    threads = torch.get_num_threads()
    assert (
        main(
            [
                "run",
                str(root / "web" / "pictures" / "portrait.png"),
                "--out",
                str(out),
                "--mark",
                "both",
                "--json",
                str(out / "report.json"),
            ]
        )
        == 0
    )
    assert torch.get_num_threads() == threads
    assert {path.name for path in out.iterdir()} == {
        "portrait.glb",
        "turntable.mp4",
        "views.png",
        "head.safetensors",
        "report.json",
    }
    assert Image.open(out / "views.png").size == (8 * 128, 2 * 128)
    for name in ("views.png", "turntable.mp4"):
        assert all(reading.present for reading in readings(out / name)), name
    assert "inversion" in capsys.readouterr().out


@pytest.mark.whole
def test_run_draws_an_avatar(tmp_path, monkeypatch, root, capsys):
    """`run --inversion avatar`, by a small model of random weights, in whose fog a surface lies low."""
    model = load_avatar(*avatars.files(tmp_path))
    monkeypatch.setattr(running, "avatar_on", model.to)
    monkeypatch.setattr(
        running,
        "DELIVERED",
        MeshConfig(resolution=40, texture_size=128, surface_density=0.5, photo=True),
    )
    photo, out = root / "web" / "pictures" / "portrait.png", tmp_path / "out"
    assert main(["run", str(photo), "--out", str(out), "--inversion", "avatar"]) == 0
    assert {path.name for path in out.iterdir()} == {
        "portrait.glb",
        "turntable.mp4",
        "views.png",
        "head.safetensors",
    }
    said = capsys.readouterr().out
    assert said.index("avatar ...") < said.index("mesh ...") and "pictures compared" not in said
    assert torch.equal(
        load_head(out / "head.safetensors").decoder.net[0].bias, model.shared.decoder.net[0].bias
    )


@pytest.mark.whole
@pytest.mark.usefixtures("coarse_mesh")
def test_run_restores_and_refines(root, tmp_path, monkeypatch, capsys):
    """`run --refine fast`, a step or an iteration of each stage."""
    inversion = {
        "latent_steps": 1,
        "tuning_steps": 1,
        "detail_steps": 1,
        "sweep_steps": 1,
        "rays": 256,
        "size": 64,
    }
    monkeypatch.setitem(running.PRESETS, "quick", replace(running.PRESETS["quick"], **inversion))
    refinement = {"iterations": 1, "views": 2, "denoising_steps": 1, "rays": 256, "size": 64}
    monkeypatch.setitem(running.REFINEMENTS, "fast", replace(running.REFINEMENTS["fast"], **refinement))
    short = partial(embedded.DistilledRefinement, restoration=RestorationConfig(steps=1))
    monkeypatch.setattr(embedded, "DistilledRefinement", short)
    photo = root / "web" / "pictures" / "portrait.png"
    assert main(["run", str(photo), "--out", str(tmp_path), "--refine", "fast"]) == 0
    said = capsys.readouterr().out
    assert said.index("geometry restoration ...") < said.index("refinement ...") < said.index("mesh ...")
    assert "  step 1 of 1  0 skipped" in said
    assert {path.name for path in tmp_path.iterdir()} == {
        "portrait.glb",
        "turntable.mp4",
        "views.png",
        "head.safetensors",
    }
