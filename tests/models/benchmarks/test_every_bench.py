"""Every bench, and every table that one of its flags asks for, at its smallest: from the command line to a report as JSON."""

import contextlib
import io
import json
import shutil
import tempfile
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from portrait_diffusion.__main__ import commands
from portrait_diffusion.models.avatar.fitting import FitConfig
from portrait_diffusion.models.benchmarks import scale
from portrait_diffusion.models.benchmarks.projection.pairs import pairs
from portrait_diffusion.models.benchmarks.render.fitted import Fit
from portrait_diffusion.models.distillation.refinement import PRESETS as REFINEMENTS
from portrait_diffusion.models.distillation.restoration import RestorationConfig
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.fitting import photo_losses, sweep
from portrait_diffusion.models.fitting.baking import BakeConfig
from portrait_diffusion.models.fitting.inversion_config import PRESETS as INVERSIONS
from portrait_diffusion.models.fitting.inversion_config import InversionConfig
from portrait_diffusion.models.head import Head
from portrait_diffusion.models.metrics.back_face import BackFace
from portrait_diffusion.models.metrics.evaluate import shipped_judges
from portrait_diffusion.models.portrait import MeshConfig
from portrait_diffusion.models.synthetic.people.scans import scans_present
from portrait_diffusion.models.training.avatar_views import head_views

from ..avatar import small
from ..prior import pretend
from .body_stand_in import stand_in

BENCHES = commands("benchmarks")
ROOM = "portrait_diffusion.models.benchmarks"
STEP = InversionConfig(
    latent_steps=1,
    tuning_steps=1,
    detail_steps=1,
    sweep_steps=1,
    size=64,
    rays=64,
    coarse=4,
    fine=4,
    crop_every=0,
)
ITERATION = {
    "iterations": 1,
    "denoising_steps": 1,
    "rays": 64,
    "coarse": 4,
    "fine": 4,
    "size": 128,
    "views": 2,
    "resolution": 0,
}
MESH = partial(MeshConfig, resolution=24, texture_size=0)
RESTORED = partial(RestorationConfig, steps=1, size=16, seen=64, samples=4, rays=64)
BAKED = partial(BakeConfig, steps=1, size=64, rays=64, coarse=4, fine=4, crop_every=0)
SMALL_UNET = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
SMALL_VAE = scale.SD_VAE | {"block_out_channels": (32,) * 4, "layers_per_block": 1}


def in_this_process(name, *words):
    """The number that a bench prints last: a process of its own would first start torch."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        BENCHES[name](list(words))
    return max(
        1, int(printed.getvalue().split()[-1])
    )  # nothing is added to the peak of a process that has done so much


def once(work, *_, **__):
    """In place of a median of seconds."""
    work()
    return 1.0


def small_views(head, cameras):
    """As `bench turbo` looks at heads, at the size of these tests' exact views."""
    return head.render(cameras, 128, normals=False).rgb


@cache
def cascade_folder():
    """With a small cascade, and two of its variants."""
    folder = Path(tempfile.mkdtemp())
    base = small.files(folder)[1]
    for name in ("multi_scale", "naive"):
        shutil.copy(base, folder / f"avatar_base_{name}.safetensors")
    return folder


def small_cascade(kind):
    """As `shipped`."""
    return cascade_folder() / f"{kind}.safetensors"


SHOWN = {"turbo.methods.shown": small_views}
# Name, flags, what is made smaller.
CALLS = {
    "anny": (
        "--count 1 --heads SHEET-heads --sheet SHEET",
        {"anny.bench.SIZE": 32, "anny.bench.YAWS": (0,), "anny.bench.load_template": stand_in},
    ),
    "generator": ("--repeats 1", {"generator.SIZES": pretend.CONFIGS}),
    "heads": (
        "--count 1 --sheet SHEET",
        {"heads.SIZES": (16,), "heads.sheet": lambda path: path.write_bytes(b"")},
    ),
    "hpdm": ("--count 1 --steps 1 --sheet SHEET", {"hpdm.bench.ANGLES": (30,)}),
    "hpdm --robust": ("--count 1 --steps 1 --sheet SHEET", {"hpdm.robust.POOL": 1, "hpdm.robust.SIZE": 64}),
    "marks": (
        "--count 2 --sheet SHEET",
        {"marks.SIZES": (128,), "marks.UNMARKED": 2, "marks.FILMS": 1, "marks.FRAMES": 2}
        | {"marks.CROPPED": {"whole, cuts tried": lambda picture: picture}},
    ),
    "mvnrs": (
        "--count 1",
        {"mvnrs.bench.YAWS": (30,), "mvnrs.bench.ROWS": {"random": "random noise", "mvnrs": "MV-NRS"}}
        | {"mvnrs.bench.discriminator_score": lambda *_: 0.5},  # critics want 256 pixels
    ),
    "mvnrs --speed": ("--count 1", {"mvnrs.speed.median_seconds": once}),
    "mvnrs --targets": ("--count 1", {"mvnrs.targets.SHARES": (0.05,)}),
    "people": (
        "--count 1 --landmarks 2 --sheet SHEET",
        {"people.bench.VIEWS": 1, "people.bench.sheet": lambda *_: torch.zeros(3, 8, 8)},
    ),
    "photographs": (
        "--count 1 --sheet SHEET",
        {"photographs.photos.CROPS": {"whole": (0, 0, 512)}, "photographs.portraits.DELIVERED": MESH()}
        | {"photographs.figures.SIZE": 96, "photographs.figures.GLB_SIZE": 96}
        | {"photographs.figures.CELLS": 24, "photographs.figures.SIDES": (0, 90)},
    ),
    "pipeline": ("", {"pipeline.MeshConfig": MESH}),
    "portrait": (
        "--count 1 --iterations 1",
        {"portrait.stages.RestorationConfig": RESTORED, "portrait.stages.BakeConfig": BAKED},
    ),
    "portrait --robust": (
        "--count 1 --iterations 1 --sheet SHEET",
        {"hpdm.robust.POOL": 1, "portrait.robust.CASES": ("painted",), "portrait.robust.SIZE": 128}
        | {
            "portrait.stages.RestorationConfig": RESTORED,
            "portrait.stages.shipped_judges": lambda: replace(shipped_judges(), niqe=None),
        },
    ),
    "prior": (
        "--count 1 --few 1 --sheet SHEET",
        {"prior.oracle.ORACLE_STEPS": 1, "prior.oracle.FIT": FitConfig(rays=64, grid=16)},
    ),
    "prior --factory 3": (
        "--count 1 --few 1",
        {"prior.oracle.ORACLE_STEPS": 1, "prior.oracle.FIT": FitConfig(rays=64, grid=16)},
    ),
    "prior --backs 2": (
        "",
        {
            "prior.back_faces.SIZE": 64,
            "prior.back_faces.thresholds": lambda few: BackFace(few.colour.max(), few.relief.max()),
        },
    ),
    "projection": (
        "--count 1 --comfyui SHEET",
        {
            "projection.bench.ANGLES": (30,),
            "projection.noise.DRAWS": 2,
            "projection.bench.median_seconds": once,
        }
        | {"projection.bench.pairs": lambda seed, angle, _=0: pairs(seed, angle, 64)},
    ),
    "render": (
        "--sizes 8 --repeats 1 --fields tri-plane",
        {
            "render.bench.Fit": partial(Fit, views=6, size=32, steps=1, rays=64),
            "render.bench.told_by_process": in_this_process,
        },
    ),
    "restoration": (
        "--count 1 --steps 1",
        {
            "restoration.KINDS": ("doubled",),
            "restoration.OTHERS": 1,
            "restoration.AROUND": (90,),
            "restoration.QUICK": ("prior",),
        },
    ),
    "rodin --fit": (
        "--count 2 --steps 2 --visits 2 --seeds 1 --split validation --factory 2 --sheet SHEET",
        {"rodin.fitting.head_views": partial(head_views, count=3, unseen=1, size=64)},
    ),
    "rodin --generate": (
        "--count 2 --split validation --factory 2 --slow --refit --sheet SHEET",
        {
            "rodin.networks.shipped": small_cascade,
            "rodin.networks.variant_path": lambda name: small_cascade(f"avatar_base_{name}"),
            "rodin.methods.head_views": partial(head_views, count=3, unseen=1, size=64),
            "rodin.generation.COARSE_SIZE": 8,
            "rodin.people.ANGLES": ((0, 0), (30, 0)),
            "rodin.people.SIZE": 64,
            "rodin.generation.SIZE": 64,
            "rodin.generation.ON_SHEET": 1,
            "rodin.consistency.SIZE": 64,
            "rodin.consistency.FRAMES": 2,
            "rodin.consistency.COUNT": 3,
            "rodin.consistency.UNSEEN": 1,
            "rodin.consistency.RESOLUTION": 32,
            "rodin.consistency.REFIT": FitConfig(steps=2, rays=64, samples=8, grid=32),
        },
    ),
    "rodin --redundancy": (
        "--count 2 --factory 2",
        {"rodin.bench.cached_planes": lambda factory, count: torch.rand(count, 3, 16, 64, 64) - 0.5},
    ),
    "scale": (
        "",
        {"scale.SD_15": SMALL_UNET, "scale.SD_VAE": SMALL_VAE, "scale.REDUCED": scale.REDUCED | {"size": 64}},
    ),
    "texture": (
        "--count 1 --sheet SHEET",
        {
            "texture.photographed.SIZE": 128,
            "texture.bench.DELIVERED": MeshConfig(resolution=32, texture_size=128, photo=True),
        },
    ),
    "turbo": (
        "--count 2 --sheet SHEET",
        {"turbo.bench.SHARES": (0.1,), "turbo.bench.SIDES": (-90,), "turbo.methods.STEPS": 1} | SHOWN,
    ),
    "turbo --speed": (
        "",
        {
            "turbo.speed.median_seconds": once,
            "turbo.speed.WINDOWS": ((1, 64),),
            "turbo.speed.told_by_process": in_this_process,
        },
    ),
    "turbo --flicker": ("--count 1 --sheet SHEET", {"turbo.flicker.FRAMES": 3}),
    "turbo --bake": (
        "--count 1",
        {"turbo.bake.BakeConfig": BAKED, "turbo.bake.MeshConfig": MESH, "turbo.bake.shown": small_views}
        | SHOWN,
    ),
}


OF_SCANS = ("people", "prior --factory 3")
QUICK = ("anny", "generator", "heads")  # the others take minutes together


@pytest.fixture(scope="module", autouse=True)
def all_small(tmp_path_factory):
    """A cache of its own, heads of few and small views, one step of whatever is optimised."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setitem(INVERSIONS, "quick", STEP)
        for name, preset in REFINEMENTS.items():
            patch.setitem(REFINEMENTS, name, replace(preset, **ITERATION))
        patch.setattr(sweep, "CELLS", 48)
        patch.setattr(photo_losses, "HELD_SIZE", 16)
        patch.setattr(f"{ROOM}.exact_heads.SIZE", 128)
        patch.setattr(f"{ROOM}.exact_heads.YAWS", (0, 30, -30))
        patch.setattr(
            Head, "sampling", property(lambda head: RenderConfig(coarse=6, fine=6, white_back=True))
        )
        yield


def test_the_table_has_every_bench():
    assert {call.split()[0] for call in CALLS} == set(BENCHES)


@pytest.mark.parametrize(
    "call", [call if call in QUICK else pytest.param(call, marks=pytest.mark.whole) for call in CALLS]
)
def test_a_bench_writes_its_report(call, tmp_path, monkeypatch):
    if call in OF_SCANS and not scans_present():
        pytest.skip("the scan model is absent; PORTRAIT_DIFFUSION_SCANS names it")
    words, patches = CALLS[call]
    for name, value in patches.items():
        monkeypatch.setattr(f"{ROOM}.{name}", value)
    bench, *flags = call.split()
    sheet, report = tmp_path / "sheet.png", tmp_path / "report.json"
    threads = torch.get_num_threads()
    words = words.replace("SHEET", str(sheet)).split()
    BENCHES[bench]([*flags, *words, "--json", str(report), "--threads", "1"])
    assert torch.get_num_threads() == threads
    rows = json.loads(report.read_text())["rows"]
    assert rows and all(torch.tensor(row["value"]).isfinite() for row in rows)
    assert sheet.is_file() == (str(sheet) in words and bench != "projection")
