"""Prompts by view, blended between front, side and back, with Perp-Neg against the views that a camera must not show.

Armandpour et al. 2023, as threestudio has it: uncond + s (pos + sum_i w_i perp(neg_i, pos)), with
w_i = -(a exp(-b r) + c) of the share r of the nearer of two views.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .embedded import PROMPTS, prompt_index


@dataclass(frozen=True, kw_only=True)
class PerpNegConfig:
    """How strongly which view is told away: a exp(-b r) + c of the share r of the nearer prompt.

    Attributes:
        side_on_back: the side's prompt where side and back are blended. front_on_back: the front's there.
        front_on_side: the front's where front and side are blended. side_on_front: the side's there.
        overhead: radians of pitch from which on a view is seen from above and nothing is told away.
    """

    side_on_back: tuple[float, float, float] = (1.0, 0.5, -0.606)
    front_on_back: tuple[float, float, float] = (1.0, 0.5, 0.967)
    front_on_side: tuple[float, float, float] = (4.0, 0.5, -2.426)
    side_on_front: tuple[float, float, float] = (4.0, 0.5, -2.426)
    overhead: float = math.radians(60)


@dataclass(frozen=True)
class ViewPrompt:
    """What B cameras are told. Attributes: positive: [B, L, D]. negative: [B, 2, L, D]. weights: [B, 2], 0 and below."""

    positive: Tensor
    negative: Tensor
    weights: Tensor


def _falling(r: Tensor, a: float, b: float, c: float) -> Tensor:
    return a * torch.exp(-b * r) + c


def view_prompt(tokens: Tensor, empty: Tensor, yaw: Tensor, pitch: Tensor, config: PerpNegConfig | None = None) -> ViewPrompt:
    """The prompts of cameras.

    Args:
        tokens: [4, L, D] in the order of PROMPTS: side, front, back, overhead. empty: [L, D]. yaw, pitch: [B] radians.
    """
    config = config or PerpNegConfig()
    side, front, back, above = tokens.unbind()
    azimuth = ((yaw + math.pi) % (2 * math.pi) - math.pi).abs() / (math.pi / 2)  # 0 in front, 1 aside, 2 behind
    in_front = azimuth < 1 - 1e-6  # a quarter turn itself belongs to the back, however it is rounded
    r = torch.where(in_front, 1 - azimuth, 2 - azimuth)

    def blend(a: Tensor, b: Tensor) -> Tensor:
        share = r[:, None, None].to(a)
        return share * a + (1 - share) * b

    def choose(front_half: Tensor, back_half: Tensor) -> Tensor:
        return torch.where(in_front.view(-1, *[1] * (front_half.ndim - 1)), front_half, back_half)

    B = len(yaw)
    positive = choose(blend(front, side), blend(side, back))
    negative = choose(torch.stack([front, side]).expand(B, -1, -1, -1), torch.stack([side, front]).expand(B, -1, -1, -1))
    weights = -choose(
        torch.stack([_falling(r, *config.front_on_side), _falling(1 - r, *config.side_on_front)], 1),
        torch.stack([_falling(r, *config.side_on_back), _falling(r, *config.front_on_back)], 1),
    )
    overhead = prompt_index(yaw, pitch, overhead=config.overhead) == PROMPTS.index("overhead")
    positive = torch.where(overhead[:, None, None], above, positive)
    negative = torch.where(overhead[:, None, None, None], empty, negative)
    return ViewPrompt(positive, negative, torch.where(overhead[:, None], 0.0, weights))


def perpendicular(direction: Tensor, to: Tensor) -> Tensor:
    """[B, ...] without what lies along `to` [B, ...], row by row."""
    rows = tuple(range(1, to.ndim))
    along = (direction * to).sum(rows, keepdim=True) / to.square().sum(rows, keepdim=True).clamp_min(1e-6)
    return direction - along * to


def perp_neg_guided(positive: Tensor, without: Tensor, negative: Tensor, weights: Tensor, guidance_scale: float) -> Tensor:
    """Guided noise: uncond + s (e+ + sum_i w_i perp(e-_i, e+)), with e the predictions less the unconditional one.

    Args:
        positive, without: [B, C, h, w] predicted noise. negative: [B, N, C, h, w]. weights: [B, N].
    """
    towards = positive - without
    away = sum(
        weights[:, i, None, None, None].to(towards) * perpendicular(negative[:, i] - without, towards) for i in range(negative.shape[1])
    )
    return without + guidance_scale * (towards + away)
