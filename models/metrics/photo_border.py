"""What one photo shows of a head, and how well what it does not show goes on from there: seams, and drifts of colour."""

from __future__ import annotations

from torch import Tensor

from ..camera import Camera
from ..photo.matting import to_lab
from .flicker import warp
from .image import masked_blur

SMOOTHED = 1.5 / 256  # image widths: single pixels that agree by chance make no border
SAME_SURFACE = 0.03  # scene units: hair has no sharp one, and noses and ears stand out further
FAR = 0.04  # scene units between points a reach apart: more is another surface
LEAST = 1 / 255  # of a colour step: what 8 bits cannot show is no step
FEW = 50  # pixels that a colour is told by, at least


def seen_by(photo_distance: Tensor, photo: Camera, distance: Tensor, camera: Camera) -> Tensor:
    """Which pixels of views [V] the photo's camera sees, too, by the distances of one head along both rays.

    Args:
        photo_distance: [1, 1, S, S] scene units, 0 where the photo shows no head. photo: batch [1].
        distance: [V, 1, H, W], 0 where empty. camera: batch [V].

    Returns:
        [V, 1, H, W] bool, free of specks; what lies on the photo's outline, a pixel wide, does not count as seen.
    """
    V = len(distance)
    one = Camera(photo.cam2world.expand(V, -1, -1), photo.intrinsics.expand(V, -1, -1))
    known = photo_distance.expand(V, -1, -1, -1)
    _, valid = warp(known, known, one, distance, camera, same_surface=SAME_SURFACE)
    inside = (distance > 0).to(distance)
    smooth = masked_blur(valid.to(distance), inside, SMOOTHED * distance.shape[-1])
    return (smooth > 0.5) & (distance > 0)


def seam(rgb: Tensor, seen: Tensor, distance: Tensor, reach: int) -> float:
    """Colour step across the border between what a photo sees and what not, over the steps beside it.

    Along rows and columns, of four pixels `reach` apart on one surface, the first two on one side of the border and the last two on
    the other: the step in the middle over the mean of the other two. 1 where the border does not show.

    Args:
        rgb: [V, 3, H, W] in [0, 1]. seen: [V, 1, H, W] bool. distance: [V, 1, H, W] along the rays, scene units, 0 where empty.
        reach: pixels.

    Returns:
        Ratio of the sums over all places; NaN without a border.
    """
    across, beside = rgb.new_zeros(()), rgb.new_zeros(())
    for dim in (-1, -2):
        a, b, c, d = _apart(rgb, dim, reach)
        sides, far = _apart(seen, dim, reach), _apart(distance, dim, reach)
        there = (sides[0] == sides[1]) & (sides[1] != sides[2]) & (sides[2] == sides[3])
        for near, next_one in zip(far, far[1:]):
            there &= (near > 0) & (next_one > 0) & ((near - next_one).abs() < FAR)
        across = across + _step(b, c)[there].clamp_min(LEAST).sum()
        beside = beside + ((_step(a, b) + _step(c, d)) / 2)[there].clamp_min(LEAST).sum()
    return (across / beside).item()


def _apart(image: Tensor, dim: int, reach: int) -> list[Tensor]:
    """Four views of [B, C, H, W], each `reach` pixels further along a side."""
    length = image.shape[dim] - 3 * reach
    return [image.narrow(dim, i * reach, max(length, 0)) for i in range(4)]


def _step(a: Tensor, b: Tensor) -> Tensor:
    """[B, 1, ...]: mean absolute difference of colours [B, 3, ...]."""
    return (a - b).abs().mean(1, keepdim=True)


def colour_of(rgb: Tensor, region: Tensor) -> Tensor:
    """The median CIE L*a*b* colour [3] of a region, each component by itself; NaN where it has fewer than `FEW` pixels.

    Args:
        rgb: [V, 3, H, W] in [0, 1]. region: [V, 1, H, W] bool.
    """
    lab = lab_of(rgb).movedim(1, -1)[region[:, 0]]
    return lab.median(0).values if len(lab) >= FEW else lab.new_full((3,), float("nan"))


def lab_of(rgb: Tensor) -> Tensor:
    """sRGB [V, 3, H, W] in [0, 1] -> CIE L*a*b*, L* 0 .. 100, a* and b* within 60."""
    scale, shift = (rgb.new_tensor(x)[:, None, None] for x in ((100, 120, 120), (0, 60, 60)))
    return to_lab(rgb) * scale - shift


def colour_drift(a: Tensor, b: Tensor) -> float:
    """CIE 1976 difference of two L*a*b* colours [3]: 2 is just seen, 10 at a glance; NaN where either is unknown."""
    return (a - b).norm().item()
