"""Score distillation: what a denoiser would change in a picture, as a gradient (Poole et al. 2022, eq. 3).

As threestudio and DreamCraft3D compute it: weight 1 - a, the sum over the latents and the mean over the batch; it
is clipped before the division by the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..diffusion.schedule import Schedule

WEIGHTINGS = ("sds", "uniform", "fantasia3d")


def weighting(schedule: Schedule, t: Tensor, like: Tensor, kind: str = "sds") -> Tensor:
    """w(t) of timesteps [B], ready to multiply `like` [B, ...]: 1 - a, 1, or sqrt(a) (1 - a).

    Raises:
        ValueError: another kind.
    """
    a = schedule.alpha(t, like)
    if kind == "sds":
        return 1 - a
    if kind == "uniform":
        return torch.ones_like(a)
    if kind == "fantasia3d":
        return a.sqrt() * (1 - a)
    raise ValueError(
        f"sds: expected a weighting among {', '.join(WEIGHTINGS)}, got {kind!r}; choose one of them"
    )


def sds_gradient(
    schedule: Schedule, noise_pred: Tensor, noise: Tensor, t: Tensor, kind: str = "sds"
) -> Tensor:
    """w(t) (predicted noise - noise), [B, C, h, w]: the gradient of the scaled latents."""
    return weighting(schedule, t, noise_pred, kind) * (noise_pred - noise)


def text_guided(text: Tensor, without: Tensor, guidance_scale: float) -> Tensor:
    """Guidance as threestudio writes it for plain prompts: text + s (text - uncond), so the usual scale plus 1.

    Args:
        text, without: [B, C, h, w] predicted noise, with the prompt and without.

    Returns:
        [B, C, h, w].
    """
    return text + guidance_scale * (text - without)


def sds_loss(latents: Tensor, gradient: Tensor, clip: float | None = None) -> Tensor:
    """A loss whose gradient with respect to the latents [B, ...] is the given one, over B.

    Args:
        gradient: of sds_gradient; what is not a number counts as 0. clip: each number's limit.
    """
    gradient = torch.nan_to_num(gradient)
    if clip is not None:
        gradient = gradient.clamp(-clip, clip)
    return 0.5 * (latents - (latents - gradient).detach()).square().sum() / len(latents)


def annealed(specification: float | Sequence[float], step: int) -> float:
    """A number that changes along straight lines over steps.

    Args:
        specification: the number; or [first, last, end], from step 0 on; or [start, first, last, end]; or more pieces behind those:
            [start, first, second, end of first piece, third, end of second piece, ...].

    Raises:
        ValueError: a list of another form.
    """
    if isinstance(specification, (int, float)):
        return float(specification)
    numbers = [float(x) for x in specification]
    if len(numbers) == 3:
        numbers = [0.0, *numbers]
    if len(numbers) < 4 or len(numbers) % 2:
        raise ValueError(
            f"annealed: expected a number or [start, first, last, end, next, end, ...], got {list(specification)}"
        )
    start, value, *rest = numbers
    for target, end in zip(rest[::2], rest[1::2], strict=True):
        if step < end:
            share = min(max((step - start) / max(end - start, 1e-9), 0.0), 1.0)
            return value + (target - value) * share
        start, value = end, target
    return value
