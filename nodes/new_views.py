"""Load HPDM, generate view, generate ring: new views of a person that keep what the photo shows."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import comfy.model_management as mm
import torch
import torch.nn.functional as F
from comfy_api.latest import io

from ..models.camera import Camera
from ..models.diffusion.hpdm import Hpdm, check_fits, load_branches
from ..models.diffusion.new_views import Coarse, DiffusionModel, NewViewConfig, coarse_views, new_view, ring
from ..models.head import Head
from ..models.public_models import BRANCHES, where_to_get
from . import convert, loading
from .denoising import ComfyDenoiser
from .optimising import Progress
from .projection import one_camera, one_image
from .types import (
    CATEGORY,
    CamerasWire,
    DiffusionWire,
    HeadWire,
    HpdmOnWire,
    HpdmWire,
    guidance_input,
    seed_input,
    size_input,
)

ROWS = 2  # of the UNet's: with the prompt and without; more views at once are halved where memory is short


class LoadHPDM(io.ComfyNode):
    """Branches for a PORTRAIT_DIFFUSION -> PORTRAIT_HPDM."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionLoadHPDM",
            display_name="Load HPDM",
            category=CATEGORY,
            description="Loads the branches that tell a diffusion model what another view shows (Hybrid Priors Diffusion Model). "
            "'embedded' fits the diffusion model that ships; a file is one of 'train hpdm', or a BrushNet's for your model.",
            search_aliases=["hybrid priors", "brushnet", "inpainting branch", "portrait diffusion"],
            inputs=[
                DiffusionWire.Input("diffusion", tooltip="From Load View Diffusion."),
                io.Combo.Input(
                    "branches",
                    options=loading.hpdm_files(),
                    default=loading.EMBEDDED,
                    tooltip="'embedded', or branches of yours or a BrushNet file from models/portrait_diffusion or models/inpaint.",
                ),
            ],
            outputs=[
                HpdmWire.Output(
                    display_name="hpdm", tooltip="For Generate View, Generate Ring and Refine Head."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, branches: str):
        # named here, so that what is said of a file that is missing is ours
        return loading.is_there(branches, "hpdm")

    @classmethod
    def fingerprint_inputs(cls, branches, diffusion=None):
        return [branches, *loading.file_facts(loading.weights_path(branches, "hpdm"))]

    @classmethod
    def execute(cls, diffusion, branches: str) -> io.NodeOutput:
        if branches == loading.EMBEDDED and diffusion.name != loading.EMBEDDED:
            raise ValueError(
                f"hpdm: expected branches that were made for {diffusion.model.usage.name}, got the embedded ones, which fit the model that "
                f"ships; choose a BrushNet's. {where_to_get(BRANCHES)}"
            )
        with torch.inference_mode(False):
            network = load_branches(loading.weights_path(branches, "hpdm"))
            check_fits(network, diffusion.model.denoiser)
            return io.NodeOutput(HpdmOnWire(network, diffusion, branches, loading.patcher(network)))


def settings() -> list:
    """Inputs that both generating nodes have."""
    standard = NewViewConfig()
    return [
        io.Int.Input("steps", default=standard.steps, min=1, max=1000, tooltip="Denoising steps of a view."),
        guidance_input(
            optional=False,
            tooltip="How strongly the view's prompt counts; 1 halves the time, -1 is from the model.",
        ),
        io.Float.Input(
            "weight",
            default=standard.weight,
            min=0.0,
            max=2.0,
            step=0.05,
            tooltip="How strongly what is known counts (w^Ex); 0 ignores it.",
        ),
        io.Float.Input(
            "strength",
            default=standard.strength,
            min=0.05,
            max=1.0,
            step=0.01,
            tooltip="1 begins with noise and is often too dark; less begins with the head's own view and changes less of it.",
        ),
        io.Float.Input(
            "blend",
            default=standard.blend,
            min=0.0,
            max=0.25,
            step=0.005,
            tooltip="Share of the picture's side over which the picture that is known fades into what is drawn; 0 keeps what is drawn.",
        ),
        seed_input("noise", "pictures"),
    ]


def prepared(hpdm: HpdmOnWire, size: int) -> tuple[DiffusionModel, Hpdm]:
    """Diffusion model and branches on the device, for pictures of size x size. Call it last: loading anything else may move them away,
    and no call of the denoiser loads anything."""
    model = hpdm.diffusion.model
    patchers = [hpdm.diffusion.patcher, hpdm.patcher]
    memory = hpdm.diffusion.memory_per_pixel * size * size
    if isinstance(model.denoiser, ComfyDenoiser):
        patchers += model.denoiser.patchers
        memory = max(memory, model.denoiser.memory(ROWS, size))
        model = replace(model, denoiser=model.denoiser.loaded())
    mm.load_models_gpu(patchers, memory_required=memory)
    return model, hpdm.network


def rendered(head: Head, cameras: Camera, size: int) -> Coarse:
    """A head's coarse views, with progress; interrupts are noticed between chunks of rays."""
    progress = Progress(100)
    return coarse_views(
        head, cameras, size, callback=lambda done, total: progress.update(100 * done // total)
    )


def resized(picture: torch.Tensor, size: int) -> torch.Tensor:
    """A picture [3, S, S] at another size, [3, size, size]; at its own as it is."""
    if picture.shape[-1] == size:
        return picture
    return F.interpolate(picture[None], (size, size), mode="bilinear", antialias=True)[0].clamp(0, 1)


class GenerateView(io.ComfyNode):
    """A picture that knows -> new views."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionGenerateView",
            display_name="Generate View",
            category=CATEGORY,
            description="Draws new views of a person from one picture, told what it shows of them by the head's depth, and what the head's "
            "own view and normals are. With blend above 0, pixels that the picture shows are laid over what is drawn.",
            search_aliases=["novel view", "hpdm", "inpaint view", "view synthesis"],
            inputs=[
                HpdmWire.Input("hpdm", tooltip="From Load HPDM."),
                HeadWire.Input("head", tooltip="The person's head; its depth, renders and normals are used."),
                io.Image.Input(
                    "image", tooltip="One square picture of the person, such as the aligned portrait's."
                ),
                CamerasWire.Input("cameras", tooltip="The new views; each is drawn from the picture alone."),
                *settings(),
                CamerasWire.Input(
                    "source",
                    optional=True,
                    tooltip="The one camera that took the image; without it, that of the head's photo.",
                ),
                size_input(),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="One picture per camera, of the views' size."),
                io.Image.Output(display_name="projected", tooltip="What the picture told of each."),
                io.Mask.Output(display_name="void", tooltip="1 where it told nothing."),
            ],
        )

    @classmethod
    def execute(
        cls,
        hpdm,
        head,
        image,
        cameras,
        steps: int,
        guidance: float,
        weight: float,
        strength: float,
        blend: float,
        seed: int,
        source=None,
        size: int = 0,
    ) -> io.NodeOutput:
        usage = hpdm.diffusion.model.usage
        config = NewViewConfig(steps=steps, weight=weight, strength=strength, blend=blend)
        config = config.for_model(usage, guidance=guidance)
        picture, camera = one_image(image), one_camera(source, head)
        picture = resized(picture, usage.size_of(size, picture.shape[-1]))
        ready = loading.ready(head)
        device = ready.planes.device
        coarse = rendered(ready, camera.to(device).before(cameras.cameras), picture.shape[-1])
        photo = head.head.reference if source is None else None  # which may end where the head goes on
        driver = coarse.driving(0, picture.to(device), None if photo is None else photo.mask)
        model, network = prepared(hpdm, picture.shape[-1])
        draws = torch.Generator().manual_seed(seed)
        views = []
        count = len(coarse.rgb) - 1
        progress = Progress(count * steps)
        for i in range(1, count + 1):
            before = (i - 1) * steps
            step = partial(tick, progress, before)
            views.append(
                new_view(model, network, driver, coarse, i, generator=draws, config=config, callback=step)
            )
            progress.update(before + steps, convert.to_pil(views[-1].image))
        images = torch.stack([view.image for view in views])
        projections, explained = (
            torch.stack([getattr(view.projected, name) for view in views]) for name in ("image", "known")
        )
        return io.NodeOutput(
            convert.to_image(images), convert.to_image(projections), convert.to_mask(1 - explained)
        )


class GenerateRing(io.ComfyNode):
    """A head with its photo -> views all around."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionGenerateRing",
            display_name="Generate Ring",
            category=CATEGORY,
            description="Draws views all around a person, outward from the photo on both sides: each is drawn from its neighbour nearer to "
            "the photo. The cameras may come in any order.",
            search_aliases=["novel views", "hpdm", "multi-view", "view chain", "turnaround"],
            inputs=[
                HpdmWire.Input("hpdm", tooltip="From Load HPDM."),
                HeadWire.Input(
                    "head", tooltip="From Invert Portrait or Feed-Forward Head; it holds the photo."
                ),
                CamerasWire.Input(
                    "cameras",
                    tooltip="The views, at their size where the model is the one that ships, which knows 256 pixels.",
                ),
                *settings(),
                size_input(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images", tooltip="One picture per camera, in the cameras' order."
                ),
                io.Image.Output(display_name="renders", tooltip="The head's own views, for comparison."),
                io.Image.Output(display_name="sheet", tooltip="One picture: renders above, new views below."),
            ],
        )

    @classmethod
    def execute(
        cls,
        hpdm,
        head,
        cameras,
        steps: int,
        guidance: float,
        weight: float,
        strength: float,
        blend: float,
        seed: int,
        size: int = 0,
    ) -> io.NodeOutput:
        usage = hpdm.diffusion.model.usage
        config = NewViewConfig(steps=steps, weight=weight, strength=strength, blend=blend)
        config = config.for_model(usage, guidance=guidance)
        pixels = usage.size_of(size, cameras.size)
        ready = loading.ready(head)
        if ready.reference is None:
            raise ValueError(
                "new views: expected a head with its photo, got one without; use the head of Invert Portrait or Feed-Forward Head"
            )
        views = cameras.cameras.to(ready.planes.device)
        photo_first = ready.reference.to(ready.planes.device).camera.before(views)
        coarse = rendered(ready, photo_first, pixels)
        calls = 0
        model, network = prepared(hpdm, pixels)
        progress = Progress(len(views.cam2world) * steps)

        def after_view(count: int, total: int, latest: torch.Tensor) -> None:
            nonlocal calls
            calls = count * steps
            progress.update(calls, convert.to_pil(latest))

        pictures = ring(
            model,
            network,
            ready,
            views,
            pixels,
            generator=torch.Generator().manual_seed(seed),
            config=config,
            coarse=coarse,
            callback=after_view,
            step=lambda i, total: tick(progress, calls, i, total),
        )
        renders = coarse.rgb[1:].to(pictures)
        sheet = torch.cat([torch.cat(list(rows), -1) for rows in (renders, pictures)], -2)
        return io.NodeOutput(
            convert.to_image(pictures), convert.to_image(renders), convert.to_image(sheet[None])
        )


def tick(progress: Progress, before: int, calls: int, total: int) -> None:
    """After one of the denoiser's calls: progress, and the place where an interrupt is noticed."""
    progress.update(before + calls)
