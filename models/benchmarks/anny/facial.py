"""Brows, lashes and beards on a face: short strands that lie on the skin."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...synthetic.people.hair.beard import Beard
from ...synthetic.people.hair.brows import Brows
from ...synthetic.people.hair.on_skin import kept, lying, on_skin
from ...synthetic.people.parts import Body, Hair
from ...synthetic.people.streams import Draws
from .frames import SCALE
from .solid import scatter

LASHES = 170  # of an eye, both lids
OUT = 0.3  # centimetres from a lid's inner edge to where they grow


def brow_strands(body: Body, brows: Brows, shade: Tensor, draws: Draws) -> Hair:
    """Both brows: upright at the nose, lying outward beyond.

    Args:
        shade: [3] linear.
    """
    roots = kept(scatter(body, brows.cover(body.rest), 1300, draws), brows.cover)
    aside = roots.rest[:, 0].abs()
    turn = 1.1 - 0.95 * ((aside - 1.0) / 1.6).clamp(0, 1) - 0.45 * ((aside - 4.0) / 1.8).clamp(0, 1)
    turn = turn + 0.5 * (roots.other - 0.5)
    way = torch.stack([roots.rest[:, 0].sign() * turn.cos(), turn.sin(), torch.full_like(turn, -0.2)], 1)
    strands = lying(roots, way, (0.45 + 0.35 * roots.chance) * SCALE, 0.18, 4)
    return on_skin(strands, roots, shade, 0.24, 0.04 * SCALE, draws, "brows")


def beard_strands(body: Body, beard: Beard, shade: Tensor, draws: Draws) -> Hair:
    """A beard: down, and aside above the lip.

    Args:
        shade: [3] linear.
    """
    cover = beard.cover(body.rest) * (body.rest[:, 2] > 0.5)
    long = beard.length > 0.5
    roots = kept(scatter(body, cover, 7000, draws), beard.cover)
    x, y, _ = roots.rest.unbind(-1)
    lip = ((y + 3.6) / 1.0).clamp(0, 1) * (x.abs() < 3.2)
    jitter = torch.from_numpy(draws.generator.standard_normal((len(roots), 3))).float()
    way = torch.stack([(0.15 + 0.9 * lip) * (x / 1.2).clamp(-1, 1), -torch.ones_like(x), 0.2 - 0.2 * lip], 1)
    length = beard.length * (0.6 + 0.6 * roots.chance) * (0.4 + 0.6 * beard.cover(roots.rest))
    length = torch.minimum(length, torch.where(lip > 0.5, 1.0, 4.0))
    strands = lying(roots, way + 0.3 * jitter, length * SCALE, 0.45, 5 if long else 3, droop=0.4)
    return on_skin(strands, roots, shade, 0.3, (0.075 if long else 0.045) * SCALE, draws, "beard")


def lash_strands(
    loops: tuple[Tensor, Tensor], centres: tuple[Tensor, Tensor], long: float, shade: Tensor, draws: Draws
) -> Hair:
    """Lashes along the openings of the eyes, longer above, curled away from the eye.

    Args:
        loops: [K, 3] points of each opening, any order, scene units. centres: [3] of the eyeballs. long: centimetres above.
        shade: [3] linear.
    """
    roots, ways, sizes = [], [], []
    for loop, centre in zip(loops, centres, strict=True):
        place = around(loop, centre, LASHES, draws)
        middle = (loop.amax(0) + loop.amin(0)) / 2
        away = (place - middle) / ((loop.amax(0) - loop.amin(0)) / 2)
        upper = away[:, 1] > 0
        lift = torch.where(upper, 0.05, -0.2)
        roots.append(place + SCALE * place.new_tensor([0.0, 0.0, OUT]))
        ways.append(torch.stack([0.5 * away[:, 0], lift, torch.ones_like(lift)], 1))
        outer = (1 - away[:, 0].abs()).clamp_min(0).sqrt() * 0.4 + 0.6
        sizes.append(torch.where(upper, long, 0.45 * long) * outer)
    root, way = torch.cat(roots), F.normalize(torch.cat(ways), dim=1)
    size = torch.cat(sizes) * (0.75 + 0.5 * torch.from_numpy(draws.generator.random(len(root))).float())
    along = torch.linspace(0, 1, 4)[None, :, None]
    curl = torch.stack([torch.zeros(len(root)), way[:, 1].sign() * 0.4, torch.zeros(len(root))], 1)[:, None]
    strands = root[:, None] + SCALE * size[:, None, None] * (way[:, None] * along + curl * along.square())
    return Hair(
        strands=strands,
        normals=F.normalize(strands.new_tensor([0.0, 0.3, 1.0]), dim=0).expand_as(strands),
        width=torch.full((len(root),), 0.035 * SCALE),
        colour=(0.5 * shade).expand(len(root), 3),
        depth=torch.ones(strands.shape[:2]),
        tip=0.15,
        gloss=0.3,
        name="lashes",
    )


def around(loop: Tensor, centre: Tensor, count: int, draws: Draws) -> Tensor:
    """[count, 3] points along a closed loop about an axis through `centre` and the front.

    Args:
        loop: [K, 3], any order. centre: [3].
    """
    angle = torch.atan2(loop[:, 1] - loop[:, 1].mean(), loop[:, 0] - centre[0])
    order = angle.argsort()
    closed, at = loop[order], angle[order]
    closed = torch.cat([closed, closed[:1]])
    at = torch.cat([at, at[:1] + 2 * math.pi])
    wanted = float(at[0]) + 2 * math.pi * torch.from_numpy(draws.generator.random(count)).float()
    low = (torch.searchsorted(at, wanted.contiguous()) - 1).clamp(0, len(loop) - 1)
    share = ((wanted - at[low]) / (at[low + 1] - at[low]).clamp_min(1e-6)).clamp(0, 1)
    return torch.lerp(closed[low], closed[low + 1], share[:, None])
