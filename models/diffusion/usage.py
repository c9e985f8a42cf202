"""How diffusion models are used as they were trained: at which size, under how much guidance, at which timesteps."""

from __future__ import annotations

from dataclasses import dataclass

WHOLE = 64  # pixels: eight a latent, and eight latents a cell of the UNet's coarsest level
LEAST, MOST = 64, 2048  # pixels
FROM_MODEL = "from the model"  # what the nodes call the choice that is the model's own


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Of one family.

    Attributes:
        name: for people. size: pixels of the pictures that it knows.
        views, refinement, distillation: guidance of new views, of the refinement's targets, of the restoration's score distillation;
            1 for none, which halves the time where nothing else needs the empty prompt.
        refinement_t: shares of the schedule that the refinement's t is annealed between.
        least_t, most_t: shares that the restoration's t is drawn between, each from the first step to the last.
        rays: pixels of the restoration's renders, which are enlarged to `size`; 0 for `size` itself.
        any_size: new views are drawn at the size of what is wired, rather than at `size`.
    """

    name: str
    size: int
    views: float
    refinement: float
    distillation: float
    refinement_t: tuple[float, float]
    least_t: tuple[float, float]
    most_t: tuple[float, float]
    rays: int = 0
    any_size: bool = False

    def __post_init__(self) -> None:
        chosen_size(self.size, self.size)
        shares = (*self.refinement_t, *self.least_t, *self.most_t)
        if min(self.views, self.refinement, self.distillation) < 0 or not all(0 < t < 1 for t in shares):
            raise ValueError(f"Usage: expected guidance from 0 and shares inside (0, 1), got {self}")

    def size_of(self, size: int, wired: int = 0) -> int:
        """Pixels of new views. Args: size: asked for, 0 for the model's. wired: of the pictures or cameras that are given.

        Raises:
            ValueError: as `chosen_size`.
        """
        return wired if self.any_size and wired and not size else chosen_size(size, self.size)


def chosen_size(size: int, own: int) -> int:
    """Pixels that are asked for, or a model's own where that is 0.

    Raises:
        ValueError: no whole cells of a UNet.
    """
    size = size or own
    if size % WHOLE or not LEAST <= size <= MOST:
        raise ValueError(
            f"size: expected a multiple of {WHOLE} from {LEAST} to {MOST} pixels, got {size}; choose one, or 0 for the model's"
        )
    return size


def chosen_guidance(guidance: float, own: float) -> float:
    """Guidance that is asked for, or a model's own where that is less than 0."""
    return own if guidance < 0 else guidance


# The small model that ships was tuned with these on validation heads.
EMBEDDED = Usage(
    name="the one that ships",
    size=256,
    views=1.5,
    refinement=1.0,
    distillation=2.5,
    refinement_t=(0.35, 0.15),
    least_t=(0.5, 0.35),
    most_t=(0.85, 0.6),
    rays=80,
    any_size=True,
)
# Guidance of samplers is 7.5. Under score distillation threestudio's is 100, 20 to 50 where colours must not saturate; its gradient is
# clipped here. t as DreamCraft3D's: 0.85 -> 0.5 above, 0.7 -> 0.2 below; 0.5 -> 0.2 where texture is refined.
_TEXT = {
    "views": 7.5,
    "refinement": 7.5,
    "distillation": 30.0,
    "refinement_t": (0.5, 0.2),
    "least_t": (0.7, 0.2),
    "most_t": (0.85, 0.5),
}
SD_1 = Usage(name="Stable Diffusion 1.x", size=512, **_TEXT)
SD_2 = Usage(name="Stable Diffusion 2.x, 512 pixels", size=512, **_TEXT)
SD_2_V = Usage(name="Stable Diffusion 2.x, 768 pixels", size=768, **_TEXT)
# Distilled with guidance inside, at timesteps 249, 499, 749 and 999 (Sauer et al. 2023): never below the first of them.
TURBO = Usage(
    name="SD-Turbo",
    size=512,
    views=1.0,
    refinement=1.0,
    distillation=1.0,
    refinement_t=(0.5, 0.25),
    least_t=(0.7, 0.25),
    most_t=(0.85, 0.5),
)
FOREIGN = {usage.name: usage for usage in (SD_1, SD_2, SD_2_V, TURBO)}


def usage_of(*, linear: bool, velocity: bool, file: str = "") -> Usage:
    """The usage of a UNet of Stable Diffusion's size.

    Args:
        linear: its transformers' projections are linear layers, as in 2.x. velocity: it predicts v.
        file: name of its checkpoint, where it is known: SD-Turbo differs from 2.1 by its weights alone.
    """
    if "turbo" in file.lower():
        return TURBO
    if not linear:
        return SD_1
    return SD_2_V if velocity else SD_2
