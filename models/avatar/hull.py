"""Where a head can be by the masks of its views, and where matter is found: a grid that tells rays where to look.

The visual hull (Laurentini 1994) takes the part of Instant-NGP's grid (Mueller et al. 2022, appendix C; RodinHD, appendix A) before
anything is learnt, and bounds it afterwards: what a mask shows empty is never looked at, and so costs no ray a sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, project
from ..field.triplane import TriplaneField
from ..field.volume_rendering import box_range

MATTER = 0.5  # of a mask's coverage, from which on a pixel may hold matter
FIRST_DENSITY = 30.0  # per scene unit, of all that may hold matter before anything is known
EXPLORED = 0.02  # share of a ray's light that goes to cells which may hold matter and were found empty
FAINT = 1e-5  # of a ray's light, to the rest of it
STEPS = 96  # cells' lengths along a ray that are asked for their density


@dataclass(frozen=True)
class Hull:
    """Cells of the box, n along each axis.

    Attributes:
        allowed: bool [n^3] over x, y, z, the last fastest: those that no mask shows empty.
        density: [n^3] per scene unit, what was last found there; 0 where nothing is allowed.
        cell: scene units along a cell's side. resolution: n.
    """

    allowed: Tensor
    density: Tensor
    cell: float
    resolution: int

    def index(self, points: Tensor) -> Tensor:
        """The cells [...] of points [..., 3]; beyond the box the nearest ones."""
        place = (points / self.cell + self.resolution / 2).long().clamp_(0, self.resolution - 1)
        return (place[..., 0] * self.resolution + place[..., 1]) * self.resolution + place[..., 2]

    def outside(self, points: Tensor) -> Tensor:
        """Whether points [..., 3] lie where nothing is allowed, bool [...]."""
        return ~self.allowed[self.index(points)]


def carve(cameras: Camera, masks: Tensor, box_side: float, resolution: int) -> Hull:
    """The cells that every view shows covered, or does not show.

    A cell counts as covered where any pixel within its own size is, so that thin parts survive.

    Args:
        cameras: [V]. masks: [V, 1, S, S] in [0, 1]. box_side: scene units.
    """
    cell = box_side / resolution
    axis = (torch.arange(resolution, device=masks.device) + 0.5 - resolution / 2) * cell
    centres = torch.cartesian_prod(axis, axis, axis)
    allowed = torch.ones(len(centres), dtype=torch.bool, device=masks.device)
    S = masks.shape[-1]
    for i in range(len(masks)):
        left = allowed.nonzero()[:, 0]
        place, depth = project(cameras[i], centres[left])
        reach = cell * 0.87 * cameras.intrinsics[i, 0, 0] * S / depth.mean()  # half a cell's diagonal, pixels
        width = 2 * int(torch.ceil(reach)) + 1
        cover = F.max_pool2d(masks[i : i + 1], width, 1, width // 2)[0, 0] > MATTER
        pixel = (place * S).floor().long()
        in_frame = ((pixel >= 0) & (pixel < S)).all(-1) & (depth > 0)
        column, row = pixel.clamp(0, S - 1).unbind(-1)
        allowed[left] = cover[row, column] | ~in_frame
    return Hull(allowed, FIRST_DENSITY * allowed.float(), cell, resolution)


def propose(
    hull: Hull, origins: Tensor, directions: Tensor, jitter: Tensor, places: Tensor
) -> tuple[Tensor, Tensor]:
    """Where rays [R, 3] are worth a look, by what the grid lets through of their light: N stretches that share it evenly.

    Args:
        jitter: [R, 1] in [0, 1), where in its step each ray's first question to the grid lies. places: [R, N] in [0, 1), of the
            looks in their stretches.

    Returns:
        Distances of the looks [R, N] and of the stretches' ends [R, N + 1], increasing, scene units.
    """
    near, far = box_range(origins, directions, hull.cell * hull.resolution)
    far = torch.maximum(far, near + 1e-3)
    length = ((far - near) / STEPS)[:, None]
    share = (torch.arange(STEPS, device=origins.device) + jitter) * length
    points = origins[:, None] + directions[:, None] * (near[:, None] + share)[..., None]
    cells = hull.index(points)
    thickness = hull.density[cells] * length
    let_through = torch.exp(-(thickness.cumsum(-1) - thickness))
    weights = let_through * -torch.expm1(-thickness)
    wide = torch.maximum(
        weights, torch.maximum(F.pad(weights[:, 1:], (0, 1)), F.pad(weights[:, :-1], (1, 0)))
    )
    mass = wide + EXPLORED * hull.allowed[cells] * let_through + FAINT
    ladder = F.pad(mass.cumsum(-1), (1, 0))
    ladder = ladder / ladder[:, -1:]
    N = places.shape[-1]
    quantiles = torch.linspace(0, 1, N + 1).to(ladder).expand(len(ladder), -1).contiguous()
    below = torch.searchsorted(ladder, quantiles, right=True).sub_(1).clamp_(0, STEPS - 1)
    low, high = ladder.gather(1, below), ladder.gather(1, below + 1)
    inner = ((quantiles - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
    ends = near[:, None] + (below + inner) * length
    return torch.lerp(ends[:, :-1], ends[:, 1:], places), ends


@torch.no_grad()
def refresh(hull: Hull, field: TriplaneField, share: float, decay: float, generator: torch.Generator) -> Hull:
    """The grid of a field that has moved: a random share of what is allowed is looked at anew, somewhere in its cell.

    Args:
        share: 0 .. 1. decay: a cell keeps at least this share of what was found there (Instant-NGP: 0.95).
    """
    n = hull.resolution
    pick = hull.allowed.nonzero()[:, 0]
    numbers = torch.rand(len(pick), 4, generator=generator).to(hull.density.device)
    choice = numbers[:, 3] < share
    numbers, pick = numbers[choice], pick[choice]
    place = torch.stack([pick // (n * n), pick // n % n, pick % n], -1)
    points = (place + numbers[:, :3] - n / 2) * hull.cell
    densities = field.activate(field.raw_density(points[None])[0]).float()
    density = hull.density.clone()
    density[pick] = torch.maximum(density[pick] * decay, densities)
    return replace(hull, density=density)
