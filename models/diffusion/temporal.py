"""Beyond TurboPortrait3D, whose named open problem is flicker: neighbouring refined frames share what refinement has added."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# (images [1, C, H, W] of frame j, j, i) -> as frame i would see them [1, C, H, W], where that is known [1, 1, H, W] bool
Warp = Callable[[Tensor, int, int], tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class SteadyConfig:
    """How far frames are blended."""

    radius: int = 2  # neighbours on either side
    spread: float = 1.5  # standard deviation of their weights, frames
    tolerance: float = 0.05  # difference of the renders' colours at which a neighbour's pixel counts little
    strength: float = 1.0  # 0 leaves frames as they are

    def __post_init__(self) -> None:
        if self.radius < 0 or self.spread <= 0 or self.tolerance <= 0 or not 0 <= self.strength <= 1:
            raise ValueError(
                f"SteadyConfig: expected radius >= 0, spread and tolerance > 0, strength from 0 to 1, got {self.radius}, {self.spread}, "
                f"{self.tolerance}, {self.strength}"
            )


def stay(images: Tensor, j: int, i: int) -> tuple[Tensor, Tensor]:
    """The warp that moves nothing, where surfaces are unknown: images [1, C, H, W] -> those, all known."""
    return images, torch.ones_like(images[:, :1], dtype=torch.bool)


def steady(
    frames: Tensor, renders: Tensor, config: SteadyConfig, *, warp: Warp = stay, loop: bool = False
) -> Tensor:
    """Refined frames whose difference from the 3D-consistent renders is blended with the neighbours'.

    x_i' = r_i + sum_j w_ij warp_ji(x_j - r_j) / sum_j w_ij, with w_ij a Gaussian of j - i, times one of the difference between the
    renders' colours, where the warp knows: renders do not flicker, so what is blended is only what flickers.

    Args:
        frames, renders: [N, 3, H, W] in [0, 1]. warp: reprojection; without it neighbours are laid on each other plainly.
        loop: the last frame is the first one's neighbour.

    Returns:
        [N, 3, H, W] in [0, 1].

    Raises:
        ValueError: frames and renders of different shapes.
    """
    if frames.shape != renders.shape or frames.ndim != 4:
        raise ValueError(
            f"steady: expected frames and renders [N, 3, H, W], got {list(frames.shape)} and {list(renders.shape)}; pass pairs"
        )
    residuals = frames - renders
    if config.strength == 0 or config.radius == 0:
        return frames
    smooth = torch.stack([_blend(i, residuals, renders, config, warp, loop) for i in range(len(frames))])
    return (renders + residuals + config.strength * (smooth - residuals)).clamp(0, 1)


def _blend(
    i: int, residuals: Tensor, renders: Tensor, config: SteadyConfig, warp: Warp, loop: bool
) -> Tensor:
    """What refinement has added to frame i, by its neighbours, too: [3, H, W]."""
    N = len(residuals)
    reach = min(config.radius, (N - 1) // 2 if loop else N - 1)  # round a loop, each neighbour once
    total = residuals[i]
    weights = torch.ones_like(residuals[i, :1])
    for offset in range(-reach, reach + 1):
        j = (i + offset) % N if loop else i + offset
        if offset == 0 or not 0 <= j < N:
            continue
        neighbour, mask = warp(torch.cat([residuals[j], renders[j]])[None], j, i)
        neighbour = torch.where(mask, neighbour, 0)  # what is not known may not be a number
        difference = (neighbour[0, 3:] - renders[i]).square().mean(0, keepdim=True)
        near = math.exp(-0.5 * (offset / config.spread) ** 2)
        weight = near * torch.exp(-0.5 * difference / config.tolerance**2) * mask[0]
        total = total + weight * neighbour[0, :3]
        weights = weights + weight
    return total / weights
