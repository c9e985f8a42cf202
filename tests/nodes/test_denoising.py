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


def core_vae(neighbour, dtype):
    """As core's loader leaves it: tensors of inference mode, in some precision."""
    import torch

    with torch.inference_mode():
        vae = neighbour.small_vae()
        vae.first_stage_model.to(dtype)
        for parameter in vae.first_stage_model.parameters():
            parameter.data = parameter.data.clone()
        return vae


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_vae_is_there_once_and_gradients_run_through_it(neighbour, precision):
    import torch
    from portrait_diffusion.models.diffusion.autoencoder import encode
    from portrait_diffusion.nodes.denoising import autoencoder
    from portrait_diffusion.nodes.optimising import frozen, normally

    vae = core_vae(neighbour, getattr(torch, precision))
    theirs = {value.data_ptr() for value in vae.first_stage_model.state_dict().values()}
    with torch.inference_mode():
        ours = autoencoder(vae)
        with normally():
            shared = frozen(ours)
            assert shared is ours and ours.dtype == getattr(torch, precision)
            assert {value.data_ptr() for value in ours.state_dict().values()} == theirs
            image = torch.rand(1, 3, 32, 32, requires_grad=True)
            (gradient,) = torch.autograd.grad(encode(shared, image).square().sum(), image)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0


def test_a_lora_in_the_decoder_leaves_core_s_vae_as_it_is(neighbour):
    import torch
    from portrait_diffusion.models.diffusion.lora import Lora, Update
    from portrait_diffusion.nodes.denoising import autoencoder

    vae = core_vae(neighbour, torch.float32)
    before = vae.first_stage_model.decoder.conv_in.weight.clone()
    lora = Lora({"decoder.conv_in": Update(torch.ones(1, 4, 3, 3), torch.ones(64, 1, 1, 1), 1.0)})
    merged = autoencoder(vae, lora).decoder.conv_in.weight
    assert torch.equal(vae.first_stage_model.decoder.conv_in.weight, before)
    assert torch.equal(merged.detach(), before + 1)


def test_what_trains_or_came_from_inference_is_copied():
    import torch
    from portrait_diffusion.nodes.optimising import accepted, frozen
    from torch import nn

    still, learning = nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2)
    with torch.inference_mode():
        foreign = nn.Linear(2, 2).requires_grad_(False)
    assert accepted(still) and not accepted(learning) and not accepted(foreign)
    same, copy, other = frozen([still, learning, foreign])
    assert same is still and copy is not learning and other is not foreign


def test_patches_on_a_model_work_on(neighbour):
    """LoRAs (weights), as IP-Adapters do (attention), and wrappers: each changes the noise alone and all do together."""
    import torch
    from comfy.patcher_extension import WrappersMP
    from portrait_diffusion.models.diffusion.denoiser import Conditioning
    from portrait_diffusion.nodes.denoising import ComfyDenoiser

    g = torch.Generator().manual_seed(0)
    model = neighbour.small_model()
    weight = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
    shape = model.model.state_dict()[weight].shape
    calls = []

    def lora(patcher):
        patcher.add_patches({weight: ("diff", (torch.randn(shape, generator=g),))})

    def attention(queries, keys, values, options):
        """As an IP-Adapter's: something is added to what cross-attention says."""
        calls.append(options["block"])
        return torch.nn.functional.scaled_dot_product_attention(queries, keys, values) + 0.3

    def ip_adapter(patcher):
        patcher.set_model_attn2_replace(attention, "input", 1, 0)

    def wrapper(patcher):
        def doubled(executor, x, t, *rest, **named):
            return 0.9 * executor(x, t, *rest, **named)

        patcher.add_wrapper(WrappersMP.APPLY_MODEL, doubled)

    def function(patcher):
        patcher.set_model_unet_function_wrapper(
            lambda apply, call: 1.1 * apply(call["input"], call["timestep"], **call["c"])
        )

    z = torch.randn(2, 4, 8, 8, generator=g)
    told = Conditioning(torch.randn(2, neighbour.TOKENS, neighbour.WIDTH, generator=g))

    def noise(*patches, views=1):
        patcher = model.clone()
        for patch in patches:
            patch(patcher)
        return ComfyDenoiser(patcher).mixed(views)(z, torch.tensor([400, 400]), told)

    plain = noise()
    results = [noise(patch) for patch in (lora, ip_adapter, wrapper, function)]
    results += [noise(lora, ip_adapter, wrapper, function), noise(ip_adapter, views=2)]
    assert calls and all((result - plain).abs().max() > 1e-3 for result in results)
    assert all((a - b).abs().max() > 1e-4 for i, a in enumerate(results) for b in results[:i])
    assert torch.equal(noise(), plain)  # the MODEL itself stays as it is


def test_a_loop_loads_once(neighbour, monkeypatch):
    """Whatever its caller has loaded is not asked for again, call by call; by itself each call loads."""
    import comfy.model_management as mm
    import torch
    from portrait_diffusion.models.diffusion.denoiser import Conditioning
    from portrait_diffusion.nodes import loading, new_views
    from portrait_diffusion.nodes.types import HpdmOnWire

    from .test_places import diffusion

    loads = []
    honest = mm.load_models_gpu

    def load(models, *arguments, **named):
        loads.append((len(models), named.get("memory_required", 0)))
        return honest(models, *arguments, **named)

    monkeypatch.setattr(mm, "load_models_gpu", load)
    wire = diffusion(neighbour)
    network = torch.nn.Linear(1, 1).requires_grad_(False)
    hpdm = HpdmOnWire(network, wire, "x", loading.patcher(network))
    z, t = torch.zeros(1, 4, 8, 8), torch.tensor([400])
    told = Conditioning(torch.zeros(1, neighbour.TOKENS, neighbour.WIDTH))
    alone = [wire.model.denoiser(z, t, told) for _ in range(3)]
    assert len(loads) == 3
    loads.clear()
    model, _ = new_views.prepared(hpdm, 512)
    together = [model.denoiser(z, t, told) for _ in range(3)]
    assert [count for count, _ in loads] == [3]  # autoencoder, branches and MODEL at once
    assert loads[0][1] >= max(wire.memory_per_pixel * 512**2, model.denoiser.memory(2, 512))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_restoration_s_memory_grows_with_its_views(neighbour):
    from portrait_diffusion.models.diffusion.usage import SD_1, SD_2_V
    from portrait_diffusion.models.distillation.restoration import Guides, RestorationConfig
    from portrait_diffusion.nodes.diffusion import LoadViewDiffusion
    from portrait_diffusion.nodes.inversion import MEMORY
    from portrait_diffusion.nodes.restoration import memory_for, resident
    from portrait_diffusion.nodes.zero123 import LoadZero123

    from .test_places import diffusion

    wire = diffusion(neighbour)
    (zero123,) = LoadZero123.execute(
        neighbour.small_zero123(), neighbour.Tower(), neighbour.small_vae(), "from the model"
    ).result
    configs = [RestorationConfig().for_model(usage) for usage in (SD_1, SD_2_V)]
    alone, both = Guides(wire.model), Guides(wire.model, zero123.guide)
    numbers = [memory_for(wire, alone, config) for config in configs] + [memory_for(wire, both, configs[1])]
    assert MEMORY + configs[0].graph_bytes < numbers[0] < numbers[1] < numbers[2]
    (embedded,) = LoadViewDiffusion.execute().result
    assert memory_for(embedded, Guides(embedded.model), RestorationConfig()) == 2 * MEMORY
    guides, patchers = resident(both)
    assert guides.model.denoiser.resident and guides.zero123.network.resident and len(patchers) == 2
    assert not wire.model.denoiser.resident  # what is on the wire stays as it is
