"""Fit head from views: IMAGE + MASK + PORTRAIT_CAMERAS -> PORTRAIT_HEAD; and portraits as such views."""

from __future__ import annotations

import comfy.model_management as mm
import torch
from comfy_api.latest import io

from ..models.avatar.fitting import FitConfig
from ..models.avatar.new_head import Beginning, from_head, from_nothing, from_shared, head_from_views
from ..models.avatar.shared_decoder import KIND, shared_decoder
from ..models.avatar.views import Views, views_of
from ..models.head import Head
from ..models.metrics.image import masked_psnr
from ..models.photo.alignment import AlignedPortrait
from . import convert, loading
from .inversion import MEMORY, picture
from .optimising import fingerprint, optimise, private
from .types import CATEGORY, AlignedWire, CamerasOnWire, CamerasWire, HeadWire, seed_input

ONE_COLOUR, UNKNOWN = "one colour", "unknown"
LEARNS = "learns with the head"
JUDGED, JUDGED_SIZE = 6, 128  # views that the text's figure is of, and their pixels


def fit_inputs() -> list:
    """What says how planes are fitted."""
    return [
        io.Int.Input(
            "steps",
            default=600,
            min=1,
            max=25_000,
            tooltip="Steps of the fit. 600 for a first look, 2000 for finer detail (RodinHD: 25000).",
        ),
        io.Int.Input(
            "resolution",
            default=256,
            min=32,
            max=512,
            step=16,
            tooltip="Texels along a plane's side; about as many as the images have pixels. More is finer and slower.",
        ),
        seed_input("first planes, first decoder and drawn rays", "head"),
    ]


def rays_input() -> io.Int.Input:
    """How many rays a step casts."""
    return io.Int.Input(
        "rays",
        default=2048,
        min=64,
        max=65_536,
        step=64,
        optional=True,
        advanced=True,
        tooltip="Rays of each step (RodinHD: 8192). More is steadier, and slower in proportion.",
    )


def decoder_input() -> io.Combo.Input:
    """What makes density and colour of the planes."""
    return io.Combo.Input(
        "decoder",
        options=[LEARNS, loading.EMBEDDED, *loading.files_of(KIND)],
        default=LEARNS,
        optional=True,
        advanced=True,
        tooltip="The nearest head has a decoder that learns with it. 'embedded', or a file that 'train avatar-decoder' wrote: one that all "
        "avatars share and that stays as it is (RodinHD's second stage), so that their planes can be compared, and learnt from.",
    )


def chosen_beginning(decoder: str, resolution: int, config: FitConfig) -> Beginning:
    """What a fit without a head to start from begins with.

    Raises:
        ValueError: there is no such decoder's file, or it is none.
    """
    if decoder == LEARNS:
        return from_nothing(resolution, config)
    with torch.inference_mode(False):
        return from_shared(shared_decoder(loading.weights_path(decoder, KIND)), resolution, config)


class FitHeadFromViews(io.ComfyNode):
    """A head of many views."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionFitHeadFromViews",
            display_name="Fit Head from Views",
            category=CATEGORY,
            description="Makes a head of several views of it, without a prior: of renders of any model, or of photos from several sides. "
            "A tri-plane and its decoder learn together (the second stage of RodinHD's fitting). An interrupted run goes on where it "
            "stopped when you run it again.",
            search_aliases=["multi-view reconstruction", "photogrammetry", "rodinhd", "tri-plane", "nerf"],
            inputs=[
                io.Image.Input("images", tooltip="Square views of one head, two or more."),
                CamerasWire.Input("cameras", tooltip="From where each was seen, in the order of the images."),
                *fit_inputs(),
                io.Combo.Input(
                    "background",
                    options=[ONE_COLOUR, UNKNOWN],
                    default=ONE_COLOUR,
                    tooltip="What the images show behind the head: the colour below, which is taken out of half-covered pixels, or "
                    "anything at all.",
                ),
                io.Color.Input(
                    "colour", default="#ffffff", tooltip="The one colour behind the head, where it is one."
                ),
                io.Mask.Input(
                    "masks",
                    optional=True,  # so that a missing one is told by a sentence that says where masks come from
                    tooltip="Needed: 1 where the head is, one for each image; from Render Views, Render Mesh Views, Portraits to Views.",
                ),
                rays_input(),
                HeadWire.Input(
                    "start",
                    optional=True,
                    tooltip="A head to begin with, as from Feed-Forward Head of one of the photos: for few views, since what none of them "
                    "shows stays as it is there. The planes have its resolution then.",
                ),
                decoder_input(),
            ],
            outputs=[
                HeadWire.Output(
                    display_name="head",
                    tooltip="For Render Views, Head to Mesh, Save Head, Refine Head. Its portrait is the view nearest to the front.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        images,
        cameras,
        steps: int,
        resolution: int,
        seed: int,
        background: str,
        colour: str,
        masks=None,
        rays: int = 2048,
        start=None,
        decoder: str = LEARNS,
    ) -> io.NodeOutput:
        config = FitConfig(steps=steps, rays=rays)
        if start is not None and decoder != LEARNS:
            raise ValueError(
                f"fit head: expected a head to start from or a decoder that all share, got both, start and {decoder!r}; "
                f"unplug start, or set decoder to {LEARNS!r}: a head that is known is read by its own"
            )
        known = None if start is None else loading.ready(start, memory=MEMORY)
        beginning = (
            chosen_beginning(decoder, resolution, config) if known is None else from_head(known, config)
        )
        behind = torch.tensor(convert.color(colour)) if background == ONE_COLOUR else None
        views = views_of(
            convert.from_image(images),
            None if masks is None else convert.from_mask(masks),
            cameras.cameras,
            beginning.field.box_side,
            background=behind,
        )
        device = mm.get_torch_device()
        mm.free_memory(MEMORY, device)

        def run(state, callback):
            draws = torch.Generator().manual_seed(seed)
            own = private(views).to(device)
            return head_from_views(own, private(beginning), generator=draws, state=state, callback=callback)

        head = optimise(run, fingerprint("fit head", views, beginning, seed), picture, steps)
        return io.NodeOutput(loading.wire_head(at_rest(head)), ui={"text": [fit_figure(head, views)]})


def at_rest(head: Head) -> Head:
    """The head with its portrait where ComfyUI keeps intermediate results."""
    portrait = None if head.reference is None else head.reference.to(mm.intermediate_device())
    return Head(head.planes, head.decoder, head.config, portrait)


def fit_figure(head: Head, views: Views) -> str:
    """How close the head is to some of the views that it was fitted to, in words."""
    pick = torch.linspace(0, len(views.mask) - 1, min(JUDGED, len(views.mask))).round().long()
    some = views[pick].to("cpu")
    own = head.render(some.cameras.to(head.planes.device), JUDGED_SIZE, normals=False).rgb.cpu()
    value = masked_psnr(own, some.on_white(), some.mask)
    return f"{len(views.mask)} views fitted: {value:.1f} dB inside the mask"


class PortraitsToViews(io.ComfyNode):
    """PORTRAIT_ALIGNED, several of one person -> IMAGE, MASK, PORTRAIT_CAMERAS."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionPortraitsToViews",
            display_name="Portraits to Views",
            category=CATEGORY,
            description="Several aligned photos of one person as views for Fit Head from Views: crops on white, masks, and the cameras "
            "that Align Portrait estimated.",
            search_aliases=["photos to cameras", "estimated cameras", "multi-view photos", "photogrammetry"],
            inputs=[
                AlignedWire.Input(
                    "aligned",
                    tooltip="From Align Portrait, which makes a list of a batch of photos, or of a list (Create List, Load Image (from "
                    "Folder)) of photos of several sizes.",
                )
            ],
            outputs=[
                io.Image.Output(
                    display_name="images", tooltip="The crops on white, all of the largest's size."
                ),
                io.Mask.Output(display_name="masks", tooltip="1 where the person is."),
                CamerasWire.Output(display_name="cameras", tooltip="As estimated from each photo."),
            ],
            is_input_list=True,
        )

    @classmethod
    def execute(cls, aligned: list[AlignedPortrait]) -> io.NodeOutput:
        size = max(portrait.image.shape[-1] for portrait in aligned)
        images = torch.stack([portrait.on_white_at(size) for portrait in aligned])
        masks = torch.stack([resized(portrait.mask, size) for portrait in aligned])
        cameras = CamerasOnWire(convert.joined([portrait.camera for portrait in aligned]), size)
        return io.NodeOutput(convert.to_image(images), convert.to_mask(masks), cameras)


def resized(mask: torch.Tensor, size: int) -> torch.Tensor:
    """A mask [1, S, S] at another size."""
    shape = (size, size)
    return torch.nn.functional.interpolate(mask[None], size=shape, mode="bilinear", antialias=True)[0]
