"""Beards and stubble."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..body import ear_share
from ..parts import Body, Hair
from ..shape import smoothstep
from ..skin import beard_mask, lip_mask
from ..streams import Draws
from .colours import strand_colours
from .locks import Drift
from .on_skin import kept, lying, on_skin
from .roots import scatter
from .skull import Skull


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
        beside = smoothstep(2.4 - y, 0.0, 2.5) * smoothstep(x, 5.9, 6.6) * smoothstep(y, -9.0, -6.0)
        beside = beside * smoothstep(z, 1.0, 2.0) * smoothstep(5.4 - z, 0.0, 1.2) * (1 - ear_share(rest))
        throat = smoothstep(y + 0.25 * (z - 9.0).clamp(-4, 0), -10.8, -8.6)
        mask = torch.maximum(mask, 0.85 * beside) * throat
        if self.shape == "goatee":
            mask = mask * smoothstep(3.7 - x, 0.0, 0.6) * smoothstep(z, 5.5, 7.0)
        if self.shape == "moustache":
            mask = above_lip
        thin = 1 - self.patch * smoothstep(self.drift(rest)[:, 0], -0.3, 1.0) * (y > -5.5)
        bare = torch.exp(-(((x - 1.5) / 0.55) ** 2 + ((y + 5.2) / 0.5) ** 2)) * (
            z > 8
        )  # beside the tuft below the lip
        return mask * thin * (1 - 0.7 * bare) * (1 - lip_mask(mirrored))


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
    roots = kept(scatter(body, skull, _near_beard(body.rest), wanted, draws), beard.cover)
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


def _near_beard(rest: Tensor) -> Tensor:
    x, y, z = rest.unbind(-1)
    mirrored = torch.cat([rest[:, :1].abs(), rest[:, 1:]], 1)
    inside = (y < -0.8) & (y > -12.5) & (z > 0.5) | (y < 2.5) & (x.abs() > 6.0) & (x.abs() < 7.3) & (
        z > 1.0
    ) & (z < 4.8)
    within = (z < 8.4) & ((y + 3.5).abs() < 1.6) & (x.abs() < 3.0)  # the cheeks' inner side
    return (inside & ~within & (lip_mask(mirrored) < 0.9)).float()
