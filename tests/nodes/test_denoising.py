"""MODELs behind the contract, without a server: what they are told to be by their layout, their prediction and their file's name."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def neighbour(comfyui):
    """Small MODELs and VAEs as core makes them."""
    path = Path(__file__).parents[1] / "comfy" / "neighbour.py"
    spec = importlib.util.spec_from_file_location("neighbour", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def named(patcher, file: str):
    """As core's loader notes where a MODEL comes from."""
    patcher.cached_patcher_init = (print, (f"/models/checkpoints/{file}", None), 0)
    return patcher


def test_a_model_is_used_as_it_was_trained(neighbour):
    from comfy.model_base import ModelType
    from portrait_diffusion.models.diffusion.usage import SD_1, SD_2, SD_2_V, TURBO
    from portrait_diffusion.nodes.denoising import ComfyDenoiser

    def usage(patcher):
        return ComfyDenoiser(patcher).usage

    two = neighbour.small_model(linear=True)
    assert usage(neighbour.small_model()) is SD_1 and usage(two) is SD_2
    assert usage(neighbour.small_model(True, 4, ModelType.V_PREDICTION)) is SD_2_V
    assert usage(named(two, "sd_turbo.safetensors")) is TURBO
    assert usage(named(two, "v2-1_512-ema-pruned.safetensors")) is SD_2


def test_the_wire_says_how_it_is_used(neighbour):
    from portrait_diffusion.models.diffusion.usage import EMBEDDED, SD_1, TURBO
    from portrait_diffusion.nodes.diffusion import LoadViewDiffusion

    prompt = neighbour.small_prompt(1)
    wires = {
        "model": neighbour.small_model(),
        "vae": neighbour.small_vae(),
        "negative": prompt,
        "front": prompt,
    }

    def usage(**inputs):
        return LoadViewDiffusion.execute(**inputs).result[0].model.usage

    assert usage() is EMBEDDED and usage(**wires) is SD_1
    assert usage(**wires, trained_as=TURBO.name) is TURBO
