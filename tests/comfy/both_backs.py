"""Run by test_denoising.py in a process of its own: the same weights behind both backs, in ComfyUI's core, on the CPU.

    both_backs.py COMFYUI_PATH

Prints one line of JSON: the greatest differences.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # whose conftest it is
sys.path.append(sys.argv.pop(1))  # at its end: ComfyUI, too, has a module `nodes`
from comfy.cli_args import args

args.cpu = True  # before model_management looks for devices

import comfy.model_base
import conftest  # noqa: F401  loads the checkout as portrait_diffusion
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from models.distillation.test_refinement import ball_head
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.diffusion.brushnet import Branch, BranchConfig
from portrait_diffusion.models.diffusion.denoiser import Conditioning, DiffusersDenoiser, guided
from portrait_diffusion.models.diffusion.hpdm import Hpdm, HpdmConfig, Priors, Warp, check_fits
from portrait_diffusion.models.diffusion.lora import (
    UNET_TARGETS,
    Lora,
    Update,
    fingerprint,
    merged,
    target_names,
)
from portrait_diffusion.models.diffusion.new_views import NewViewConfig, generate
from portrait_diffusion.models.diffusion.schedule import stable_diffusion_schedule
from portrait_diffusion.models.diffusion.stable_diffusion import unet_to_ldm, vae_to_ldm
from portrait_diffusion.models.diffusion.turbo import Turbo, refine_sequence
from portrait_diffusion.models.distillation.head_scene import RefineConfig
from portrait_diffusion.models.distillation.refinement import refine
from portrait_diffusion.models.distillation.restoration import Guides, RestorationConfig, restore_geometry
from portrait_diffusion.nodes.denoising import (
    ComfyDenoiser,
    autoencoder,
    diffusers_state,
    mix_views,
    with_lora,
)
from portrait_diffusion.nodes.diffusion import LoadViewDiffusion, on_model

spec = importlib.util.spec_from_file_location("neighbour", Path(__file__).with_name("neighbour.py"))
neighbour = importlib.util.module_from_spec(spec)
spec.loader.exec_module(neighbour)
HEADS, VIEWS = 8, 3
TOKENS, WIDTH = neighbour.TOKENS, neighbour.WIDTH


@cache
def diffusers_unet(in_channels=4, linear=False) -> UNet2DConditionModel:
    """Stable Diffusion 1.5 (with `linear` as 2.1) but for its widths."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        in_channels=in_channels,
        block_out_channels=(32, 64, 128, 128),
        cross_attention_dim=WIDTH,
        attention_head_dim=HEADS,
        use_linear_projection=linear,
    )
    return unet.eval().requires_grad_(False)


@cache
def core_model(unet: UNet2DConditionModel, model_type=comfy.model_base.ModelType.EPS):
    """The same network and weights as core's loaders make it."""
    patcher = neighbour.small_model(unet.config.use_linear_projection, unet.config.in_channels, model_type)
    patcher.model.diffusion_model.load_state_dict(unet_to_ldm(unet.state_dict()))
    return patcher


def inputs(rows: int, seed: int = 1, beside: int = 0) -> tuple[torch.Tensor, torch.Tensor, Conditioning]:
    g = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, 4, 8, 8, generator=g)
    concat = torch.randn(rows, beside, 8, 8, generator=g) if beside else None
    t = torch.tensor([0, 400, 999, 37, 801, 399])[:rows]
    return z, t, Conditioning(torch.randn(rows, TOKENS, WIDTH, generator=g), concat)


def apart(a, b) -> float:
    return ((a - b).abs().max() / b.abs().max().clamp(min=1)).item()


def random_lora(unet) -> Lora:
    g, updates = torch.Generator().manual_seed(2), {}
    for name in target_names(unet, UNET_TARGETS):
        weight = unet.get_submodule(name).weight
        a = torch.randn(3, *weight.shape[1:], generator=g) * 0.05
        updates[name] = Update(
            a, torch.randn(len(weight), 3, *[1] * (weight.ndim - 2), generator=g) * 0.05, 2.0
        )
    return Lora(updates)


def core_vae():
    """Stable Diffusion's autoencoder but for its widths, as core has it, with diffusers' first weights."""
    torch.manual_seed(1)
    made = AutoencoderKL(
        block_out_channels=(32, 64, 64, 64),
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    core = neighbour.small_vae()
    core.first_stage_model.load_state_dict(vae_to_ldm(made.state_dict()))
    return core


def unets(found: dict[str, float]) -> None:
    for name, unet in (("sd15", diffusers_unet()), ("sd21", diffusers_unet(linear=True))):
        ours, core = DiffusersDenoiser(unet, stable_diffusion_schedule()), ComfyDenoiser(core_model(unet))
        z, t, told = inputs(6)
        found[name] = apart(core(z, t, told), ours(z, t, told))
        found[f"{name} mixed"] = apart(core.mixed(VIEWS)(z, t, told), ours.mixed(VIEWS)(z, t, told))
        found[f"{name} not mixed after mixing"] = apart(core(z, t, told), ours(z, t, told))
        found[f"{name} what mixing does"] = apart(ours.mixed(VIEWS)(z, t, told), ours(z, t, told))
        assert "patches" not in core.patcher.model_options["transformer_options"], (
            "the MODEL itself was patched"
        )
    z, t, told = inputs(3)
    other = inputs(3, 5)[2]
    ours, core = DiffusersDenoiser(unet, stable_diffusion_schedule()).mixed(3), core.mixed(3)
    found["guided, mixed"] = apart(guided(core, z, t, told, other, 5.0), guided(ours, z, t, told, other, 5.0))


def kinds(found: dict[str, float]) -> None:
    """v-prediction, latents beside, a LoRA."""
    unet = diffusers_unet()
    z, t, told = inputs(6)
    v = core_model(unet, comfy.model_base.ModelType.V_PREDICTION)
    found["v-prediction"] = apart(
        ComfyDenoiser(v)(z, t, told),
        DiffusersDenoiser(unet, stable_diffusion_schedule("v_prediction"))(z, t, told),
    )
    model, lora = core_model(unet), random_lora(unet)
    adapted = DiffusersDenoiser(merged(unet, lora), stable_diffusion_schedule())
    found["lora"] = apart(ComfyDenoiser(with_lora(model, lora))(z, t, told), adapted(z, t, told))
    found["what the lora does"] = apart(
        adapted(z, t, told), DiffusersDenoiser(unet, stable_diffusion_schedule())(z, t, told)
    )
    assert fingerprint(diffusers_state(model)).same(fingerprint(unet)), (
        "the MODEL is not recognised as the LoRA's base"
    )
    wide = diffusers_unet(in_channels=8)
    z, t, told = inputs(2, beside=4)
    found["beside"] = apart(
        ComfyDenoiser(core_model(wide))(z, t, told),
        DiffusersDenoiser(wide, stable_diffusion_schedule())(z, t, told),
    )


def injections(found: dict[str, float]) -> None:
    """A branch's features, alone and in views that see each other."""
    unet, (z, t, told) = diffusers_unet(), inputs(6)
    branch = Branch(BranchConfig(channels=(32, 64, 128, 128)))
    g = torch.Generator().manual_seed(6)
    for conv in branch.zero_convolutions():
        conv.weight.copy_(torch.randn(conv.weight.shape, generator=g) * 0.1)
    features = branch(z, t, torch.randn(6, 5, 8, 8, generator=g))
    ours, core = DiffusersDenoiser(unet, stable_diffusion_schedule()), ComfyDenoiser(core_model(unet))
    found["injected"] = apart(core.told(features)(z, t, told), ours.told(features)(z, t, told))
    found["injected, mixed"] = apart(
        core.told(features).mixed(VIEWS)(z, t, told), ours.told(features).mixed(VIEWS)(z, t, told)
    )
    found["what injection does"] = apart(ours.told(features)(z, t, told), ours(z, t, told))
    found["injected and not any more"] = apart(core(z, t, told), ours(z, t, told))


def branches() -> Hpdm:
    """For such a UNet, with nothing left at zero."""
    torch.manual_seed(7)
    network = Hpdm(HpdmConfig(branch=BranchConfig(channels=(32, 64, 128, 128)))).eval().requires_grad_(False)
    g = torch.Generator().manual_seed(8)
    for parameter in network.parameters():
        if not parameter.any():
            parameter.copy_(torch.randn(parameter.shape, generator=g) * 0.02)
    return network


def new_views(found: dict[str, float]) -> None:
    """Whole views by HPDM, as Load View Diffusion and Load HPDM wire them: prompts by view, all three priors, guidance."""
    unet, vae, cameras = diffusers_unet(), core_vae(), orbit(torch.tensor([0.3, 1.2]), torch.zeros(2))
    network, g = branches(), torch.Generator().manual_seed(8)
    index = {
        (side, side): torch.randint(-1, side * side, (2, side, side), generator=g) for side in (8, 4, 2, 1)
    }
    latents = [torch.randn(2, channels, 8, 8, generator=g) for channels in (4, 8, 4)]
    priors = Priors(latents[0], (latents[0][:, :1] > 0).float(), latents[1], latents[2], Warp(indices=index))
    renders, config = torch.rand(2, 3, 64, 64, generator=g), NewViewConfig(steps=3, guidance=2.0)
    for name, model_type, prediction in (
        ("new view", "EPS", "epsilon"),
        ("new view, v-prediction", "V_PREDICTION", "v_prediction"),
    ):
        patcher = core_model(unet, getattr(comfy.model_base.ModelType, model_type))
        core = on_model(
            patcher,
            vae,
            {"front": neighbour.small_prompt(1), "side": neighbour.small_prompt(2)},
            neighbour.small_prompt(3),
        )
        ours = replace(core, denoiser=DiffusersDenoiser(unet, stable_diffusion_schedule(prediction)))
        check_fits(network, core.denoiser)
        shown = [
            generate(
                model,
                network,
                priors,
                cameras,
                renders,
                generator=torch.Generator().manual_seed(9),
                config=config,
            )
            for model in (core, ours)
        ]
        found[name] = apart(*shown)
    alone = generate(
        ours, None, priors, cameras, renders, generator=torch.Generator().manual_seed(9), config=config
    )
    found["what branches do"] = apart(shown[1], alone)


@torch.inference_mode(False)
def heads(found: dict[str, float]) -> None:
    """Restoration and refinement of a head, as their nodes run them: gradients through the autoencoder, none through the UNet."""
    unet, head, network = diffusers_unet(), ball_head(), branches()
    core = on_model(
        core_model(unet), core_vae(), {"front": neighbour.small_prompt(1)}, neighbour.small_prompt(3)
    )
    ours = replace(core, denoiser=DiffusersDenoiser(unet, stable_diffusion_schedule()))
    restoring = RestorationConfig(steps=2, size=16, seen=64, samples=8, rays=32, picture=0.0)
    refining = RefineConfig(
        iterations=2, denoising_steps=2, size=64, views=3, rays=64, guidance=2.0, coarse=8, fine=8
    )

    def draws() -> torch.Generator:
        return torch.Generator().manual_seed(10)

    restored = [
        restore_geometry([head], Guides(model), restoring, generator=draws())[0][0].planes
        for model in (core, ours)
    ]
    refined = [
        refine(head, model, network, refining, generator=draws()).head.planes for model in (core, ours)
    ]
    found["restored"], found["head refined"] = apart(*restored), apart(*refined)
    found["what restoration does"], found["what refinement does"] = (
        apart(restored[0], head.planes),
        apart(refined[0], head.planes),
    )


def vaes(found: dict[str, float]) -> None:
    core, unet = core_vae(), diffusers_unet()
    vae = autoencoder(core)
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1
    latents = vae.encode(image).latent_dist.mode()
    encoded = core.first_stage_model.quant_conv(core.first_stage_model.encoder(image)).chunk(2, 1)[0]
    found["vae encodes"] = apart(latents, encoded)
    found["vae decodes"] = apart(vae.decode(latents).sample, core.first_stage_model.decode(latents))
    told, results = inputs(1)[2], []
    for denoiser in (ComfyDenoiser(core_model(unet)), DiffusersDenoiser(unet, stable_diffusion_schedule())):
        turbo = Turbo(denoiser=denoiser, vae=vae, conditioning=told)
        views, reference = torch.rand(2, 3, 2, 3, 40, 32, generator=torch.Generator().manual_seed(4))[
            :, 0
        ].unbind()
        results.append(
            refine_sequence(turbo, views, reference[:1], generator=torch.Generator().manual_seed(5))
        )
    found["refined"] = apart(*results)


def refusals() -> list[str]:
    """What is said of a model of another family and of a batch that is not whole groups."""
    said = []
    z, t, told = inputs(4)
    patcher = core_model(diffusers_unet())
    flow = core_model(diffusers_unet(), comfy.model_base.ModelType.FLOW)
    for attempt in (
        lambda: ComfyDenoiser(flow),
        lambda: ComfyDenoiser(patcher, 3)(z, t, told),
        lambda: mix_views(patcher, 3) and None,
        lambda: LoadViewDiffusion.execute(
            flow, core_vae(), neighbour.small_prompt(0), front=neighbour.small_prompt(1)
        ),
        lambda: LoadViewDiffusion.execute(patcher, core_vae(), [], front=neighbour.small_prompt(1)),
    ):
        try:
            attempt()
        except ValueError as error:
            said.append(str(error))
    return said


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    found: dict[str, float] = {}
    with torch.inference_mode():
        for measure in (unets, kinds, injections, new_views, heads, vaes):
            measure(found)
        said = refusals()
    print(json.dumps({"apart": found, "said": said}))
