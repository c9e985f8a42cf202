"""The pack's wires, each declared once."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from comfy_api.latest import InputImpl, Types, io

from ..models.avatar.model import AvatarModel
from ..models.camera import Camera
from ..models.diffusion.hpdm import Hpdm
from ..models.diffusion.new_views import DiffusionModel
from ..models.diffusion.turbo import Turbo
from ..models.diffusion.usage import MOST, WHOLE
from ..models.diffusion.zero123 import PublicZero123
from ..models.head import Head
from ..models.photo.alignment import AlignedPortrait
from ..models.prior.contract import HeadGenerator
from ..models.prior.discriminator import Discriminator
from ..models.prior.encoder import PortraitEncoder

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

CATEGORY = "portrait diffusion"


@dataclass(frozen=True)
class PriorOnWire:
    """PORTRAIT_PRIOR: a head prior, the encoder that starts its inversions and the critic that they hear.

    Attributes:
        generator, encoder, critic: frozen, in float32; the latter two None where the pack's do not fit the generator. name: of the file, for people. patcher: holds all, moves them together.
    """

    generator: HeadGenerator
    encoder: PortraitEncoder | None
    critic: Discriminator | None
    name: str
    patcher: ModelPatcher


@dataclass(frozen=True)
class HeadOnWire:
    """PORTRAIT_HEAD: one head, on the intermediate device.

    Attributes:
        head: planes, decoder, config, reference, latents, tuned generator. patcher: holds its modules.
    """

    head: Head
    patcher: ModelPatcher


@dataclass(frozen=True)
class CamerasOnWire:
    """PORTRAIT_CAMERAS: N cameras and the images' size in pixels (square)."""

    cameras: Camera
    size: int


@dataclass(frozen=True)
class TurboOnWire:
    """PORTRAIT_TURBO: a refiner whose LoRA is merged into the diffusion model that it was trained on.

    Attributes:
        turbo: denoiser, autoencoder, prompt, skips. name: of the file, for people. patcher: holds what a MODEL does not.
        memory_per_pixel: bytes that a pixel of a window's pictures needs.
    """

    turbo: Turbo
    name: str
    patcher: ModelPatcher
    memory_per_pixel: int


@dataclass(frozen=True)
class DiffusionOnWire:
    """PORTRAIT_DIFFUSION: a diffusion model that knows from where a head is seen.

    Attributes:
        model: denoiser, autoencoder, prompts by camera. name: for people. patcher: holds what a MODEL does not.
        memory_per_pixel: bytes that a pixel of a picture needs in the autoencoder.
    """

    model: DiffusionModel
    name: str
    patcher: ModelPatcher
    memory_per_pixel: int


@dataclass(frozen=True)
class Zero123OnWire:
    """PORTRAIT_ZERO123: a Zero-123 of the user's.

    Attributes:
        guide: what is asked. guidance: under which score distillation knows it. model: the MODEL behind it.
        patcher: holds what neither MODEL nor CLIP_VISION does.
    """

    guide: PublicZero123
    guidance: float
    model: ModelPatcher
    patcher: ModelPatcher


@dataclass(frozen=True)
class HpdmOnWire:
    """PORTRAIT_HPDM: branches bound to one diffusion model.

    Attributes:
        network: frozen. diffusion: the model that it fits. name: of the file. patcher: holds the branches.
    """

    network: Hpdm
    diffusion: DiffusionOnWire
    name: str
    patcher: ModelPatcher


@dataclass(frozen=True)
class AvatarOnWire:
    """PORTRAIT_AVATAR: what draws heads of portraits or of nobody.

    Attributes:
        model: shared decoder, cascade, autoencoder; frozen. name: of the base model's file, for people. patcher: holds all.
    """

    model: AvatarModel
    name: str
    patcher: ModelPatcher


PriorWire = io.Custom("PORTRAIT_PRIOR")  # PriorOnWire
AlignedWire = io.Custom(
    "PORTRAIT_ALIGNED"
)  # AlignedPortrait: image [3, S, S], mask [1, S, S], camera, crop transform, photo
HeadWire = io.Custom("PORTRAIT_HEAD")  # HeadOnWire
CamerasWire = io.Custom("PORTRAIT_CAMERAS")  # CamerasOnWire
LandmarksWire = io.Custom("FACE_LANDMARKS")  # core's MediaPipe dict
TurboWire = io.Custom("PORTRAIT_TURBO")  # TurboOnWire
DiffusionWire = io.Custom("PORTRAIT_DIFFUSION")  # DiffusionOnWire
HpdmWire = io.Custom("PORTRAIT_HPDM")  # HpdmOnWire
Zero123Wire = io.Custom("PORTRAIT_ZERO123")  # Zero123OnWire
AvatarWire = io.Custom("PORTRAIT_AVATAR")  # AvatarOnWire
Aligned = AlignedPortrait


def seed_input(draws: str, outcome: str) -> io.Int.Input:
    """A seed: of what draws, and what it makes the same, in words."""
    return io.Int.Input(
        "seed",
        default=0,
        min=0,
        max=2**63 - 1,
        control_after_generate=True,
        tooltip=f"Seed of the {draws}; the same seed gives the same {outcome}.",
    )


def size_input() -> io.Int.Input:
    """Pixels of the views that a diffusion model is shown."""
    return io.Int.Input(
        "size",
        default=0,
        min=0,
        max=MOST,
        step=WHOLE,
        optional=True,
        advanced=True,
        tooltip="Pixels of a view; 0 is from the model: 512 or 768 of Stable Diffusion, 256 of the one that ships.",
    )


def guidance_input(*, optional: bool = True, tooltip: str = "") -> io.Float.Input:
    """Of classifier-free guidance."""
    return io.Float.Input(
        "guidance",
        default=-1.0,
        min=-1.0,
        max=100.0,
        step=0.1,
        optional=optional,
        advanced=optional,
        tooltip=tooltip
        or "How strongly the view's prompt counts; -1 is from the model, which for SD-Turbo is 1: none.",
    )


def video(frames, fps: float):
    """IMAGE frames [N, H, W, 3] -> VIDEO."""
    return InputImpl.VideoFromComponents(
        Types.VideoComponents(images=frames, frame_rate=Fraction(fps).limit_denominator(1000))
    )
