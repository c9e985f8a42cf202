"""Lashes along the lids."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from ..parts import Body, Hair
from ..scans import SKIN, Scans
from ..streams import Draws
from .vectors import unit

LASH_GRID = (12, 19)  # strips of the scans' lashes, columns of each


def lash_hairs(scans: Scans, body: Body, painted: bool, shade: Tensor, draws: Draws) -> Hair:
    """Lashes along the lids of the scans' strips, longer above, fanned out and curled up.

    Args:
        painted: whether with mascara.
    """
    roots_at, tips_at, upper = _lash_rows(scans)
    count = torch.where(upper, 100, 55).tolist()
    roots, ways, lengths = [], [], []
    for strip, many in enumerate(count):
        at = (
            (torch.arange(many) + torch.from_numpy(draws.generator.random(many)).float())
            / many
            * (LASH_GRID[1] - 1)
        )
        low = at.long().clamp_max(LASH_GRID[1] - 2)
        share = (at - low)[:, None]
        start, end = (
            torch.lerp(body.vertices[row[strip]][low], body.vertices[row[strip]][low + 1], share)
            for row in (roots_at, tips_at)
        )
        roots.append(start)
        ways.append(unit(end - start))
        size = 0.62 if upper[strip] else 0.25
        lengths.append(size * (0.75 + 0.5 * torch.from_numpy(draws.generator.random(many)).float()))
    root, away = torch.cat(roots), torch.cat(ways)
    length = torch.cat(lengths) * body.scale * (1.15 if painted else 0.95)
    lift = torch.where(torch.cat([torch.full((n,), u.item()) for n, u in zip(count, upper)]), 1.0, -0.6)
    along = torch.linspace(0, 1, 4)[None, :, None]
    curl = torch.stack([torch.zeros_like(lift), lift, torch.zeros_like(lift)], 1)[:, None]
    strands = root[:, None] + length[:, None, None] * (away[:, None] * along + 0.45 * curl * along.square())
    colour = (shade * (0.3 if painted else 0.6)).expand(len(root), 3)
    normals = unit(
        torch.stack([torch.zeros(len(root)), torch.full((len(root),), 0.3), torch.ones(len(root))], 1)
    )
    return Hair(
        strands=strands,
        normals=normals[:, None].expand_as(strands),
        width=torch.full((len(root),), (0.042 if painted else 0.03) * body.scale),
        colour=colour,
        depth=torch.ones(strands.shape[:2]),
        tip=0.15,
        gloss=0.3,
        name="lashes",
    )


@functools.lru_cache(maxsize=1)
def _lash_rows(scans: Scans) -> tuple[Tensor, Tensor, Tensor]:
    """Vertices of roots and tips [4, 19] of two upper and two lower strips, inner corner to outer, and which are upper [4]."""
    faces = scans.faces_of("M_EyeLashes")
    vertices = faces.unique()
    label = torch.arange(len(scans.vertices))
    for _ in range(64):  # the least index spreads through each strip
        least = label[faces].amin(1, keepdim=True).expand(-1, 3)
        label = label.scatter_reduce(0, faces.flatten(), least.flatten(), "amin")
    skin = scans.vertices[:SKIN]
    near = skin[(skin[:, 2] > 6) & (skin[:, 1] > 1) & (skin[:, 1] < 6)]
    strips = {}
    for first in label[vertices].unique().tolist():
        strip = vertices[label[vertices] == first]
        away = torch.cdist(scans.vertices[strip], near).amin(1)
        order = away.argsort()
        rows = [_by_angle(scans, strip[part]) for part in (order[: LASH_GRID[1]], order[-LASH_GRID[1] :])]
        middle = scans.vertices[strip].mean(0)
        kind = (bool(middle[0] > 0), bool(middle[1] > 3.3))
        strips.setdefault(kind, rows)
    kinds = sorted(strips)
    roots, tips = (torch.stack([strips[kind][row] for kind in kinds]) for row in (0, 1))
    return roots, tips, torch.tensor([kind[1] for kind in kinds])


def _by_angle(scans: Scans, vertices: Tensor) -> Tensor:
    """Vertices in order from the nose outward."""
    return vertices[scans.vertices[vertices, 0].abs().argsort()]
