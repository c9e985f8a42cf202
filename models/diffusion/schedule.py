"""Noise schedules in discrete time: what a network predicts <-> noise and clean latents, DDIM, annealing, DreamTime's prior.

Variance preserving throughout: z_t = sqrt(a_t) z_0 + sqrt(1 - a_t) n, with a_t = alphas_cumprod[t].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

PREDICTIONS = ("epsilon", "v_prediction", "sample")
CLEAN = -1  # the timestep after the last one, where alphas_cumprod is 1


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How much of the clean latents is left at each timestep, and what the network was trained to predict.

    Attributes:
        alphas_cumprod: [T] float64, falling, inside (0, 1).
        prediction: "epsilon" (the noise), "v_prediction" (the velocity) or "sample" (the clean latents).
    """

    alphas_cumprod: Tensor
    prediction: str = "epsilon"

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise ValueError(
                f"Schedule: expected a prediction among {', '.join(PREDICTIONS)}, got {self.prediction!r}; choose one of them"
            )
        table = self.alphas_cumprod
        if (
            table.ndim != 1
            or table.dtype != torch.float64
            or not ((table > 0) & (table < 1)).all()
            or not (table.diff() < 0).all()
        ):
            raise ValueError(
                f"Schedule: expected alphas_cumprod [T] float64, falling inside (0, 1), got {list(table.shape)} {table.dtype}; "
                "pass the table of the network's training"
            )

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    def alpha(self, t: int | Tensor, like: Tensor) -> Tensor:
        """a_t for a timestep or one per row [B], ready to multiply `like` [B, ...]; 1 where t is CLEAN.

        Raises:
            ValueError: a timestep outside the table.
        """
        t = torch.as_tensor(t, device=self.alphas_cumprod.device)
        if t.is_floating_point() or t.numel() == 0 or t.min() < CLEAN or t.max() >= len(self):
            raise ValueError(
                f"timestep: expected whole numbers from 0 to {len(self) - 1}, got {t.tolist()}; the schedule has no others"
            )
        table = torch.cat([self.alphas_cumprod, self.alphas_cumprod.new_ones(1)])  # index -1 is CLEAN
        return table[t].to(like.device, like.dtype).reshape(*t.shape, *[1] * (like.ndim - t.ndim))


def stable_diffusion_schedule(
    prediction: str = "epsilon", *, first_beta: float = 0.00085, last_beta: float = 0.012, count: int = 1000
) -> Schedule:
    """Stable Diffusion's, 1.x to Turbo: the square roots of betas are linear ("scaled linear").

    In float32 up to the product, as diffusers, whose tables it is equal to.
    """
    betas = torch.linspace(first_beta**0.5, last_beta**0.5, count, dtype=torch.float32) ** 2
    return Schedule(alphas_cumprod=torch.cumprod(1 - betas, 0).double(), prediction=prediction)


def add_noise(schedule: Schedule, clean: Tensor, noise: Tensor, t: int | Tensor) -> Tensor:
    """z_t of clean latents and noise [B, ...]."""
    a = schedule.alpha(t, clean)
    return a.sqrt() * clean + (1 - a).sqrt() * noise


def velocity(schedule: Schedule, clean: Tensor, noise: Tensor, t: int | Tensor) -> Tensor:
    """What a v-prediction network predicts: v = sqrt(a) n - sqrt(1 - a) z_0 (Salimans & Ho 2022).

    Args:
        clean, noise: [B, ...]. t: one, or one per row [B].

    Returns:
        [B, ...].

    Raises:
        ValueError: a timestep outside the table.
    """
    a = schedule.alpha(t, clean)
    return a.sqrt() * noise - (1 - a).sqrt() * clean


def clean_from(schedule: Schedule, output: Tensor, z: Tensor, t: int | Tensor) -> Tensor:
    """z_0 [B, ...] of a network's output at z_t, both [B, ...], whatever the schedule says that it predicts.

    Raises:
        ValueError: a timestep outside the table.
    """
    a = schedule.alpha(t, z)
    if schedule.prediction == "sample":
        return output
    if schedule.prediction == "v_prediction":
        return a.sqrt() * z - (1 - a).sqrt() * output
    return clean_from_noise(schedule, output, z, t)


def noise_from(schedule: Schedule, output: Tensor, z: Tensor, t: int | Tensor) -> Tensor:
    """The noise [B, ...] in z_t by a network's output, both [B, ...], whatever the schedule says it predicts.

    Raises:
        ValueError: a timestep outside the table.
    """
    a = schedule.alpha(t, z)
    if schedule.prediction == "epsilon":
        return output
    if schedule.prediction == "v_prediction":
        return a.sqrt() * output + (1 - a).sqrt() * z
    return (z - a.sqrt() * output) / (1 - a).sqrt()


def clean_from_noise(schedule: Schedule, noise_pred: Tensor, z: Tensor, t: int | Tensor) -> Tensor:
    """z_0 = (z_t - sqrt(1 - a) n) / sqrt(a), all [B, ...].

    Raises:
        ValueError: a timestep outside the table.
    """
    a = schedule.alpha(t, z)
    return (z - (1 - a).sqrt() * noise_pred) / a.sqrt()


def timesteps(schedule: Schedule, count: int, spacing: str = "leading", offset: int = 1) -> Tensor:
    """[count] int64 timesteps, falling, in one of the three spacings that samplers use (Lin et al. 2023, table 2).

    Args:
        offset: added to "leading" ones only.

    Raises:
        ValueError: another spacing, or a count outside 1 .. T.
    """
    T = len(schedule)
    if not 1 <= count <= T:
        raise ValueError(f"timesteps: expected a count from 1 to {T}, got {count}; take fewer steps")
    i = torch.arange(count, dtype=torch.float64)
    if spacing == "leading":
        return (i.flip(0).long() * (T // count) + offset).clamp(max=T - 1)
    if spacing == "trailing":
        return (T - i * (T / count)).round().long() - 1
    if spacing == "linspace":
        return torch.linspace(0, T - 1, count, dtype=torch.float64).round().long().flip(0)
    raise ValueError(
        f"timesteps: expected a spacing among leading, trailing, linspace, got {spacing!r}; choose one of them"
    )


def ddim_step(
    schedule: Schedule, z: Tensor, noise_pred: Tensor, t: int | Tensor, t_next: int | Tensor
) -> Tensor:
    """One deterministic step from t to t_next (Song et al. 2021, eq. 12 with sigma 0); to the clean latents where t_next is CLEAN.

    Args:
        z, noise_pred: [B, ...]. t, t_next: one, or one per row [B].

    Returns:
        [B, ...].

    Raises:
        ValueError: a timestep outside the table.
    """
    return add_noise(schedule, clean_from_noise(schedule, noise_pred, z, t), noise_pred, t_next)


def ddim(
    schedule: Schedule,
    denoise: Callable[[Tensor, Tensor], Tensor],
    z: Tensor,
    steps: Tensor,
    callback: Callable[[int, int], None] | None = None,
) -> Tensor:
    """From z at the first of the steps to clean latents.

    Args:
        denoise: (z [B, ...], t [B] int64) -> noise_pred [B, ...]. steps: [N] falling, as of `timesteps`.
        callback: told how many of the steps are done, and N; may raise to interrupt.
    """
    path = [*steps.tolist(), CLEAN]
    for i, (t, t_next) in enumerate(pairwise(path)):
        noise_pred = denoise(z, torch.full((len(z),), t, dtype=torch.int64, device=z.device))
        z = ddim_step(schedule, z, noise_pred, t, t_next)
        if callback is not None:
            callback(i + 1, len(steps))
    return z


def annealed_t(progress: float, first: int, last: int, power: float = 1.0) -> int:
    """A timestep that goes from first to last as progress goes from 0 to 1; with power 0.5 as HiFA's (Zhu & Zhuang 2023)."""
    return round(first + (last - first) * min(max(progress, 0.0), 1.0) ** power)


@dataclass(frozen=True, kw_only=True)
class TimePrior:
    """DreamTime's weights of timesteps (Huang et al. 2023, eq. 8), with DreamCraft3D's numbers: how long training dwells on each."""

    high: int = 800  # m1: from here up the weight falls as a Gaussian
    low: int = 500  # m2: from here down
    high_spread: float = 300.0  # s1, timesteps
    low_spread: float = 100.0  # s2
    first: int = 980  # timesteps are kept within last .. first + 1: the reference's clip is one too wide
    last: int = 20
    count: int = 1000  # T

    def __post_init__(self) -> None:
        if not (0 < self.low <= self.high <= self.count and self.high_spread > 0 and self.low_spread > 0):
            raise ValueError(
                f"TimePrior: expected 0 < low <= high <= {self.count} and positive spreads, got low {self.low}, high {self.high}, "
                f"spreads {self.low_spread} and {self.high_spread}; order them so"
            )
        if not 0 <= self.last <= self.first <= self.count:
            raise ValueError(
                f"TimePrior: expected 0 <= last <= first <= {self.count}, got {self.last} and {self.first}; order them so"
            )


def time_prior_weights(prior: TimePrior) -> Tensor:
    """[T]: share of the training that is over when timestep T, T - 1, ..., 1 has been dwelt on."""
    t = torch.arange(prior.count, 0, -1)
    above = torch.exp(-((t - prior.high) ** 2) / (2 * prior.high_spread**2))
    below = torch.exp(-((t - prior.low) ** 2) / (2 * prior.low_spread**2))
    weights = torch.where(t > prior.high, above, torch.where(t < prior.low, below, torch.ones(())))
    return (weights / weights.sum()).cumsum(0)


def time_prior(progress: float, prior: TimePrior, accumulated: Tensor | None = None) -> int:
    """The timestep at a share of the training: the one whose accumulated weight is nearest to it.

    Args:
        progress: in [0, 1]. accumulated: [T], `time_prior_weights(prior)`, where it is at hand.
    """
    accumulated = time_prior_weights(prior) if accumulated is None else accumulated
    after = min(
        int(torch.searchsorted(accumulated, torch.tensor(float(progress)), right=True)), prior.count - 1
    )
    nearer = after == 0 or abs(accumulated[after] - progress) < abs(accumulated[after - 1] - progress)
    t = prior.count - after + (0 if nearer else 1)
    return min(max(t, prior.last), prior.first + 1)


def sigmas(schedule: Schedule) -> Tensor:
    """[T] float64: the noise's standard deviation where latents are not scaled down (Karras et al. 2022): sqrt((1 - a) / a)."""
    return ((1 - schedule.alphas_cumprod) / schedule.alphas_cumprod).sqrt()


def from_sigmas(table: Tensor, prediction: str = "epsilon") -> Schedule:
    """The schedule of a table of such standard deviations [T], rising."""
    return Schedule(alphas_cumprod=1 / (1 + table.double().square()), prediction=prediction)
