"""The last steps of a fit, without the photo: nothing is left hanging in the air.

Matter that no surface is tied to is found on a grid, and emptied while all else stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..field.triplane import TriplaneField
from ..metrics.surface import stray_pieces
from .coverage import EMPTY
from .state import SavedState

CELLS = 144  # along the box, in which matter is looked for
FAINT = 0.25  # of the density that a mesh takes for its surface: fainter matter is none
ALPHA = 0.02  # scene units over which densities are compared as opacities
KEPT = 1 << 15  # points by which all else stays as it is: half of them on surfaces
COUNT = 4096  # points of a step
STRAY = 10.0  # weight of what hangs in the air
SMALL = 0.05  # differences below which errors count by their squares: what is right already stays still
MARK = "sweep."  # of its tensors in a state
SHAPES = {"points": (None, 3), "alpha": (None,), "strays": (None, 3)}


@dataclass(frozen=True)
class Sweep:
    """What the last steps aim at.

    Attributes:
        points: [N, 3], and alpha: [N], their opacity over `ALPHA`, that stays. strays: [M, 3], where nothing is to be.
    """

    points: Tensor
    alpha: Tensor
    strays: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """[...] by name, for a saved state."""
        return {f"{MARK}{name}": getattr(self, name) for name in SHAPES}

    @staticmethod
    def of(saved: SavedState, device: torch.device) -> Sweep | None:
        """From a saved state, if it has one, on a device.

        Raises:
            ForeignState: parts of one only.
        """
        if f"{MARK}points" not in saved:
            return None
        parts = {name: saved.finite(f"{MARK}{name}", shape).to(device) for name, shape in SHAPES.items()}
        return Sweep(**parts)


@torch.no_grad()
def sweep_of(field: TriplaneField, draws: torch.Generator) -> Sweep:
    """What hangs in the air of a field, and what does not. Args: draws: a CPU generator, of points."""
    side = field.config.box_side
    grid, strays, main = _matter(field)
    surface = (_grown(main) & _grown(~main)).flatten().nonzero()[:, 0]
    free = (torch.rand(KEPT // 2, 3, generator=draws).to(grid) - 0.5) * side
    free = free[~strays.flatten()[_cell(free, side)]]
    if len(surface):
        pick = torch.randint(len(surface), (KEPT // 2,), generator=draws).to(grid.device)
        free = torch.cat([free, grid[surface[pick]]])
    return Sweep(free, opacity(field, free), grid[strays.flatten()])


def _matter(field: TriplaneField) -> tuple[Tensor, Tensor, Tensor]:
    """The grid's points [`CELLS`^3, 3]; where matter hangs in the air, and where all other matter is, [X, Y, Z] bool."""
    side = field.config.box_side
    axis = torch.linspace(-side / 2, side / 2, CELLS, device=field.device)
    grid = torch.cartesian_prod(axis, axis, axis)
    raw = torch.cat([field.raw_density(part[None])[0] for part in grid.split(1 << 17)])
    density = field.activate(raw).where(field.config.inside(grid), 0).view(CELLS, CELLS, CELLS)
    off_sides = (grid.abs() < side / 2 - side / field.config.resolution).all(-1).view(density.shape)
    faint, solid = (density > share * field.config.surface_density for share in (FAINT, 1))
    stray = faint & ~off_sides  # planes fade there, which ties pieces together and makes matter of its own
    for matter in (faint, solid):  # what only faint matter ties is loose in a mesh
        stray |= stray_pieces(matter & off_sides)[0] > 0
    main = faint & ~stray
    return grid, _grown(stray) & ~_grown(main & solid), main


def _grown(cells: Tensor) -> Tensor:
    """Cells [X, Y, Z] and their neighbours."""
    return F.max_pool3d(cells[None, None].float(), 3, 1, 1)[0, 0] > 0


def _cell(points: Tensor, side: float) -> Tensor:
    """[N]: the nearest of `CELLS`^3 grid points to points [N, 3]."""
    column = ((points / side + 0.5) * (CELLS - 1)).round().long().clamp(0, CELLS - 1)
    return (column[:, 0] * CELLS + column[:, 1]) * CELLS + column[:, 2]


def opacity(field: TriplaneField, points: Tensor) -> Tensor:
    """Of `ALPHA` scene units of the density at points [N, 3], [N]."""
    return -torch.expm1(-ALPHA * field.activate(field.raw(points[None])[0][0]))


def sweep_loss(field: TriplaneField, sweep: Sweep, generator: torch.Generator) -> Tensor:
    """How far drawn strays are from empty, and all else from what it was, []."""
    pick = torch.randint(len(sweep.points), (COUNT,), generator=generator).to(sweep.points.device)
    loss = F.smooth_l1_loss(opacity(field, sweep.points[pick]), sweep.alpha[pick], beta=SMALL)
    if not len(sweep.strays):
        return loss
    some = torch.randint(len(sweep.strays), (COUNT // 2,), generator=generator).to(sweep.points.device)
    config = field.config
    left = (field.raw(sweep.strays[None, some])[0] + config.density_shift - EMPTY).relu()
    return loss + STRAY * left.mean() / config.raw_of(config.surface_density)
