"""Hair in six styles: its shape, and strands as paint."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import sdf
from .anatomy import Anatomy, hairline
from .noise import noise
from .sdf import Coordinates

BUN = (0.0, 0.105, -0.148)  # centre of tied hair's knot
AROUND = 2 * math.pi


def hair_distance(head: Anatomy, p: Coordinates) -> Tensor:
    """[N]: a cap that ends at the hairline, with what the style adds to it."""
    x, y, z = p
    side = (x.abs(), y, z)
    if head.hair_style == "bald":
        return torch.full_like(y, 0.5)
    cap = _cap(head, p)
    if head.hair_style == "long":
        cap = sdf.union(cap, _curtain(head, side), 0.020)
    if head.hair_style == "tied":
        cap = sdf.union(cap, _knot(head, side), 0.012)
    if head.hair_style == "curly":
        cap = sdf.union(cap, _mass(head, side), 0.030)
        cap = cap + curls(p) * 0.0045
        return cap * 0.80
    return cap * 0.95


def curls(p: Coordinates) -> Tensor:
    """[N] in about -1 .. 1: lumps of about 2 cm, the same in the shape as in the paint."""
    x, y, z = p
    bend = 1.3 * torch.sin(41 * y + 23 * x)
    return torch.sin(105 * x + bend) * torch.sin(118 * y - bend) * torch.sin(97 * z + bend)


def _cap(head: Anatomy, p: Coordinates) -> Tensor:
    x, y, z = p
    t = head.hair_thickness
    a, b, c = head.skull
    cap = sdf.ellipsoid((x.abs(), y, z), (0.0, 0.045, -0.022), (a + t, b + t, c + t))
    if head.hair_style in ("parted", "long"):
        groove = torch.exp(-((x - head.parting) / 0.007).square()) * sdf.step(-0.06, 0.0, z) * (0.35 * t)
        wave = 0.0016 * torch.cos(AROUND * flow(head, p)[0] * 11) * sdf.step(0.16, 0.08, y)
        cap = cap + groove + wave
    return sdf.intersection(
        cap, (hairline(head, x, z) - y) * 0.7, 0.024 if head.hair_style != "cropped" else 0.010
    )


def _curtain(head: Anatomy, p: Coordinates) -> Tensor:
    """Long hair behind and beside the face."""
    side, y, z = p
    t = head.hair_thickness
    a, _, c = head.skull
    around = sdf.ellipse(side, z + 0.040, a + 0.8 * t, c - 0.022 + 0.8 * t)
    ends = torch.maximum(head.hair_bottom - y, y - 0.05)
    curtain = sdf.intersection(around, ends, 0.035)
    front = z - (-0.045 + 0.070 * sdf.step(0.045, 0.085, side))  # leaves the neck free
    return sdf.intersection(curtain, front * 0.6, 0.020)


def _mass(head: Anatomy, p: Coordinates) -> Tensor:
    """Curls that stand beside and behind the head, down to the jaw."""
    side, y, z = p
    t = head.hair_thickness
    a, _, c = head.skull
    ball = sdf.ellipsoid(p, (0.0, 0.020, -0.040), (a + 1.1 * t, 0.100 + t, c - 0.02 + t))
    ball = sdf.intersection(ball, head.hair_bottom - y, 0.030)
    front = z - (-0.050 + 0.055 * sdf.step(0.05, 0.10, side))
    return sdf.intersection(ball, front * 0.7, 0.020)


def _knot(head: Anatomy, p: Coordinates) -> Tensor:
    """A bun, or a tail that hangs from the same place."""
    bun = sdf.ellipsoid(p, BUN, (0.038 * (1 - 0.3 * head.tail), 0.034 * (1 - 0.2 * head.tail), 0.034))
    if head.tail <= 0:
        return bun
    end = (0.0, 0.09 - 0.27 * head.tail, -0.176)
    return sdf.union(bun, sdf.capsule(p, (0.0, 0.098, -0.168), end, 0.026, 0.026), 0.020)


def flow(head: Anatomy, p: Coordinates) -> tuple[Tensor, Tensor]:
    """Place in the flow of hair: share of a turn around the crown, scene units down the strand; each [N]."""
    x, y, z = p
    if head.hair_style == "tied":  # combed back to the knot
        turn = torch.atan2(x, y - BUN[1] + 0.04)
        return turn / AROUND, BUN[2] - z
    crown = 0.6 * head.parting
    turn = torch.atan2(x - crown, z + 0.035)
    away = ((x - crown).square() + (z + 0.035).square() + 1e-8).sqrt()
    return turn / AROUND, away - y


def hair_paint(head: Anatomy, colour: tuple[float, float, float], p: Coordinates) -> Tensor:
    """sRGB [N, 3] before light: strands of the style, a sheen around the crown, the parting's line, darker in depth."""
    level = {"cropped": _stubble, "curly": _curl_strands}.get(head.hair_style, _strands)(head, p)
    c = p[0].new_tensor(colour) * (1 + 0.42 * level)[:, None]
    return c + 0.035 * (1 + level)[:, None]


def _strands(head: Anatomy, p: Coordinates) -> Tensor:
    x, y, z = p
    turn, down = flow(head, p)
    bend = turn + 0.004 * torch.sin(30 * down)
    locks = noise((bend * 34, down * 8), 1, period=34)
    strands = noise((bend * 110, down * 12), 2, period=110)
    fine = noise((bend * 230, down * 20), 3, period=230)
    sheen = (
        0.45 * torch.exp(-((y - 0.118) / 0.020).square())
        if head.hair_style != "tied"
        else 0.45 * torch.exp(-((y - 0.125) / 0.018).square())
    )
    level = 0.45 * locks + 0.45 * strands + 0.35 * fine + sheen
    if head.hair_style in ("parted", "long"):
        line = (
            torch.exp(-((x - head.parting) / 0.0035).square())
            * sdf.step(0.07, 0.11, y)
            * sdf.step(-0.07, -0.01, z)
        )
        level = level - 0.9 * line
    return level


def _stubble(head: Anatomy, p: Coordinates) -> Tensor:
    """Short hair that lies forwards and down: dashes."""
    turn, down = flow(head, p)
    dashes = noise((turn * 150, down * 70), 4, period=150)
    fine = noise((turn * 260, down * 160), 5, period=260)
    return 0.40 * dashes + 0.30 * fine + 0.25 * torch.exp(-((p[1] - 0.125) / 0.025).square())


def _curl_strands(head: Anatomy, p: Coordinates) -> Tensor:
    """Dark in the hollows of the curls, thin rings around them."""
    x, y, z = p
    bump = curls(p)
    wisps = noise((x * 120, y * 120, z * 120), 6)
    rings = torch.sin(7 * bump + 3.5 * wisps + 25 * y)
    return -0.55 * bump + 0.30 * rings + 0.35 * wisps
