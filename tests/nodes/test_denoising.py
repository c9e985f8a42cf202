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


def small(neighbour, channels: int, family: str = "SD15"):
    """A MODEL of some input channels, as core makes those of a family."""
    from comfy import supported_models

    if family == "Stable_Zero123":
        return neighbour.small_zero123()
    patcher = neighbour.small_model(in_channels=channels)
    if family == "inpainting":
        patcher.model.set_inpaint()
    elif family != "SD15":
        patcher.model.model_config.__class__ = getattr(supported_models, family)
    return patcher


def said(attempt) -> str:
    with pytest.raises(ValueError) as caught:
        attempt()
    return str(caught.value)


def test_an_inpainting_model_is_used_and_a_zero123_is_sent_elsewhere(neighbour):
    from portrait_diffusion.nodes.diffusion import on_model

    prompt, vae = neighbour.small_prompt(1), neighbour.small_vae()

    def wired(*kind):
        return on_model(small(neighbour, *kind), vae, {"front": prompt}, prompt)

    assert wired(9, "inpainting").inpaints and not wired(4).inpaints
    words = said(lambda: wired(8, "Stable_Zero123"))
    assert "got SD15, a Zero-123, 8 input channels; wire it into Load Zero-123" in words
    words = said(lambda: wired(8, "SD15_instructpix2pix"))
    assert "got SD15_instructpix2pix, 8 input channels; choose one of 4" in words
    assert "7 input channels" in said(lambda: wired(7))


def test_a_zero123_s_noise_is_the_same_as_core_s(neighbour):
    """Our conditioning through the contract, and core's own way: extra_conds and apply_model."""
    import torch
    from portrait_diffusion.models.camera import frontal, orbit
    from portrait_diffusion.models.diffusion.zero123 import known_picture, told_of
    from portrait_diffusion.nodes.zero123 import LoadZero123
    from torch.testing import assert_close

    patcher = named(small(neighbour, 8, "Stable_Zero123"), "stable_zero123.ckpt")
    (wire,) = LoadZero123.execute(patcher, neighbour.Tower(), neighbour.small_vae(), "from the model").result
    guide, g = wire.guide, torch.Generator().manual_seed(1)
    assert guide.stable and wire.guidance == 5.0
    picture = known_picture(guide, guide.vae, torch.rand(3, 64, 64, generator=g), frontal())
    yaw = torch.tensor([0.7])
    told, _ = told_of(guide, picture, orbit(yaw, torch.zeros(1)))
    z, t = torch.randn(1, 4, 8, 8, generator=g), torch.tensor([400])
    ours = guide.denoiser()(z, t, told)
    # core's StableZero123_Conditioning: polar difference, sine, cosine, polar angle
    camera = torch.tensor([[0.0, yaw.sin().item(), yaw.cos().item(), torch.pi / 2]])[:, None]
    tokens = torch.cat([picture.embedding, camera], -1)
    model = patcher.model
    sigma = model.model_sampling.sigmas[400][None]
    with torch.no_grad():
        token = model.cc_projection(tokens)
        x = z * (1 + sigma.square()).sqrt()
        clean = model.apply_model(x, sigma, c_concat=picture.latent, c_crossattn=token)
    assert_close(ours, (x - clean) / sigma, rtol=1e-3, atol=1e-4)


def test_the_kind_of_a_zero123_is_its_file_s_or_what_is_chosen(neighbour):
    from portrait_diffusion.nodes.zero123 import LoadZero123, kind_of_file

    names = ["zero123-xl.ckpt", "stable_zero123_c.ckpt", "zero123_105000_cc.ckpt", "mine.safetensors", ""]
    kinds = [kind_of_file(name) for name in names]
    assert kinds == ["Zero123-XL", "Stable-Zero123", "Zero123-XL", "Stable-Zero123", "Stable-Zero123"]
    patcher = named(small(neighbour, 8, "Stable_Zero123"), "stable_zero123.ckpt")
    (wire,) = LoadZero123.execute(patcher, neighbour.Tower(), neighbour.small_vae(), "Zero123-XL").result
    assert not wire.guide.stable and wire.guidance == 3.0 and wire.guide.name == "Zero123-XL"


def test_what_is_no_zero123_is_named(neighbour):
    from portrait_diffusion.nodes.zero123 import LoadZero123

    model = named(small(neighbour, 4), "v1-5-pruned-emaonly.safetensors")
    words = said(
        lambda: LoadZero123.execute(model, neighbour.Tower(), neighbour.small_vae(), "from the model")
    )
    assert "got SD15, of v1-5-pruned-emaonly.safetensors; choose such a file" in words
    zero123 = small(neighbour, 8, "Stable_Zero123")
    words = said(lambda: LoadZero123.execute(zero123, None, neighbour.small_vae(), "from the model"))
    assert "expected the CLIP_VISION of the same checkpoint, got none" in words
