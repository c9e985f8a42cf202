"""Graded damage to pictures, for the networks that judge pictures: what renderers, codecs and refiners do, from hardly to badly."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from ..metrics.image import masked_blur
from ..synthetic.renders import Renders

KINDS = ("blur", "noise", "warp", "shift", "colour", "blocks", "low_resolution")
GENTLE = ("warp", "shift", "colour")  # people hardly mind a little of these ...
HARSH = ("blur", "noise", "blocks", "low_resolution")  # ... and see these at once


@dataclass(frozen=True)
class Chance:
    """What is drawn once and kept while the strength changes.

    Attributes:
        noise: [B, 3, S, S] normal. field: [B, 2, 4, 4] normal, a coarse displacement. direction: [B, 2] unit. tint: [B, 3] in -1 .. 1.
    """

    noise: Tensor
    field: Tensor
    direction: Tensor
    tint: Tensor

    def __getitem__(self, rows: Tensor) -> Chance:
        return Chance(*(getattr(self, field.name)[rows] for field in fields(self)))


def draw_chance(image: Tensor, generator: torch.Generator) -> Chance:
    """Draws for a batch [B, 3, S, S]."""
    B = len(image)
    angle = torch.rand(B, generator=generator) * 2 * math.pi
    return Chance(
        noise=torch.randn(image.shape, generator=generator).to(image),
        field=torch.randn(B, 2, 4, 4, generator=generator).to(image),
        direction=torch.stack([angle.cos(), angle.sin()], -1).to(image),
        tint=(torch.rand(B, 3, generator=generator) * 2 - 1).to(image),
    )


def degrade(image: Tensor, kind: Tensor, strength: Tensor, chance: Chance) -> Tensor:
    """Damaged copies; with one `chance`, a larger strength is always more of the same.

    Args:
        image: [B, 3, S, S] in [0, 1], S a multiple of 8. kind: [B] int64, index into KINDS. strength: [B] in 0 .. 1, hardly to badly.

    Returns:
        [B, 3, S, S] in [0, 1].
    """
    out = torch.empty_like(image)
    for index in kind.unique().tolist():
        rows = (kind == index).nonzero()[:, 0].to(image.device)
        out[rows] = _DAMAGE[index](image[rows], strength.to(image)[rows], chance[rows])
    return out.clamp(0, 1)


def _blur(image: Tensor, strength: Tensor, chance: Chance) -> Tensor:
    """Sigma 0.3 to 2.5 % of the width."""
    whole = torch.ones_like(image[:1, :1])
    sigmas = ((0.003 + 0.022 * strength) * image.shape[-1]).tolist()
    return torch.cat([masked_blur(image[i : i + 1], whole, sigma) for i, sigma in enumerate(sigmas)])


def _noise(image: Tensor, strength: Tensor, chance: Chance) -> Tensor:
    return image + chance.noise * (0.01 + 0.13 * strength)[:, None, None, None]


def _warp(image: Tensor, strength: Tensor, chance: Chance) -> Tensor:
    """Places move by 0.3 to 2 % of the width, neighbours alike."""
    smooth = F.interpolate(chance.field, size=image.shape[-2:], mode="bicubic", align_corners=False)
    return _moved(image, smooth * (0.003 + 0.017 * strength)[:, None, None, None])


def _shift(image: Tensor, strength: Tensor, chance: Chance) -> Tensor:
    """The whole picture moves by 0.3 to 3 % of the width."""
    step = chance.direction * (0.003 + 0.027 * strength)[:, None]
    return _moved(image, step[:, :, None, None].expand(-1, -1, *image.shape[-2:]))


def _moved(image: Tensor, displacement: Tensor) -> Tensor:
    """The picture looked up at places moved by displacement [B, 2, S, S], in widths."""
    still = torch.eye(2, 3).to(image).expand(len(image), 2, 3)
    grid = F.affine_grid(still, list(image.shape), align_corners=False) + 2 * displacement.permute(0, 2, 3, 1)
    return F.grid_sample(image, grid, padding_mode="border", align_corners=False)


def _colour(image: Tensor, strength: Tensor, chance: Chance) -> Tensor:
    """Gamma and the balance of the colours."""
    amount = (0.05 + 0.45 * strength)[:, None] * chance.tint
    return image ** amount[:, :1, None, None].exp() * (1 + 0.5 * amount[:, :, None, None])


def _blocks(image: Tensor, strength: Tensor, chance: Chance) -> Tensor:
    """Coefficients of 8 x 8 blocks rounded, coarser where finer: what JPEG does without its colour transform and coding."""
    place, order = torch.arange(8.0) + 0.5, torch.arange(8.0)
    basis = torch.cos(math.pi / 8 * order[:, None] * place) / 2
    basis[0] /= math.sqrt(2)
    basis, order = basis.to(image), order.to(image)
    step = (0.01 + 0.3 * strength)[:, None, None, None, None, None] * (1 + 0.4 * (order[:, None] + order))
    B, C, H, W = image.shape
    blocks = image.view(B, C, H // 8, 8, W // 8, 8).transpose(3, 4)
    coefficients = torch.round(basis @ blocks @ basis.mT / step) * step
    return (basis.mT @ coefficients @ basis).transpose(3, 4).reshape(B, C, H, W)


def _low_resolution(image: Tensor, strength: Tensor, chance: Chance) -> Tensor:
    """Shrunk 1.3 to 6 times, and enlarged again."""
    S = image.shape[-1]
    rows = []
    for i, factor in enumerate((1.3 + 4.7 * strength).tolist()):
        small = F.interpolate(
            image[i : i + 1], size=(round(S / factor),) * 2, mode="bilinear", antialias=True
        )
        rows.append(F.interpolate(small, size=(S, S), mode="bilinear"))
    return torch.cat(rows)


_DAMAGE = (_blur, _noise, _warp, _shift, _colour, _blocks, _low_resolution)  # as KINDS


def draw_pictures(
    renders: Renders, heads: Tensor, views: Tensor, size: int, whole: Tensor, generator: torch.Generator
) -> Tensor:
    """Views of heads, whole and shrunk, or pieces from the middle at full detail.

    Args:
        heads, views: [B] int64. size: S, at most the renders'. whole: [B] bool.

    Returns:
        [B, 3, S, S] in [0, 1].
    """
    images = renders.rgb[heads, views].float() / 255
    room = images.shape[-1] - size
    corners = torch.randint(
        int(0.2 * room), int(0.8 * room) + 1, (len(heads), 2), generator=generator
    ).tolist()
    pieces = torch.stack(
        [image[:, y : y + size, x : x + size] for image, (x, y) in zip(images, corners, strict=True)]
    )
    shrunk = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
    return torch.where(whole[:, None, None, None], shrunk, pieces)
