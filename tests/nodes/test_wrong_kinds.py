"""What every loader says of every kind of file or MODEL, without the network: opened, or one sentence that says what to do instead.

pytest -s tests/nodes/test_wrong_kinds.py     prints the tables
"""

import re
import shutil
import socket
from collections.abc import Callable, Mapping

import pytest
import torch
from portrait_diffusion.models.checkpoint import save_tensors, shipped
from portrait_diffusion.models.diffusion.brushnet import Branch, BranchConfig

from .test_denoising import neighbour, small  # noqa: F401 - a fixture
from .test_places import SMALL, difix_folder, models  # noqa: F401 - a fixture

OPENED = "opened"
OWN = ("prior", "encoder", "autoencoder", "diffusion", "turbo", "hpdm", "zero123", "restoration")
RAW = (
    "size mismatch",
    "Given groups",
    "shapes cannot be",
    "object has no attribute",
    "KeyError",
)  # torch's and Python's words
XL = BranchConfig(channels=(32, 64, 64), layers=2, added_time=256, added_text=1280)


@pytest.fixture
def offline(monkeypatch):
    """No socket can be opened, and no name looked up."""

    def refuse(*arguments, **named):
        raise AssertionError("the network was asked for something")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def test_a_socket_is_refused(offline):
    with pytest.raises(AssertionError, match="the network"):
        socket.create_connection(("127.0.0.1", 9))
    with pytest.raises(AssertionError, match="the network"), socket.socket() as plain:
        plain.connect(("127.0.0.1", 9))


def answers(loaders: Mapping[str, Callable], things: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """What each loader makes of each thing: OPENED, or its sentence. Printed as a table."""
    table: dict[str, dict[str, str]] = {}
    for thing, value in things.items():
        table[thing] = {}
        for loader, load in loaders.items():
            try:
                load(value)
                table[thing][loader] = OPENED
            except ValueError as error:
                table[thing][loader] = str(error)
    print()
    for thing, row in table.items():
        for loader, words in row.items():
            print(f"| {thing} | {loader} | {words} |")
    return table


def check(table: dict[str, dict[str, str]], opened: set[tuple[str, str]]) -> None:
    """Exactly these pairs (thing, loader) open; the others are told what was expected, what came, and what to do."""
    pairs = {
        (thing, loader) for thing, row in table.items() for loader, words in row.items() if words == OPENED
    }
    assert pairs == opened
    for row in table.values():
        for words in row.values():
            assert words == OPENED or (
                re.search(r"expected|is a pickle", words)
                and ";" in words
                and not any(raw in words for raw in RAW)
            ), words
            assert "\n" not in words and len(words) < 900, words


def files(folder) -> dict[str, str]:
    """One file of each kind in models/portrait_diffusion, by what it is; and Difix' folder in models/diffusers."""
    own = folder / "portrait_diffusion"
    for kind in OWN:
        shutil.copy(shipped(kind), own / f"{kind}.safetensors")
    branches = {"BrushNet": SMALL, "BrushNet XL": XL}
    states = {name: Branch(config).state_dict() for name, config in branches.items()}
    states["PowerPaint v2"] = states["BrushNet"] | {"down_blocks.0.attentions.0.norm.weight": torch.zeros(32)}
    states["VGG16"] = {f"features.{n}.weight": torch.zeros(1) for n in (0, 2, 5, 28)}
    states["anything"] = {"a": torch.zeros(2)}
    for name, state in states.items():
        save_tensors(own / f"{name}.safetensors", state, {})
    torch.save({"a": torch.zeros(2)}, own / "pickle.safetensors")
    (own / "empty.safetensors").write_bytes(b"")
    difix_folder(folder / "diffusers" / "difix")
    shutil.copy(
        folder / "diffusers" / "difix" / "vae" / "diffusion_pytorch_model.safetensors",
        own / "difix-vae.safetensors",
    )
    names = {f"{kind} (ours)": f"{kind}.safetensors" for kind in OWN}
    names |= {name: f"{name}.safetensors" for name in (*states, "pickle", "empty")}
    return names | {"Difix' folder": "diffusers/difix", "Difix' autoencoder alone": "difix-vae.safetensors"}


def test_every_loader_of_files_and_every_kind_of_file(models, neighbour, offline):  # noqa: F811
    from portrait_diffusion.nodes import loading
    from portrait_diffusion.nodes.diffusion import LoadViewDiffusion
    from portrait_diffusion.nodes.new_views import LoadHPDM
    from portrait_diffusion.nodes.turbo import LoadTurboRefiner

    prompt = neighbour.small_prompt(1)
    (embedded,) = LoadViewDiffusion.execute().result
    wires = {"model": neighbour.small_model(), "vae": neighbour.small_vae()}
    (wired,) = LoadViewDiffusion.execute(**wires, front=prompt, negative=prompt).result
    loaders = {
        "Load Head Prior": loading.load_prior,
        "Load Turbo Refiner": lambda name: LoadTurboRefiner.execute(name, prompt=prompt),
        "Load HPDM, embedded model": lambda name: LoadHPDM.execute(embedded, name),
        "Load HPDM, Stable Diffusion": lambda name: LoadHPDM.execute(wired, name),
    }
    opened = {
        ("prior (ours)", "Load Head Prior"),
        ("turbo (ours)", "Load Turbo Refiner"),
        ("Difix' folder", "Load Turbo Refiner"),
        ("hpdm (ours)", "Load HPDM, embedded model"),
        ("BrushNet", "Load HPDM, Stable Diffusion"),
    }
    check(answers(loaders, files(models)), opened)


def model_kinds(neighbour) -> dict[str, object]:  # noqa: F811
    """MODELs as core's loaders make them, but for their widths."""
    from comfy.model_base import ModelType

    xl = neighbour.small_model()
    xl.model.adm_channels = 2816
    xl.model.model_config.__class__ = __import__("comfy.supported_models", fromlist=["SDXL"]).SDXL
    return {
        "Stable Diffusion 1.x": neighbour.small_model(),
        "Stable Diffusion 2.x, v-prediction": neighbour.small_model(True, 4, ModelType.V_PREDICTION),
        "inpainting (9 channels)": small(neighbour, 9, "inpainting"),
        "Zero-123 (8 channels)": neighbour.small_zero123(),
        "InstructPix2Pix (8 channels)": small(neighbour, 8, "SD15_instructpix2pix"),
        "upscaler (7 channels)": small(neighbour, 7),
        "SDXL": xl,
        "a flow model": neighbour.small_model(False, 4, ModelType.FLOW),
    }


def test_every_loader_of_models_and_every_kind_of_model(neighbour, offline):  # noqa: F811
    from portrait_diffusion.nodes.diffusion import LoadViewDiffusion
    from portrait_diffusion.nodes.zero123 import LoadZero123

    prompt, vae = neighbour.small_prompt(1), neighbour.small_vae()
    view, zero123 = "Load View Diffusion", "Load Zero-123"
    loaders = {
        view: lambda model: LoadViewDiffusion.execute(model, vae, prompt, front=prompt),
        zero123: lambda model: LoadZero123.execute(model, neighbour.Tower(), vae, "from the model"),
    }
    opened = {
        ("Stable Diffusion 1.x", view),
        ("Stable Diffusion 2.x, v-prediction", view),
        ("inpainting (9 channels)", view),
        ("Zero-123 (8 channels)", zero123),
    }
    check(answers(loaders, model_kinds(neighbour)), opened)


def test_other_autoencoders_are_named(neighbour, offline):  # noqa: F811
    """TAESD's layout, and a VAE of video models'."""
    from types import SimpleNamespace

    from portrait_diffusion.nodes.denoising import autoencoder

    layouts = {
        "TAESD": {"taesd_encoder.0.weight": torch.zeros(4, 3, 3, 3)},
        "a video VAE": {"encoder.conv1.weight": torch.zeros(4, 3, 3, 3, 3)},
    }
    things = {
        name: SimpleNamespace(first_stage_model=SimpleNamespace(state_dict=lambda state=state: state))
        for name, state in layouts.items()
    }
    check(answers({"VAE": autoencoder}, things), set())
