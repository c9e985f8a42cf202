"""Hair on a head: strands that are combed over it, lie on it, hang, wave and are cut."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...synthetic.people.hair.colours import strand_colours
from ...synthetic.people.hair.growth import cut_below, off_the_face
from ...synthetic.people.hair.locks import Drift, gather, nearest_lock, rumpled, waved
from ...synthetic.people.hair.mass import hair_cloud, surface_normals
from ...synthetic.people.hair.roots import Roots
from ...synthetic.people.parts import Body, Hair
from ...synthetic.people.shape import smoothstep
from ...synthetic.people.streams import Draws
from .frames import SCALE, canonical, centimetres
from .solid import Solid, scatter
from .styles import KNOT, STYLES, Style, combed

LOWEST = -24.5  # head centimetres: hair ends above where all geometry does


def head_hair(
    body: Body,
    solid: Solid,
    name: str,
    density: Tensor,
    radius: float,
    shade: Tensor,
    grey: float,
    draws: Draws,
) -> list[Hair]:
    """Hair of a style, none where bald.

    Args:
        solid: what it lies on, head centimetres. density: [N] at the body's vertices. radius: as of `frames.canonical`.
        shade: [3] linear. grey: share of strands without pigment.
    """
    if name == "bald":
        return []
    style = STYLES[name]
    roots = scatter(body, density, style.count, draws)
    strands, lock = grown(solid, roots, centimetres(roots.place, radius), style, draws)
    pieces = [(strands, lock)]
    if name == "bun":
        pieces.append(knot(900, draws))
    return [_finish(solid, *piece, style, radius, shade, grey, draws) for piece in pieces]


def grown(solid: Solid, roots: Roots, start: Tensor, style: Style, draws: Draws) -> tuple[Tensor, Tensor]:
    """Strands [N, K, 3] in head centimetres, and the leader [N] of each one's lock.

    Args:
        start: [N, 3] the roots in head centimetres.
    """
    part, side = draws.normal(0.0, 1.5), 1.0 if draws.chance(0.5) else -1.0
    top = smoothstep(start[:, 1], 6.0, 11.5)
    length = torch.lerp(torch.tensor(style.sides), torch.tensor(style.top), top) * (0.8 + 0.3 * roots.chance)
    if style.level is None:
        length = length * (0.4 + 0.6 * smoothstep(roots.density, 0.3, 1.0))
    layer = style.inner + (style.outer - style.inner) * roots.other**1.3 * (0.4 + 0.6 * top)
    if style.comb == "sides":  # hair lies flat beside its parting
        layer = layer * (0.25 + 0.75 * smoothstep((start[:, 0] - part).abs(), 0.0, 6.0))
    strands = _combed_over(solid, start, roots, style, length, layer, part, side)
    apart = 9.0 * (start[:, :1] > part) * (style.comb == "sides")
    lock = nearest_lock(roots, 300, apart)
    strands = gather(strands, lock, style.clump)
    if style.wave > 0:
        own = torch.from_numpy(draws.generator.uniform(-1, 1, len(lock))).float()
        phase = (
            2.5 * Drift(draws, 4.0, 1)(roots.rest[lock])[:, 0] + own[lock] * (1 + 5 * style.coil) + 0.3 * own
        )
        size, wavelength = (value * (1 + 0.2 * own[lock]) for value in (style.wave, style.wavelength))
        strands = waved(strands, solid(strands)[1], phase, size, wavelength, style.coil)
    strands = rumpled(strands, style.frizz * (0.3 + 2.0 * roots.other**5), draws)
    free = off_the_face(pushed_out(solid, strands))
    strands = torch.cat([strands[:, :1], free[:, 1:]], 1)  # roots stay
    own = torch.from_numpy(draws.generator.uniform(-1, 1, len(lock))).float()
    level = LOWEST if style.level is None else style.level + 0.5 * own + 0.7 * own[lock]
    return cut_below(strands, torch.as_tensor(level).expand(len(lock)).clamp_min(LOWEST)), lock


def _combed_over(
    solid: Solid,
    start: Tensor,
    roots: Roots,
    style: Style,
    length: Tensor,
    layer: Tensor,
    part: float,
    side: float,
) -> Tensor:
    """Strands [N, K, 3] as they grow: on from where they point, to where they are combed, down, and out of the solid."""
    flat = style.comb in ("knot", "sides")  # lies down from the root on
    at, forward, step = start, roots.normal * (0.3 if flat else 1.0), length / (style.points - 1)
    places = [at]
    distance, outward = solid(at)
    fall = torch.where((start[:, 2] > 1.5) & (roots.chance > 0.3), 1.0, -1.0)
    for index in range(1, style.points):
        share = index / (style.points - 1)
        fallen = float((step * index).mean())
        comb = combed(style.comb, at, part, side)
        comb = F.normalize(comb - (comb * outward).sum(1, keepdim=True) * outward, dim=1)
        held = 1.0 if style.comb == "knot" else max(0.0, 1 - fallen / 14.0)
        pull = forward + comb * (0.25 + held) + style.lift * (1 - share) ** 2 * roots.normal
        pull[:, 1] -= style.weight * step * min(1.0, 0.2 + fallen / 10.0)
        if style.level is not None:
            pull[:, 0] -= at[:, 0].sign() * drawn_in(at) * step
        moved = at + F.normalize(pull, dim=1) * step[:, None]
        distance, outward = solid(moved)
        outward = shed(moved, outward, fall)
        wanted = torch.minimum(layer, 0.05 + 0.5 * step * index)
        moved = moved + outward * (wanted - distance).clamp_min(0)[:, None]
        if flat:  # it lies close over the skull and hangs below
            close = 0.5 * smoothstep(moved[:, 1], 2.0, 6.0) * (held > 0)
            moved = moved - outward * (close * (distance - layer).clamp(0, 1.5))[:, None]
        moved = off_the_face(moved)
        forward = F.normalize(moved - at, dim=1)
        at = at + forward * step[:, None]
        places.append(at)
    strands = torch.stack(places, 1)
    return _tied(strands) if style.comb == "knot" else strands


def drawn_in(at: Tensor) -> Tensor:
    """[N] how strongly hair that hangs beside jaw and neck falls back in to them; at [N, 3]."""
    x, y, _ = at.unbind(-1)
    return 0.3 * smoothstep(-y, -5.0, 2.0) * smoothstep(x.abs(), 4.5, 8.5)


def shed(at: Tensor, outward: Tensor, fall: Tensor) -> Tensor:
    """[N, 3] unit directions, of which shoulders turn hair to the chest (fall 1) or the back (-1), not aside; fall [N]."""
    share = smoothstep(-at[:, 1], 6.0, 10.0)
    x, y, z = outward.unbind(-1)
    return F.normalize(torch.stack([x * (1 - 0.9 * share), y, z + 0.9 * share * fall], 1), dim=1)


def _tied(strands: Tensor) -> Tensor:
    """Strands [N, K, 3] that stay at the knot once they have reached it."""
    knot = strands.new_tensor(KNOT)
    arrived = ((strands - knot).norm(dim=-1) < 2.2).int().cummax(1).values.bool()
    return torch.where(arrived[..., None], knot + 0.15 * (strands - knot), strands)


def knot(count: int, draws: Draws) -> tuple[Tensor, Tensor]:
    """A bun: strands [count, K, 3] wound about a ball, head centimetres, and an index [count] for each."""
    axis = torch.from_numpy(draws.generator.standard_normal((count, 3))).float() + torch.tensor(
        [0.0, 0.8, -2.5]
    )
    axis = F.normalize(axis, dim=1)
    across = F.normalize(torch.linalg.cross(axis, torch.tensor([0.3, 1.0, 0.2]).expand_as(axis)), dim=1)
    along = torch.linalg.cross(axis, across)
    random = torch.from_numpy(draws.generator.random((count, 2))).float()
    turn = 2 * math.pi * random[:, :1] + torch.linspace(0, 2.4, 12)[None]
    size = draws.uniform(2.3, 3.2) * (0.7 + 0.3 * random[:, 1:].sqrt())
    ring = size * turn.cos()
    wound = ring[..., None] * across[:, None] + (size * turn.sin())[..., None] * along[:, None]
    middle = torch.tensor(KNOT) + torch.tensor([0.0, 0.4, -1.2])
    return middle + wound + 0.35 * size[..., None] * axis[:, None], torch.arange(count)


def pushed_out(solid: Solid, strands: Tensor, least: float = 0.1) -> Tensor:
    """Strands [N, K, 3] with everything but the roots at least so many centimetres off the surface."""
    distance, outward = solid(strands)
    ramp = (torch.arange(strands.shape[1]) / 2.0).clamp_max(1.0)
    return strands + outward * ((least - distance).clamp_min(0) * (ramp > 0))[..., None]


def _finish(
    solid: Solid,
    strands: Tensor,
    lock: Tensor,
    style: Style,
    radius: float,
    shade: Tensor,
    grey: float,
    draws: Draws,
) -> Hair:
    """Strands in the canonical frame, with normals, widths, colours and depths."""
    above, outward = solid(strands)
    piece = Hair(
        strands=canonical(strands, radius),
        normals=outward,
        width=torch.full((len(strands),), style.width * SCALE),
        colour=strand_colours(shade, grey, lock, 0.2, draws),
        depth=smoothstep(above, 0.0, 1.2),
        tip=0.3,
        gloss=0.6 if style.coil > 0.5 else 1.0,
    )
    return replace(piece, normals=surface_normals(hair_cloud([piece]), piece.strands, outward))
