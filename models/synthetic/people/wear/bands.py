"""Bands, hoops and cloths wound round the head."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..parts import Body, Surface
from ..streams import Draws
from .curves import Curve, lower, ring
from .cut import tube
from .fabric import Fabric
from .hats import Headwear, Tuck, dome, hat_cloth
from .skull import Skull, make_skull


def wrap(body: Body, draws: Draws) -> Headwear:
    """A cloth wound round the head and tied behind."""
    skull = make_skull(body)
    fabric = hat_cloth(draws, {"plain": 1.5, "flowers": 1, "stripes": 0.5, "dots": 0.5}, size=(1.5, 3.5))
    fabric = replace(fabric, folds=0.5)
    rim = ring(draws.uniform(9.2, 10.6), draws.uniform(4.4, 5.6), -3.0)
    full = draws.uniform(0.8, 2.5)
    phase = draws.uniform(0, 6)

    def off(turn: Tensor, up: Tensor) -> Tensor:
        winds = torch.sin(16 * up + 1.6 * torch.cos(turn) + phase) * (1 - up)
        return 0.6 + full * up * (1.2 - up) * (1.3 - turn.cos()) + 0.16 * winds

    return Headwear(
        surfaces=(dome(skull, fabric, rim, off, "wrap", rows=40),),
        tuck=lambda s: skull.tuck(s, rim, 0.4),
        kind="wrap",
    )


def headband(body: Body, draws: Draws) -> Headwear:
    """A band round the head, or a hoop over the crown from ear to ear."""
    skull = make_skull(body)
    fabric = replace(hat_cloth(draws, {"plain": 3, "dots": 0.4, "stripes": 0.4}), folds=0.05)
    if draws.chance(0.5):
        rim = ring(9.4, 6.4, 0.0)
        width = draws.uniform(2.0, 4.5)
        part = dome(
            skull,
            replace(fabric, weave="knit"),
            rim,
            lambda turn, up: 0.85 + 0.25 * torch.sin(math.pi * up),
            "headband",
            top=lower(rim, width),
            rows=9,
        )
        band = (rim, lower(rim, width))
        return Headwear(surfaces=(part,), tuck=lambda s: pressed(skull, s, band), kind="headband")
    part, tuck = hoop(skull, fabric, draws.uniform(0.35, 1.0))
    return Headwear(surfaces=(part,), tuck=tuck, kind="hoop")


def pressed(skull: Skull, strands: Tensor, band: tuple[Curve, Curve]) -> Tensor:
    """Strands pressed to the head within a band alone."""
    tucked = skull.tuck(strands, band[0], 0.6)
    away = strands - skull.centre
    turn = torch.atan2(away[..., 0], away[..., 2])
    lift = torch.asin((away[..., 1] / away.norm(dim=-1).clamp_min(1e-6)).clamp(-1, 1))
    above = ((lift - skull.lift_at(turn, band[1](turn))) / 0.15).clamp(0, 1)
    return torch.lerp(tucked, strands, above[..., None])


def hoop(skull: Skull, fabric: Fabric, width: float) -> tuple[Surface, Tuck]:
    """A hoop over the crown; width: half of it, centimetres."""
    angle = torch.linspace(-1, 1, 61) * (104 * math.pi / 180)
    tilt = math.radians(12)
    plane = torch.stack([angle.sin(), angle.cos() * math.cos(tilt), angle.cos() * math.sin(tilt)], -1)
    turn, lift = torch.atan2(plane[:, 0], plane[:, 2]), torch.asin(plane[:, 1].clamp(-1, 1))
    path = skull.point(turn, lift, 0.8)
    size = torch.full_like(angle, width * skull.scale)
    part = tube(path, skull.rest(path), size, fabric.paint, "hoop", flat=(plane, 0.3))
    across = F.normalize(torch.tensor([0.0, -math.sin(tilt), math.cos(tilt)]), dim=0)

    def tuck(strands: Tensor) -> Tensor:
        away = strands - skull.centre
        distance = away.norm(dim=-1).clamp_min(1e-6)
        turn = torch.atan2(away[..., 0], away[..., 2])
        lift = torch.asin((away[..., 1] / distance).clamp(-1, 1))
        near = torch.exp(-(((away @ across) / ((width + 0.8) * skull.scale)) ** 2)) * (away[..., 1] > -0.02)
        limit = skull.reach(turn, lift) + 0.6 * skull.scale
        shorter = distance + near * (limit - distance).clamp_max(0)
        return skull.centre + away * (shorter / distance)[..., None]

    return part, tuck
