"""Small files that ask for much: each gets one sentence, soon, with little memory, and starts nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from portrait_diffusion.models.avatar.unet import BaseConfig
from portrait_diffusion.models.avatar.upsampler import UpsamplerConfig
from portrait_diffusion.models.diffusion.brushnet import BranchConfig
from portrait_diffusion.models.diffusion.embedded import AutoencoderConfig, UNetConfig
from portrait_diffusion.models.field.triplane import EG3D, FieldConfig
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.prior.eg3d import GeneratorConfig

from .hostile import CASES, write_all

HERE = Path(__file__).parent
SECONDS, MEBIBYTES = 5.0, 500.0


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, dict]:
    """What came of every file, from one process that loaded them all."""
    files = write_all(tmp_path_factory.mktemp("hostile"))
    cases = "".join(json.dumps([name, loader, str(path)]) + "\n" for name, (loader, path) in files.items())
    command = [sys.executable, str(HERE / "loading_child.py"), str(HERE.parent / "conftest.py")]
    done = subprocess.run(command, check=False, input=cases, capture_output=True, text=True, timeout=600)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(lines) == len(files), f"after {lines[-1:]}: {done.stderr[-2000:]}"
    return {line["name"]: line for line in lines}


@pytest.mark.whole
@pytest.mark.parametrize("name", CASES)
def test_one_sentence_soon_and_with_little_memory(name, outcomes):
    outcome, (_, _, words) = outcomes[name], CASES[name]
    assert outcome["error"] == "ValueError", outcome
    message = outcome["message"]
    assert len(message) < 900 and "\n" not in message and message.isprintable()
    assert [word for word in words if word not in message] == [], message
    assert ";" in message, f"what to do is missing: {message}"
    assert outcome["seconds"] < SECONDS
    assert outcome["mebibytes"] is None or outcome["mebibytes"] < MEBIBYTES
    assert outcome["started"] == []


def test_public_models_lie_within_the_bounds():
    planes = FieldConfig(plane_axes=EG3D, channels=32, depth=0, resolution=256, hidden=64, features=32)
    GeneratorConfig(
        field=planes,
        render=RenderConfig(near=2.25, far=3.3),
        mapping_layers=8,
        raw_resolution=128,
        sr_resolution=128,
    )
    GeneratorConfig(
        field=FieldConfig(channels=32, depth=3, resolution=256, hidden=64, features=32),
        mapping_layers=8,
        background=True,
        raw_rgb=True,
        camera_offset=True,
    )
    FieldConfig(channels=96, depth=0, resolution=512)
    for channels in ((320, 640, 1280, 1280), (320, 640, 1280)):
        BranchConfig(channels=channels)
        UNetConfig(
            channels=channels, heads=(8,) * len(channels), layers=2, groups=32, context=2048, tokens=77
        )
    BranchConfig(channels=(320, 640, 1280), added_time=256, added_text=1280)
    AutoencoderConfig(channels=(128, 256, 512, 512), layers=2, groups=32, scaling_factor=0.18215)
    BaseConfig()  # RodinHD's
    UpsamplerConfig()
