"""One real ComfyUI for nearly all tests here, with the checkout installed under an ordinary name, and a client of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from portrait_diffusion.models.head import save_head
from portrait_diffusion.workflows.client import Client
from portrait_diffusion.workflows.server import Server

from ..models.mesh.conftest import gltf_issues as gltf_issues  # Khronos' validator
from ..models.small import head as small_head

HERE = Path(__file__).parent
PHOTO = HERE.parents[1] / "web" / "pictures" / "portrait.png"
FOLDER = "portrait-diffusion"


def prepare(base: Path) -> Path:
    """A base directory with the neighbouring pack and some input files, before a server starts on it."""
    (base / "custom_nodes").mkdir(parents=True)
    shutil.copy(HERE / "neighbour.py", base / "custom_nodes" / "neighbour.py")
    inputs = base / "input"
    inputs.mkdir()
    shutil.copy(PHOTO, inputs / "portrait.png")
    size = Image.open(PHOTO).size
    mask = Image.new("RGB", size)
    ImageDraw.Draw(mask).ellipse(
        [size[0] * 0.25, size[1] * 0.15, size[0] * 0.75, size[1] * 0.85], fill="white"
    )
    mask.save(inputs / "mask.png")
    Image.new("RGB", size).save(inputs / "black.png")
    Image.effect_noise(size, 60).convert("RGB").save(inputs / "noise.png")
    save_head(small_head(), inputs / "small.safetensors")
    return base


@pytest.fixture(scope="session")
def start(tmp_path_factory) -> Iterator[Callable[..., Server]]:
    """A function: options of `Server` -> a server on a prepared base directory (or on `base`), stopped at the end."""
    servers = []

    def begin(base: Path | None = None, **options) -> Server:
        servers.append(Server(base or prepare(tmp_path_factory.mktemp("comfy") / "base"), **options))
        return servers[-1]

    yield begin
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(start, stand_in) -> Server:
    """The server that nearly all tests share; on the CPU, as most machines that run tests; Ghostscript is a stand-in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", stand_in.environment["PATH"])
        return start(arguments=("--cpu",), name=FOLDER)


@pytest.fixture
def client(server) -> Client:
    """A client of `server`, which must still be there after the test."""
    yield Client(server.url)
    assert server.process.poll() is None, server.last_words()


@pytest.fixture(scope="session")
def head_tensors() -> Callable[[bytes], dict[str, torch.Tensor]]:
    """A function: bytes of a saved head -> its tensors."""
    from safetensors.torch import load

    return load
