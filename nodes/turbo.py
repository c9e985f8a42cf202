"""Load turbo refiner, refine views: TurboPortrait3D's one step as nodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import comfy.model_management as mm
import torch
from comfy_api.latest import io

from ..models.checkpoint import shipped
from ..models.diffusion.denoiser import Conditioning, DiffusersDenoiser
from ..models.diffusion.difix import CONFIG as DIFIX_CONFIG
from ..models.diffusion.difix import PROMPT, read_difix
from ..models.diffusion.embedded import shipped_autoencoder, shipped_unet
from ..models.diffusion.schedule import stable_diffusion_schedule
from ..models.diffusion.temporal import SteadyConfig
from ..models.diffusion.temporal import steady as steadied
from ..models.diffusion.turbo import Turbo, refine_sequence
from ..models.diffusion.turbo_weights import load_turbo, refiner
from ..models.embedded import unet_of
from . import convert, loading
from .denoising import (
    ComfyDenoiser,
    autoencoder,
    check_text_model,
    diffusers_state,
    tokens_of,
    with_lora,
)
from .optimising import Progress
from .types import CATEGORY, TurboOnWire, TurboWire, seed_input

MEMORY_PER_PIXEL = 1300  # bytes of activations per pixel of a window's pictures, `bench turbo --speed`
CORE_MEMORY = 2178  # numbers per pixel that core reckons with in a VAE of Stable Diffusion's size


class LoadTurboRefiner(io.ComfyNode):
    """Weights -> PORTRAIT_TURBO."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionLoadTurboRefiner",
            display_name="Load Turbo Refiner",
            category=CATEGORY,
            description="Loads a one-step refiner of views (TurboPortrait3D). 'embedded' ships with the pack, base model included. "
            "A file of your own needs the MODEL and the VAE that it was trained on wired in, such as SD-Turbo's.",
            search_aliases=["turboportrait3d", "difix", "sd-turbo", "one step refiner", "lora"],
            inputs=[
                io.Combo.Input(
                    "refiner",
                    options=loading.refiner_files(),
                    default=loading.EMBEDDED,
                    tooltip="'embedded', a refiner from models/portrait_diffusion that `train turbo` wrote, or Difix' folder in models/diffusers.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The base of a refiner of yours: Stable Diffusion 1.x, 2.x or SD-Turbo.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="The base's VAE; needed together with model."),
                io.Conditioning.Input(
                    "prompt",
                    optional=True,
                    tooltip="Of Difix alone: 'remove degradation', CLIP-encoded by SD-Turbo's or Stable Diffusion 2.1's CLIP.",
                ),
            ],
            outputs=[TurboWire.Output(display_name="turbo", tooltip="For Refine Views.")],
        )

    @classmethod
    def validate_inputs(cls, refiner: str):
        # named here, so that what is said of a file that is missing is ours
        return loading.is_there(refiner, "turbo")

    @classmethod
    def fingerprint_inputs(cls, refiner, model=None, vae=None, prompt=None):
        path = loading.weights_path(refiner, "turbo")
        return [refiner, path.stat().st_mtime_ns, path.stat().st_size]

    @classmethod
    def execute(cls, refiner: str, model=None, vae=None, prompt=None) -> io.NodeOutput:
        path = loading.weights_path(refiner, "turbo")
        if loading.kind_of(path) == loading.DIFIX:
            with torch.inference_mode(False):
                return io.NodeOutput(difix(path, refiner, model, vae, prompt))
        if (model is None) != (vae is None):
            raise ValueError(
                "turbo refiner: expected model and vae together, or neither, got one of them; wire both of one checkpoint"
            )
        with torch.inference_mode(False):
            wire = embedded(path, refiner) if model is None else on_model(path, refiner, model, vae)
        return io.NodeOutput(wire)


def embedded(path: Path, name: str) -> TurboOnWire:
    """A refiner on the base that ships."""
    base, vae = shipped_unet(), shipped_autoencoder()
    weights = load_turbo(path, base.unet, vae)
    turbo = refiner(weights, base.unet, vae, base.denoiser().schedule)
    return wired(turbo, name, MEMORY_PER_PIXEL, unet_of(turbo.denoiser))


def on_model(path: Path, name: str, model, vae) -> TurboOnWire:
    """A refiner on a MODEL and a VAE.

    Raises:
        ValueError: the embedded refiner, or one of another base; a MODEL or VAE of another family.
    """
    if path == shipped("turbo"):
        raise ValueError(
            "turbo refiner: expected a refiner that was trained on the wired model, got the embedded one, which has a base of its own; "
            "unplug model and vae, or choose a file of yours"
        )
    weights = load_turbo(path, diffusers_state(model), autoencoder(vae))
    denoiser = ComfyDenoiser(with_lora(model, weights.unet))
    check_text_model(denoiser, inpainting=False)
    turbo = Turbo(
        denoiser=denoiser,
        vae=autoencoder(vae, weights.vae),
        conditioning=Conditioning(weights.tokens),
        skips=weights.skips,
    )
    return wired(turbo, name, CORE_MEMORY * mm.dtype_size(turbo.vae.dtype))


def difix(path: Path, name: str, model, vae, prompt) -> TurboOnWire:
    """Difix as a refiner, by its autoencoder's file: its UNet lies beside that, or is a MODEL.

    Raises:
        ValueError: no prompt, a VAE beside its own, or no UNet; or as `read_difix`.
    """
    if prompt is None:
        raise ValueError(
            f"difix: expected its prompt '{PROMPT}', got none; wire CLIP Text Encode with SD-Turbo's CLIP into prompt"
        )
    if vae is not None:
        raise ValueError(
            "difix: expected the autoencoder of its own file, which has skips, got a VAE beside it; unplug vae"
        )
    autoencoder, unet = read_difix(path)
    conditioning = Conditioning(tokens_of(prompt, "prompt"))
    modules = []
    if model is not None:
        denoiser = ComfyDenoiser(model)
        check_text_model(denoiser, inpainting=False)
    elif unet is not None:
        denoiser, modules = DiffusersDenoiser(unet, stable_diffusion_schedule()), [unet]
    else:
        raise ValueError(
            f"difix: expected its UNet beside {name}, as unet/{path.name} in the same folder, got none; copy Difix' folder whole into "
            "models/diffusers, or wire the UNet as model by Load Diffusion Model"
        )
    turbo = Turbo(
        denoiser=denoiser,
        vae=autoencoder.vae,
        conditioning=conditioning,
        skips=autoencoder.skips,
        config=DIFIX_CONFIG,
    )
    return wired(turbo, name, CORE_MEMORY * mm.dtype_size(turbo.vae.dtype), *modules)


def wired(turbo: Turbo, name: str, memory: int, *others: torch.nn.Module) -> TurboOnWire:
    """A refiner for the wire. Args: memory: bytes per pixel of a window's pictures. others: are moved with its autoencoder."""
    modules = [turbo.vae, *others] + ([] if turbo.skips is None else [turbo.skips])
    return TurboOnWire(turbo, name, loading.patcher(*modules), memory)


class RefineViews(io.ComfyNode):
    """IMAGE batch + reference -> IMAGE batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionRefineViews",
            display_name="Refine Views",
            category=CATEGORY,
            description="Refines views of one head in a single diffusion step, in which all views of a window and the reference see "
            "each other. Any images of one size serve, in neighbouring order.",
            search_aliases=["turboportrait3d", "one step", "img2img views", "enhance renders", "difix"],
            inputs=[
                TurboWire.Input("turbo", tooltip="From Load Turbo Refiner."),
                io.Image.Input(
                    "images", tooltip="Views to refine, from Render Views, Turntable, or any other node."
                ),
                io.Image.Input(
                    "reference",
                    tooltip="The person: the aligned portrait's image; a batch gives several references.",
                ),
                io.Float.Input(
                    "r",
                    default=0.1,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of noise in the views; 0 keeps what is there, more invents. The paper's is 0.1.",
                ),
                seed_input("noise", "pictures"),
                io.Int.Input(
                    "window",
                    default=6,
                    min=1,
                    max=256,
                    advanced=True,
                    tooltip="Views per step; fewer take less memory.",
                ),
                io.Int.Input(
                    "overlap",
                    default=2,
                    min=0,
                    max=255,
                    advanced=True,
                    tooltip="Views that neighbouring windows share and cross-fade; less than window.",
                ),
                io.Boolean.Input(
                    "loop",
                    default=False,
                    advanced=True,
                    tooltip="The last view is the first one's neighbour, as on a whole turn.",
                ),
                io.Float.Input(
                    "steady",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How far what the step adds is blended with the neighbouring views', against flicker. For frames of a video, "
                    "not for views far apart.",
                ),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="As many, of the same size.")],
        )

    @classmethod
    def execute(
        cls,
        turbo,
        images,
        reference,
        r: float,
        seed: int,
        window: int,
        overlap: int,
        loop: bool,
        steady: float,
    ) -> io.NodeOutput:
        views, references = convert.from_image(images), convert.from_image(reference)
        config = replace(turbo.turbo.config, window=window, overlap=min(overlap, window - 1), r=r)
        H, W = views.shape[-2:]
        memory = turbo.memory_per_pixel * H * W * (min(window, len(views)) + len(references))
        patchers, refiner = [turbo.patcher], replace(turbo.turbo, config=config)
        if isinstance(refiner.denoiser, ComfyDenoiser):
            rows = min(window, len(views)) + len(references)
            memory = max(memory, refiner.denoiser.memory(rows, max(H, W)))
            patchers += refiner.denoiser.patchers
            refiner = replace(refiner, denoiser=refiner.denoiser.loaded())
        mm.load_models_gpu(patchers, memory_required=memory)
        device = turbo.patcher.load_device
        progress = Progress(len(views))

        def after_window(count: int, total: int, latest: torch.Tensor) -> None:
            progress.update(count * len(views) // total, convert.to_pil(latest))

        pictures = refine_sequence(
            refiner,
            views.to(device),
            references.to(device),
            generator=torch.Generator().manual_seed(seed),
            loop=loop,
            callback=after_window,
        )
        return io.NodeOutput(
            convert.to_image(steadied(pictures, views.to(pictures), SteadyConfig(strength=steady), loop=loop))
        )
