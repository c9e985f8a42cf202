"""Face on the back: is there a second face on the back of a head (Janus), or a faint print of the one in front?

How it sees one. The head is seen from yaw 0 and from yaw 180 (`cameras`), and the back view is mirrored left-right, so that
one pixel is one (x, y) in both. A face that leaks through planes shared by front and back lies at the same x, y; one that a
diffusion prior painted there lies nearly so. Both views are reduced to what makes a face and is rare on the back of a head:
structure between BAND[0] and BAND[1] scene units (lids, irises, brows, nostrils, lips; not the shading of a skull), and of it
what is the same left and right (hair is not). Front and back are then compared within the box of the eyes and within that of
nose and mouth,

    likeness = <front, back> / sqrt(<front, front> (<back, back> + FAINT^2 <front, front>)),

their correlation, but for FAINT: a print that faint, which nobody sees, does not count as a face however smooth the hair
around it is. A head's figure is the mean over the two boxes (strands or the nape's hairline match one of them by chance,
seldom both), the largest over shifts of up to REACH up or down. It is taken twice, of the luminance (a print) and of the
surface's normals (a relief: sockets, nose, lips): about 0 without a face on the back, 1 for the front's own face.

What exact heads give by chance is the control: `thresholds` of many of them, taken as they are and softened like the heads of
a generator (`control`), since soft hair and a soft face match by chance more often than sharp ones. Not seen: a second face that looks to the side
or has another size, eyes or a mouth alone on hair of much structure, a head whose front has no face.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import FOCAL, RADIUS, Camera, orbit
from .image import luminance, masked_blur

BOXES = (
    (-0.07, 0.07, -0.02, 0.04),
    (-0.06, 0.06, -0.115, -0.02),
)  # scene units, left, right, bottom, top: eyes and brows; nose and mouth
FACE_Z = 0.1  # scene units: about where the face's surface lies
BAND = (0.003, 0.0085)  # scene units: sigmas of the two blurs whose difference is kept
FAINT = 0.1  # of the front's contrast
REACH = 0.015  # scene units
SOFT = 0.005  # scene units, sigma: how soft the heads of a small generator are
LEAST = 64  # exact heads: fewer tell nothing about one in a hundred


@dataclass(frozen=True)
class BackFace:
    """Likeness of the back to the front's face; about 0 for none, 1 for the same.

    Attributes:
        colour: [B] in luminance. relief: [B] in the surface's normals.
    """

    colour: Tensor
    relief: Tensor

    @property
    def score(self) -> Tensor:
        """[B]: the larger of the two."""
        return torch.maximum(self.colour, self.relief)

    def above(self, limits: BackFace) -> Tensor:
        """[B] bool: a face on the back, by colour or by relief. limits: `thresholds` of exact heads."""
        return (self.colour > limits.colour) | (self.relief > limits.relief)


def cameras() -> Camera:
    """The two canonical views [2] that the metric takes: front and back."""
    return orbit(torch.tensor([0.0, math.pi]), torch.zeros(2))


def thresholds(control: BackFace, quantile: float = 0.99) -> BackFace:
    """What exact heads stay below by chance: a quantile of each likeness, as 0-dim tensors.

    Raises:
        ValueError: fewer than LEAST heads.
    """
    if len(control.colour) < LEAST:
        raise ValueError(
            f"thresholds: expected at least {LEAST} exact heads, got {len(control.colour)}; measure more of them"
        )
    return BackFace(torch.quantile(control.colour, quantile), torch.quantile(control.relief, quantile))


def back_face(rgb: Tensor, mask: Tensor, distance: Tensor) -> BackFace:
    """How much the back looks like the front's face, of B heads.

    Args:
        rgb: [B, 2, 3, S, S] in [0, 1], from `cameras()`; S about 128.
        mask: [B, 2, 1, S, S], matter where over 0.5. distance: [B, 2, 1, S, S] along the rays, scene units; free outside.

    Raises:
        ValueError: shapes that are not front and back views.
    """
    B, S = len(rgb), rgb.shape[-1]
    if rgb.shape != (B, 2, 3, S, S) or mask.shape != (B, 2, 1, S, S) or distance.shape != mask.shape:
        raise ValueError(
            "back_face: expected front and back as rgb [B, 2, 3, S, S], mask and distance [B, 2, 1, S, S], got "
            f"{list(rgb.shape)}, {list(mask.shape)}, {list(distance.shape)}; render `cameras()`"
        )
    solid = (mask > 0.5).to(rgb)
    front = rgb[:, 0], solid[:, 0], distance[:, 0]
    back = rgb[:, 1].flip(-1), solid[:, 1].flip(-1), distance[:, 1].flip(-1)
    return BackFace(*(_likeness(*pattern(*front), *pattern(*back)) for pattern in (_print, _relief)))


def control(rgb: Tensor, mask: Tensor, distance: Tensor) -> BackFace:
    """What B exact heads give by chance: the larger figure of each as it is and softened by SOFT. Arguments as `back_face`."""
    solid = (mask > 0.5).to(rgb).flatten(0, 1)
    sigma = SOFT * _pixels_per_unit(mask.shape[-1])
    soft_rgb, soft_distance = (
        masked_blur(x.flatten(0, 1), solid, sigma).unflatten(0, mask.shape[:2]) for x in (rgb, distance)
    )
    both = back_face(rgb, mask, distance), back_face(soft_rgb, mask, soft_distance)
    return BackFace(
        torch.maximum(both[0].colour, both[1].colour), torch.maximum(both[0].relief, both[1].relief)
    )


def _print(rgb: Tensor, mask: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """What is painted: [B, 1, S, S], and where it is known."""
    pattern = _band(luminance(rgb), mask)
    return (pattern + pattern.flip(-1)) / 2, mask * mask.flip(-1)


def _relief(rgb: Tensor, mask: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """What is modelled: x and y components of the normals that the distances imply, [B, 2, S, S], and where they are known.

    Normals are bounded, so that a step between two parts, as at a collar, weighs no more than a steep nose.
    """
    pixel = distance[..., 1:-1, 1:-1].clamp_min(1e-3) / (
        FOCAL * mask.shape[-1]
    )  # scene units that a pixel covers at the surface
    across = (distance[..., 1:-1, 2:] - distance[..., 1:-1, :-2]) / (2 * pixel)
    down = (distance[..., 2:, 1:-1] - distance[..., :-2, 1:-1]) / (2 * pixel)
    slopes = torch.cat([across, down], dim=1)
    support = F.pad(-F.max_pool2d(-mask, 3, 1), [1] * 4)  # its neighbours are on the head, too
    normals = F.pad(slopes * torch.rsqrt(1 + slopes.square().sum(1, keepdim=True)), [1] * 4) * support
    pattern = _band(normals, support)
    mirror = pattern.flip(-1) * pattern.new_tensor([-1.0, 1.0])[:, None, None]
    return (pattern + mirror) / 2, support * support.flip(-1)


def _band(values: Tensor, mask: Tensor) -> Tensor:
    """Structure of the sizes of BAND within the mask: a difference of Gaussians, [B, C, S, S]."""
    fine, coarse = (masked_blur(values, mask, sigma * _pixels_per_unit(mask.shape[-1])) for sigma in BAND)
    return (fine - coarse) * mask


def _pixels_per_unit(size: int) -> float:
    return size * FOCAL / (RADIUS - FACE_Z)


def _box(size: int, box: tuple[float, float, float, float]) -> Tensor:
    """[size, size]: 1 inside a box of the face, as both views show it, 0 elsewhere."""
    place = (torch.arange(size) + 0.5 - size / 2) / _pixels_per_unit(size)  # scene units, right and down
    left, right, bottom, top = box
    columns, rows = (place > left) & (place < right), (-place > bottom) & (-place < top)
    return (rows[:, None] & columns).float()


def _likeness(front: Tensor, front_support: Tensor, back: Tensor, back_support: Tensor) -> Tensor:
    """[B]: the module's figure of two patterns [B, C, S, S], known where [B, 1, S, S] is 1; 0 where either is empty."""
    S = front.shape[-1]
    reach = round(REACH * _pixels_per_unit(S))
    regions = [front_support * _box(S, box).to(front) for box in BOXES]
    shifts = [torch.roll(back * back_support, shift, -2) for shift in range(-reach, reach + 1)]
    return torch.stack(
        [torch.stack([_correlation(front, x, region) for region in regions]).mean(0) for x in shifts]
    ).amax(0)


def _correlation(front: Tensor, back: Tensor, region: Tensor) -> Tensor:
    """[B]: correlation of two patterns within a region, falling to 0 where the back's is faint against the front's."""
    product, energy, back_energy = (
        (region * a * b).sum((1, 2, 3)) for a, b in ((front, back), (front, front), (back, back))
    )
    return product / (energy * (back_energy + FAINT**2 * energy)).sqrt().clamp_min(1e-9)
