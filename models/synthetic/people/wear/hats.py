"""Beanies, caps, hats with a brim, headbands and wraps, fitted to the skull."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..parts import Body, Surface
from ..streams import Draws
from .curves import Curve, lower, ring
from .cut import surface
from .fabric import Fabric
from .garments import draw_fabric as draw_cloth
from .skull import Skull, make_skull, ray

COLUMNS = 120
Tuck = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Headwear:
    """What is worn on the head.

    Attributes:
        surfaces: its parts. tuck: strands [N, K, 3] -> the same, pressed to the head where it sits on them; None: no hair is seen.
        kind: a name of its cut.
    """

    surfaces: tuple[Surface, ...]
    tuck: Tuck | None
    kind: str


def hat_cloth(draws: Draws, patterns: dict[str, float], *, weave: str = "plain", size=(1.4, 3.5)) -> Fabric:
    return replace(draw_cloth(draws, patterns, weave=weave, size=size), wound=True)


def dome(
    skull: Skull,
    fabric: Fabric,
    rim: Curve,
    off: Callable[[Tensor, Tensor], Tensor],
    name: str,
    *,
    top: Curve | None = None,
    rows: int = 24,
) -> Surface:
    """Cloth over the skull from a rim up to the crown, or to an upper edge.

    Args:
        rim, top: centimetres at rest by azimuth. off: (azimuth, share of the way up) -> centimetres off the skull.
    """
    turn = torch.arange(COLUMNS) * (2 * math.pi / COLUMNS)
    low = skull.lift_at(turn, rim(turn))
    high = skull.lift_at(turn, top(turn)) if top else torch.full_like(turn, math.pi / 2)
    share = torch.linspace(1, 0, rows)[:, None]  # from the top down
    lift = low + share * (high - low)
    turns = turn.expand_as(lift)
    points = skull.point(turns, lift, off(turns, share.expand_as(lift)))
    inner = skull.point(turn, low, -0.3)  # the rim's inner side
    edges = [points, inner[None]]
    if top:
        edges.insert(0, skull.point(turn, high, -0.3)[None])
    grid = torch.cat(edges)
    return surface(grid, skull.rest(grid), fabric.paint, name)


def beanie(body: Body, draws: Draws) -> Headwear:
    """A knitted cap, with a cuff or rolled, close or slouching."""
    skull = make_skull(body)
    fabric = hat_cloth(draws, {"plain": 4, "stripes": 0.6, "nordic": 0.3})
    fabric = replace(fabric, weave="rib" if draws.chance(0.5) else "knit", folds=0.08)
    rim = ring(draws.uniform(8.2, 9.6), draws.uniform(3.2, 5.6), draws.uniform(-2.5, 0.0))
    slouch, thick = draws.uniform(0.4, 2.6), 0.75

    def off(turn: Tensor, up: Tensor) -> Tensor:
        behind = (1 - turn.cos()) / 2
        return thick + slouch * up.square() * (0.5 + 0.5 * behind) + 0.25 * torch.sin(math.pi * up)

    parts = [dome(skull, fabric, rim, off, "hat")]
    if draws.chance(0.7):
        width = draws.uniform(3.5, 5.0)
        parts.append(
            dome(
                skull,
                fabric,
                lower(rim, -0.1),
                lambda turn, up: thick + 0.25 + 0.45 * torch.sin(math.pi * up).clamp_min(0) ** 0.4,
                "cuff",
                top=lower(rim, width),
                rows=9,
            )
        )
    if draws.chance(0.2):
        parts.append(ball(skull, replace(fabric, weave="fleece"), 2.6, thick + slouch + 1.6))
    return Headwear(surfaces=tuple(parts), tuck=lambda s: skull.tuck(s, rim, 0.4), kind="beanie")


def ball(skull: Skull, fabric: Fabric, radius: float, off: float) -> Surface:
    """A ball on the crown: a bobble or a cap's button. Args: centimetres."""
    turn = torch.arange(24) * (2 * math.pi / 24)
    lift = torch.linspace(math.pi / 2, -math.pi / 2, 14)[:, None]
    peak = skull.point(torch.zeros(()), torch.tensor(math.pi / 2), off)
    points = peak + ray(turn.expand(14, 24), lift.expand(14, 24)) * radius * skull.scale
    return surface(points, skull.rest(points), fabric.paint, "ball")


def cap(body: Body, draws: Draws) -> Headwear:
    """A baseball cap, its peak in front or, rarely, behind."""
    skull = make_skull(body)
    weave = draws.choice({"plain": 3, "twill": 1})
    fabric = replace(hat_cloth(draws, {"plain": 5, "camouflage": 0.3}, weave=weave), folds=0.03)
    rim = ring(draws.uniform(8.0, 9.2), draws.uniform(6.2, 6.9), draws.uniform(2.0, 3.5))
    tall = draws.uniform(0.3, 1.3)

    def off(turn: Tensor, up: Tensor) -> Tensor:
        front = ((1 + turn.cos()) / 2).square()
        seam = 0.06 * torch.cos(3 * turn).abs().clamp(0, 0.2)
        return 0.5 + tall * front * torch.sin(math.pi * up.clamp(0, 0.9)) + 0.4 * up.square() + seam

    backwards = draws.chance(0.12)
    contrast = draws.chance(0.25)
    shade = replace(fabric, colours=fabric.colours[1:] + fabric.colours[:1]) if contrast else fabric
    turned = math.pi if backwards else 0.0
    parts = [
        dome(skull, fabric, rim, lambda turn, up: off(turn - turned, up), "hat"),
        peak(skull, shade, rim, turned, draws.uniform(5.8, 7.2), draws.uniform(0.6, 2.2)),
        ball(skull, shade, 0.5, 0.85),
    ]
    return Headwear(surfaces=tuple(parts), tuck=lambda s: skull.tuck(s, rim, 0.3), kind="cap")


def peak(skull: Skull, fabric: Fabric, rim: Curve, turned: float, length: float, bend: float) -> Surface:
    """A cap's peak: a sheet that leaves the rim forward, bent down at its sides.

    Args:
        turned: radians from the front. length, bend: centimetres.
    """
    across = torch.linspace(-1, 1, 37)
    turn = turned + across * (64 * math.pi / 180)
    root = skull.point(turn, skull.lift_at(turn, rim(turn)), 0.55)
    forward = torch.tensor([math.sin(turned), -0.16, math.cos(turned)])
    outline = (1 - across.abs() ** 3.2).clamp_min(0) ** 0.55
    share = torch.linspace(0, 1, 10)[:, None, None]
    tip = root + forward * (length * skull.scale * outline)[:, None]
    sheet = torch.lerp(root.expand(10, -1, 3), tip.expand(10, -1, 3), share)
    drop = bend * skull.scale * across.square() * torch.linspace(0, 1, 10)[:, None].clamp(0, 1)
    drop = drop + 0.25 * skull.scale * torch.linspace(0, 1, 10)[:, None].square()
    sheet = torch.cat([sheet[..., :1], sheet[..., 1:2] - drop[..., None], sheet[..., 2:]], -1)
    thick = torch.tensor([0.0, 0.3 * skull.scale, 0.0])
    grid = torch.cat([sheet, (sheet - thick).flip(0)])
    return surface(grid, skull.rest(grid), fabric.paint, "peak", closed=False)


def brimmed(body: Body, draws: Draws) -> Headwear:
    """A felt hat, a straw hat or a bucket hat."""
    skull = make_skull(body)
    kind = draws.choice({"felt": 1.0, "straw": 0.8, "bucket": 0.8})
    weave = {"felt": "fleece", "straw": "knit", "bucket": "twill"}[kind]
    fabric = replace(hat_cloth(draws, {"plain": 1}, weave=weave), folds=0.03)
    if kind == "straw":
        straw = torch.tensor([0.62, 0.46, 0.24]) * draws.uniform(0.7, 1.25)
        fabric = replace(fabric, colours=(straw, *fabric.colours[1:]))
    rim = ring(8.6, 6.6, draws.uniform(1.0, 2.6))
    height = draws.uniform(1.2, 2.0) if kind == "bucket" else draws.uniform(1.5, 2.7)
    pinch = draws.uniform(0.6, 1.4) if kind == "felt" else 0.0

    def off(turn: Tensor, up: Tensor) -> Tensor:
        shoulder = torch.exp(-(((up - 0.62) / 0.2) ** 2))  # crowns are boxier than heads
        dent = pinch * up.square() * turn.sin().square() * ((1 + turn.cos()) / 2)
        return 0.65 + height * (0.9 * shoulder + 0.75 * up.square()) - dent - 0.5 * pinch * up**6

    slope = {"felt": -0.12, "straw": -0.2, "bucket": -0.95}[kind]
    width = {"felt": 5.8, "straw": 8.0, "bucket": 4.6}[kind] * draws.uniform(0.85, 1.2)
    curl = draws.uniform(0.8, 1.8) if kind == "felt" else 0.3
    ribbon = replace(fabric, colours=fabric.colours[1:] + fabric.colours[:1], weave="satin", pattern="plain")
    parts = [dome(skull, fabric, rim, off, "hat"), brim(skull, fabric, rim, width, slope, curl)]
    if kind != "bucket":
        band = dome(
            skull,
            ribbon,
            rim,
            lambda turn, up: off(turn, up * 0.22) + 0.15,
            "band",
            top=lower(rim, draws.uniform(2.0, 3.2)),
            rows=5,
        )
        parts.append(band)
    return Headwear(surfaces=tuple(parts), tuck=lambda s: skull.tuck(s, rim, 0.4), kind=kind)


def brim(skull: Skull, fabric: Fabric, rim: Curve, width: float, slope: float, curl: float) -> Surface:
    """A flat ring round a hat. Args: width, curl (upwards at the sides): centimetres; slope: of its fall."""
    turn = torch.arange(COLUMNS) * (2 * math.pi / COLUMNS)
    root = skull.point(turn, skull.lift_at(turn, rim(turn)), 0.6)
    out = ray(turn, torch.zeros_like(turn))
    share = torch.linspace(0, 1, 9)[:, None]
    rise = slope * width * share + curl * share.square() * (turn.sin().square() - 0.35)
    sheet = root + out * (share * width * skull.scale)[..., None]
    sheet = sheet + (rise * skull.scale)[..., None] * sheet.new_tensor([0.0, 1.0, 0.0])
    thick = torch.tensor([0.0, 0.25 * skull.scale, 0.0])
    grid = torch.cat([sheet, (sheet - thick).flip(0)])
    return surface(grid, skull.rest(grid), fabric.paint, "brim")
