"""Brows, lashes and beards: short strands on the skin itself, which follow the face's expression."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from ..parts import Body, Hair
from ..scans import SKIN, Scans
from ..shape import smoothstep
from ..skin import beard_mask, lip_mask
from ..streams import Draws
from .colours import strand_colours
from .locks import Drift
from .roots import Roots, scatter
from .skull import Skull
from .vectors import unit

BROW_LINE = (
    (1.2, 5.35),
    (2.2, 5.95),
    (3.6, 6.3),
    (4.9, 6.1),
    (6.0, 5.35),
)  # cm aside and up: a brow's middle, of the mean face
BROW_HALF = (0.42, 0.5, 0.44, 0.32, 0.12)  # cm: half its height there
LASH_GRID = (12, 19)  # strips of the scans' lashes, columns of each
LID_NEAR = 0.09  # cm: a lash's root is no farther off the skin


@dataclass(frozen=True, kw_only=True)
class Brows:
    """Of one person. Attributes: height: factor on a brow's. rise: cm. arch: cm at the outer third. density: 0 to 1.2."""

    height: float
    rise: float
    arch: float
    density: float

    def cover(self, rest: Tensor) -> Tensor:
        """[P] in [0, 1]: how much hair there is, at rest coordinates [P, 3]."""
        aside = rest[:, 0].abs()
        middle, half = _along(aside, BROW_LINE), _along(aside, tuple(zip(_columns(), BROW_HALF, strict=True)))
        middle = middle + self.rise + self.arch * torch.exp(-(((aside - 4.4) / 1.1) ** 2))
        away = (rest[:, 1] - middle).abs() / (half * self.height)
        ends = smoothstep(aside, 0.9, 1.5) * smoothstep(6.2 - aside, 0.0, 0.7)
        return (
            (1 - smoothstep(away, 0.55, 1.1))
            * ends
            * smoothstep(rest[:, 2], 4.0, 6.0)
            * min(1.0, self.density)
        )


def draw_brows(body: Body, draws: Draws) -> Brows:
    """Fuller and lower for men."""
    grown = 1 - 0.35 * body.child
    return Brows(
        height=draws.uniform(0.85, 1.3) * (1.12 if body.male else 0.92) * grown,
        rise=draws.normal(-0.05 if body.male else 0.08, 0.12),
        arch=draws.normal(0.0 if body.male else 0.14, 0.1),
        density=draws.uniform(0.65, 1.1) * (1.1 if body.male else 0.9),
    )


def brow_hairs(skull: Skull, body: Body, brows: Brows, shade: Tensor, draws: Draws) -> Hair:
    """Strands of both brows: upright at the nose, lying outward, drawn together at the ends."""
    roots = _kept(scatter(body, skull, _near_brows(body.rest), 4200, draws), brows.cover)
    side = roots.rest[:, 0].sign()
    aside = roots.rest[:, 0].abs()
    outward = smoothstep(aside, 1.0, 2.6)
    above = roots.rest[:, 1] - _along(aside, BROW_LINE) - brows.rise
    turn = (
        1.1
        - 1.15 * outward
        - 0.5 * smoothstep(aside, 4.0, 5.8)
        - 1.3 * above * outward
        + 0.5 * (roots.other - 0.5)
    )
    away = torch.stack([side * turn.cos(), turn.sin(), -0.25 * outward], 1)
    length = (0.5 + 0.35 * roots.chance) * (0.7 + 0.3 * brows.height)
    strands = lying(roots, away, length * body.scale, 0.16, 4)
    return on_skin(strands, roots, shade, 0.24, 0.052 * body.scale, draws, "brows")


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


@dataclass(frozen=True, kw_only=True)
class Beard:
    """Of one person.

    Attributes:
        length: cm on the chin. shape: "full", "goatee", "moustache", "stubble". patch: how patchy, 0 to 1. trim: cm that its upper
            border lies lower on the cheeks. drift: what makes it patchy.
    """

    length: float
    shape: str
    patch: float
    trim: float
    drift: Drift

    def cover(self, rest: Tensor) -> Tensor:
        """[P] in [0, 1]: how much beard there is, at rest coordinates [P, 3]."""
        mirrored = torch.cat([rest[:, :1].abs(), rest[:, 1:]], 1)
        lowered = mirrored + rest.new_tensor([0.0, self.trim, 0.0])
        x, y, z = mirrored.unbind(-1)
        above_lip = (
            torch.exp(-(((y + 1.95) / 0.7) ** 2)) * smoothstep(3.3 - x, 0.0, 0.9) * smoothstep(z, 7.5, 8.6)
        )
        mask = torch.maximum(beard_mask(lowered) * (y < -2.0), above_lip)
        mask = torch.maximum(
            mask,
            smoothstep(2.2 - y, 0.0, 2.5)
            * smoothstep(x, 6.2, 6.9)
            * smoothstep(y, -9, -6)
            * (z > 1.2)
            * (z < 4.6),
        )
        if self.shape == "goatee":
            mask = mask * smoothstep(3.7 - x, 0.0, 0.6) * smoothstep(z, 5.5, 7.0)
        if self.shape == "moustache":
            mask = above_lip
        thin = 1 - self.patch * smoothstep(self.drift(rest)[:, 0], -0.3, 1.0) * (y > -5.5)
        bare = torch.exp(-(((x - 1.5) / 0.55) ** 2 + ((y + 5.2) / 0.5) ** 2)) * (
            z > 8
        )  # beside the tuft below the lip
        return mask * thin * (1 - 0.7 * bare) * (1 - lip_mask(mirrored)) * (x < 7.2)


def draw_beard(body: Body, draws: Draws) -> Beard | None:
    """A beard for one grown man in two."""
    shape = draws.choice({"none": 0.42, "stubble": 0.22, "full": 0.22, "goatee": 0.08, "moustache": 0.06})
    size, patch, trim = draws.uniform(), draws.uniform(), draws.normal(0.6, 0.5)
    drift = Drift(draws, 1.6, 1)
    if not body.male or body.child > 0 or shape == "none":
        return None
    length = {
        "stubble": 0.14 + 0.2 * size,
        "full": 0.6 + 3.4 * size**2,
        "goatee": 0.5 + 1.6 * size,
        "moustache": 0.7 + 0.4 * size,
    }
    return Beard(
        length=length[shape], shape=shape, patch=0.7 * patch * (body.age < 0.5), trim=trim, drift=drift
    )


def beard_hairs(skull: Skull, body: Body, beard: Beard, shade: Tensor, grey: float, draws: Draws) -> Hair:
    """Strands of a beard: down and outward, longest on the chin, the moustache to both sides."""
    wanted = 9000 if beard.length > 0.5 else 7000
    roots = _kept(scatter(body, skull, _near_beard(body.rest), wanted, draws), beard.cover)
    x, y, z = roots.rest.unbind(-1)
    side = (x / 1.2).clamp(-1, 1)
    lip = smoothstep(y, -3.6, -2.6) * smoothstep(3.4 - x.abs(), 0.0, 0.8) * smoothstep(z, 7.0, 8.5)
    away = torch.stack(
        [
            torch.lerp(0.12 * side, 1.1 * side, lip),
            -torch.ones_like(x),
            0.1 - 0.5 * smoothstep(-y, 7.0, 10.0),
        ],
        1,
    )
    chin = torch.exp(-((x / 4.2) ** 2)) * smoothstep(-y, 3.0, 6.5)
    size = torch.lerp(0.45 + 0.55 * chin, torch.full_like(x, 0.7), lip)
    length = beard.length * (size if beard.length > 0.5 else torch.ones_like(x)) * (0.6 + 0.7 * roots.chance)
    length = length.minimum(torch.lerp(torch.full_like(x, 9.0), torch.full_like(x, 1.0), lip))
    length = length * (0.35 + 0.65 * smoothstep(beard.cover(roots.rest), 0.2, 0.9))
    curl = (
        Drift(draws, 0.8)(roots.rest) * 0.25
        + 0.2 * torch.from_numpy(draws.generator.standard_normal((len(roots), 3))).float()
    )
    stand = 0.35 if beard.length > 0.5 else 0.5
    strands = lying(roots, away + curl, length * body.scale, stand, 6 if beard.length > 0.5 else 3, droop=0.5)
    width = 0.075 if beard.length > 0.5 else 0.045
    colours = strand_colours(shade, grey, torch.arange(len(roots)), 0.0, draws)
    return on_skin(strands, roots, colours, 0.3, width * body.scale, draws, "beard")


def lying(
    roots: Roots, away: Tensor, length: Tensor, stand: float, points: int, droop: float = 0.0
) -> Tensor:
    """Strands [N, K, 3] in scene units that leave the skin flat.

    Args:
        away: [N, 3] where to, any length. length: [N] scene units. stand: sine of the angle with the skin. droop: how far they bend down.
    """
    flat = unit(away - (away * roots.up).sum(1, keepdim=True) * roots.up)
    way = unit(flat + stand * roots.up)
    along = torch.linspace(0, 1, points)[None, :, None]
    bent = way[:, None] * along - droop * along.square() * (roots.up - 0.2 * flat)[:, None] * stand
    raised = roots.place + roots.up * 0.0004
    return raised[:, None] + length[:, None, None] * bent


def on_skin(
    strands: Tensor, roots: Roots, shade: Tensor, spread: float, width: float, draws: Draws, name: str
) -> Hair:
    """Hair that is lit as the skin below it; shade [3] or [N, 3] linear, spread: deviation of brightness."""
    own = torch.from_numpy(draws.generator.standard_normal(len(roots))).float()
    colour = shade * (spread * own).clamp(-0.7, 0.7).exp()[:, None]
    return Hair(
        strands=strands,
        normals=roots.up[:, None].expand_as(strands),
        width=torch.full((len(roots),), width),
        colour=colour,
        depth=torch.linspace(0.5, 1, strands.shape[1]).expand(len(roots), -1),
        tip=0.2,
        gloss=0.45,
        name=name,
    )


def _kept(roots: Roots, cover) -> Roots:
    """Roots by chance of what covers them."""
    return roots[roots.other < cover(roots.rest)]


def _columns() -> tuple[float, ...]:
    return tuple(point[0] for point in BROW_LINE)


def _along(x: Tensor, line: tuple[tuple[float, float], ...]) -> Tensor:
    """[P] height of a polyline at x [P]."""
    at, height = x.new_tensor(line).T.contiguous()
    after = torch.searchsorted(at, x.contiguous()).clamp(1, len(line) - 1)
    share = ((x - at[after - 1]) / (at[after] - at[after - 1])).clamp(0, 1)
    return torch.lerp(height[after - 1], height[after], share)


def _near_brows(rest: Tensor) -> Tensor:
    x, y, z = rest.unbind(-1)
    return ((x.abs() > 0.6) & (x.abs() < 6.8) & (y > 4.3) & (y < 7.6) & (z > 4.0)).float()


def _near_beard(rest: Tensor) -> Tensor:
    x, y, z = rest.unbind(-1)
    mirrored = torch.cat([rest[:, :1].abs(), rest[:, 1:]], 1)
    inside = (y < -0.8) & (y > -12.5) & (z > 0.5) | (y < 2.5) & (x.abs() > 6.0) & (x.abs() < 7.3) & (
        z > 1.0
    ) & (z < 4.8)
    within = (z < 8.4) & ((y + 3.5).abs() < 1.6) & (x.abs() < 3.0)  # the cheeks' inner side
    return (inside & ~within & (lip_mask(mirrored) < 0.9)).float()


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
