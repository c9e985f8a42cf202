"""How far the head reaches from its middle in every direction: what hats and scarves are laid on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..body import ears
from ..parts import Body
from ..scans import SKIN
from .curves import Curve

MIDDLE = (0.0, 4.5, 0.3)  # cm at rest
TURNS, LIFTS = 72, 40  # cells around and from pole to pole


@dataclass(frozen=True, kw_only=True)
class Skull:
    """Radii by direction.

    Attributes:
        centre: [3] scene units. radius: [LIFTS + 1, TURNS] scene units, at elevations -90 to 90 degrees and azimuths from the front round
            by the left. scale: scene units a centimetre. eyes: height of the pupils, scene units.
    """

    centre: Tensor
    radius: Tensor
    scale: float
    eyes: float

    def reach(self, turn: Tensor, lift: Tensor) -> Tensor:
        """[...] radius at azimuth `turn` and elevation `lift` [...], radians."""
        image = torch.cat([self.radius, self.radius[:, :1]], 1)[None, None]
        x = torch.remainder(turn, 2 * math.pi) / math.pi - 1
        y = lift / (math.pi / 2)
        grid = torch.stack([x, y], -1).reshape(1, 1, -1, 2)
        values = F.grid_sample(image, grid, align_corners=True, padding_mode="border")
        return values.reshape(turn.shape)

    def point(self, turn: Tensor, lift: Tensor, off: Tensor | float) -> Tensor:
        """[..., 3] scene units, `off` centimetres outside."""
        return self.centre + ray(turn, lift) * (self.reach(turn, lift) + off * self.scale)[..., None]

    def lift_at(self, turn: Tensor, height: Tensor) -> Tensor:
        """[...] elevation at which the head is `height` centimetres (at rest) high along azimuths."""
        rise = (height - 3.6) * self.scale + self.eyes - self.centre[1]
        lift = torch.zeros_like(turn)
        for _ in range(6):
            lift = torch.asin((rise / self.reach(turn, lift)).clamp(-0.99, 0.99))
        return lift

    def rest(self, points: Tensor) -> Tensor:
        """Centimetres at rest of points [..., 3], for paint."""
        moved = points - points.new_tensor([0.0, self.eyes, 0.0985])
        return moved / self.scale + points.new_tensor([0.0, 3.6, 9.65])

    def tuck(self, strands: Tensor, rim: Curve, off: float) -> Tensor:
        """Strands pressed to the head where a hat sits on them.

        Args:
            strands: [N, K, 3]. rim: the hat's lower edge, cm at rest by azimuth. off: how far from the head hair may be, cm.
        """
        away = strands - self.centre
        distance = away.norm(dim=-1).clamp_min(1e-6)
        turn = torch.atan2(away[..., 0], away[..., 2])
        lift = torch.asin((away[..., 1] / distance).clamp(-1, 1))
        edge = self.lift_at(turn, rim(turn))
        share = ((lift - edge) / 0.12 + 1).clamp(0, 1)  # full at the rim, none a little below it
        limit = self.reach(turn, lift) + off * self.scale
        pressed = distance + share * (limit - distance).clamp_max(0)
        return self.centre + away * (pressed / distance)[..., None]


def ray(turn: Tensor, lift: Tensor) -> Tensor:
    """[..., 3] unit directions of azimuths and elevations [...]."""
    return torch.stack([lift.cos() * turn.sin(), lift.sin(), lift.cos() * turn.cos()], -1)


def make_skull(body: Body, *, ears_too: bool = False, more: Tensor | None = None, spanned: int = 0) -> Skull:
    """The radii of a body.

    Args:
        ears_too: whether ears count. more: [P, 3] further points that must lie inside, such as the neck's.
        spanned: rounds in which hollows are filled, as cloth spans them.
    """
    rest = body.rest[:SKIN]
    counted = torch.ones(SKIN, dtype=torch.bool) if ears_too else ~ears(rest)
    counted &= rest[:, 1] > -9.0
    points = body.vertices[:SKIN][counted]
    points = points if more is None else torch.cat([points, more])
    eyes = body.pupils.mean(0)
    centre = eyes + body.scale * (points.new_tensor(MIDDLE) - points.new_tensor([0.0, 3.6, 8.44]))
    away = points - centre
    distance = away.norm(dim=-1)
    turn = torch.remainder(torch.atan2(away[:, 0], away[:, 2]), 2 * math.pi) / (2 * math.pi) * TURNS
    lift = (torch.asin(away[:, 1] / distance) / math.pi + 0.5) * LIFTS
    table = torch.zeros((LIFTS + 1) * TURNS)
    cell = lift.round().long() * TURNS + turn.round().long() % TURNS
    table.scatter_reduce_(0, cell, distance, "amax")
    radius = _filled(table.view(LIFTS + 1, TURNS))
    if ears_too:  # they are thinner than a cell
        padded = F.pad(radius[None, None], (1, 1, 0, 0), mode="circular")
        radius = F.max_pool2d(padded, (3, 3), 1, (1, 0))[0, 0]
    radius = _smooth(radius)
    for _ in range(spanned):
        radius = torch.maximum(radius, _smooth(_smooth(radius)))
    for _ in range(spanned // 2):
        radius = _smooth(radius)
    return Skull(
        centre=centre,
        radius=radius,
        scale=body.scale,
        eyes=float(eyes[1]),
    )


def _filled(table: Tensor) -> Tensor:
    """Empty cells get what their neighbours have."""
    while bool((table == 0).any()):
        padded = F.pad(F.pad(table[None, None], (1, 1, 0, 0), mode="circular"), (0, 0, 1, 1))
        total, count = F.avg_pool2d(padded, 3, 1), F.avg_pool2d((padded > 0).float(), 3, 1)
        table = torch.where(table > 0, table, (total / count.clamp_min(0.1))[0, 0])
    return table


def _smooth(table: Tensor) -> Tensor:
    """Averaged with the neighbours; rows near the poles more, for their cells are narrow."""
    wide = F.pad(table[None, None], (4, 4, 0, 0), mode="circular")
    around = F.avg_pool2d(wide, (1, 9), 1)[0, 0]
    steep = torch.linspace(-1, 1, LIFTS + 1).abs()[:, None]
    table = torch.lerp(table, around, ((steep - 0.7) / 0.2).clamp(0, 1))
    padded = F.pad(F.pad(table[None, None], (1, 1, 0, 0), mode="circular"), (0, 0, 1, 1), mode="replicate")
    return F.avg_pool2d(padded, 3, 1)[0, 0]
