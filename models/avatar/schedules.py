"""RodinHD's noise schedules and its sampler (section 3.2 and appendix A).

Chen 2023, *On the Importance of Noise Scheduling for Diffusion Models*, names gamma(t), t in [0, 1], what is here alphas_cumprod:
x_t = sqrt(gamma) x_0 + sqrt(1 - gamma) n. Tables are float64: the strong ends of these schedules leave 1e-20 of the signal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..bounds import integers, numbers, shown
from ..diffusion.schedule import CLEAN, PREDICTIONS, Schedule, clean_from, noise_from

KINDS = ("cosine", "sigmoid", "linear", "squared_cosine")
TIME = 1000.0  # what networks count time in, however many steps a schedule has
MOST_BETA = 0.999


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """Attributes: kind: one of KINDS. count: T, steps of the training. start, end, tau: of "cosine" and "sigmoid" only. prediction: as of
    `Schedule`."""

    kind: str = "cosine"
    count: int = 1000
    start: float = 0.2
    end: float = 1.0
    tau: float = 3.0
    prediction: str = "epsilon"

    def __post_init__(self) -> None:
        integers(self, count=(1, 100_000))
        numbers(self, start=(-100, 100), end=(-100, 100), tau=(1e-3, 100))
        if self.kind not in KINDS or self.prediction not in PREDICTIONS:
            raise ValueError(
                f"ScheduleConfig: expected a kind among {', '.join(KINDS)} and a prediction among {', '.join(PREDICTIONS)}, "
                f"got {shown(self.kind)} and {shown(self.prediction)}; choose some of them"
            )
        if self.start >= self.end or (self.kind == "cosine" and not 0 <= self.start < self.end <= 1):
            raise ValueError(
                f"ScheduleConfig: expected start below end, and both in 0 .. 1 of a cosine, got {self.start} and {self.end}; "
                "order them so"
            )


BASE = ScheduleConfig()  # RodinHD, appendix A
UPSAMPLER = ScheduleConfig(kind="sigmoid", count=100, start=0.0, end=3.0, tau=0.1, prediction="sample")


def cosine_gamma(t: Tensor, start: float = 0.2, end: float = 1.0, tau: float = 3.0) -> Tensor:
    """gamma [...] float64 at t [...] in [0, 1]: cos(u pi / 2)^(2 tau) of u from start to end, moved to run from 1 to 0 (Chen 2023)."""

    def curve(u: Tensor) -> Tensor:
        return torch.cos(u * (math.pi / 2)) ** (2 * tau)

    return _between(curve, t, start, end)


def sigmoid_gamma(t: Tensor, start: float = 0.0, end: float = 3.0, tau: float = 0.1) -> Tensor:
    """gamma [...] float64 at t [...] in [0, 1]: sigmoid(u / tau) of u from start to end, moved to run from 1 to 0 (Chen 2023)."""

    def curve(u: Tensor) -> Tensor:
        return torch.sigmoid(u / tau)

    return _between(curve, t, start, end)


def _between(curve: Callable[[Tensor], Tensor], t: Tensor, start: float, end: float) -> Tensor:
    t = t.double()
    first, last = curve(t.new_tensor(start)), curve(t.new_tensor(end))
    return (last - curve(t * (end - start) + start)) / (last - first)


def discretised(gamma: Callable[[Tensor], Tensor], count: int) -> Tensor:
    """alphas_cumprod [T] float64 of gamma(t): betas are 1 - gamma((i + 1) / T) / gamma(i / T), at most 0.999.

    gamma itself is not clipped, as it is in Chen 2023: the bound on betas is all that keeps the last step from 0.
    """
    t = torch.arange(count + 1, dtype=torch.float64) / count
    values = gamma(t)
    return torch.cumprod(1 - (1 - values[1:] / values[:-1]).clamp(max=MOST_BETA), 0)


def schedule_of(config: ScheduleConfig) -> Schedule:
    """The table that a config names.

    Raises:
        ValueError: parameters that leave no signal at some step, or take none away.
    """
    T = config.count
    if config.kind == "linear":  # DDPM's for 1000 steps (Ho et al. 2020), as strong in all for others
        table = torch.cumprod(
            1 - torch.linspace(0.1 / T, 20 / T, T, dtype=torch.float64).clamp(max=MOST_BETA), 0
        )
    elif config.kind == "squared_cosine":  # Nichol & Dhariwal 2021, eq. 17
        table = discretised(lambda t: torch.cos((t + 0.008) / 1.008 * (math.pi / 2)) ** 2, T)
    else:
        gamma = cosine_gamma if config.kind == "cosine" else sigmoid_gamma
        table = discretised(lambda t: gamma(t, config.start, config.end, config.tau), T)
    return Schedule(alphas_cumprod=table, prediction=config.prediction)


def betas(schedule: Schedule) -> Tensor:
    """[T] float64: the share of variance that each step replaces with noise."""
    a = schedule.alphas_cumprod
    return 1 - a / _before(a)


def log_snr(schedule: Schedule) -> Tensor:
    """[T] float64: log of signal over noise, log(a / (1 - a))."""
    return torch.log(schedule.alphas_cumprod) - torch.log1p(-schedule.alphas_cumprod)


@dataclass(frozen=True)
class Posterior:
    """q(x_{t-1} | x_t, x_0) of every step (Ho et al. 2020, eq. 7): mean = clean x_0 + noisy x_t.

    Attributes: clean, noisy, log_variance: [T] float64. The first variance is 0, and in its log the second's stands for it.
    """

    clean: Tensor
    noisy: Tensor
    log_variance: Tensor


def posterior(schedule: Schedule) -> Posterior:
    """Its tables, [T] float64 each.

    Raises:
        ValueError: a schedule of one step only.
    """
    if len(schedule) < 2:
        raise ValueError(
            f"posterior: expected a schedule of at least two steps, got {len(schedule)}; take more"
        )
    a = schedule.alphas_cumprod
    before, beta = _before(a), betas(schedule)
    variance = beta * (1 - before) / (1 - a)
    return Posterior(
        clean=beta * before.sqrt() / (1 - a),
        noisy=(1 - before) * (1 - beta).sqrt() / (1 - a),
        log_variance=torch.cat([variance[1:2], variance[1:]]).log(),
    )


def _before(a: Tensor) -> Tensor:
    """alphas_cumprod one step earlier; 1 before the first."""
    return torch.cat([a.new_ones(1), a[:-1]])


def network_time(schedule: Schedule, t: Tensor) -> Tensor:
    """Steps [B] of a schedule on the scale of TIME that networks are told: t 1000 / T, [B] float32."""
    return (t * (TIME / len(schedule))).float()


def sampling_steps(schedule: Schedule, count: int) -> Tensor:
    """[count] int64, falling: T - 1, T - 1 - c, ... with c = T // count.

    Raises:
        ValueError: a count outside 1 .. T.
    """
    T = len(schedule)
    if not 1 <= count <= T:
        raise ValueError(f"sampling_steps: expected a count from 1 to {T}, got {count}; take fewer steps")
    return T - 1 - torch.arange(count) * (T // count)


def step_noise(schedule: Schedule, t: int, t_next: int, eta: float = 1.0) -> float:
    """sigma of the noise that a step from t to t_next adds (Song et al. 2021, eq. 16); 0 where t_next is CLEAN."""
    a, b = _signal(schedule, t), _signal(schedule, t_next)
    return eta * math.sqrt((1 - b) / (1 - a) * (1 - a / b))


def _signal(schedule: Schedule, t: int) -> float:
    """alphas_cumprod at a step, 1 at CLEAN."""
    return 1.0 if t == CLEAN else float(schedule.alphas_cumprod[t])


def clean_estimate(schedule: Schedule, output: Tensor, z: Tensor, t: int) -> Tensor:
    """x_0 by a network's output at z, all [B, ...], kept within -1 .. 1 as tri-planes are."""
    return clean_from(schedule, output, z, t).clamp(-1, 1)


def ancestral_step(
    schedule: Schedule, z: Tensor, output: Tensor, t: int, t_next: int, noise: Tensor, eta: float = 1.0
) -> tuple[Tensor, Tensor]:
    """One step of DDPM's sampler over any distance (Song et al. 2021, eq. 12), and the clean estimate on its way.

    The noise in z is the network's own, also where the clean estimate was clipped.

    Args:
        z, output, noise: [B, ...]. t, t_next: steps; CLEAN for the last. eta: 1 for DDPM, as RodinHD; 0 adds no noise (DDIM).

    Returns:
        z at t_next and clean estimate, [B, ...] each.
    """
    clean = clean_estimate(schedule, output, z, t)
    b, sigma = _signal(schedule, t_next), step_noise(schedule, t, t_next, eta)
    direction = math.sqrt(max(1 - b - sigma**2, 0.0)) * noise_from(schedule, output, z, t)
    return math.sqrt(b) * clean + direction + sigma * noise, clean


def sample(
    schedule: Schedule,
    predict: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    steps: Tensor,
    generator: torch.Generator,
    callback: Callable[[int, int, Tensor], None] | None = None,
) -> Tensor:
    """From noise to a clean sample.

    Args:
        predict: (z [B, ...], time [B] on the networks' scale) -> what the schedule says that it predicts, [B, ...].
        noise: [B, ...], at the first of the steps. steps: [N] falling, as of `sampling_steps`.
        generator: of the noise on the way, drawn on its device.
        callback: told how many of the steps are done, N, and the clean estimate [B, ...]; may raise to interrupt.

    Returns:
        [B, ...] in -1 .. 1.
    """
    z = clean = noise
    for i, (t, t_next) in enumerate(pairwise([*steps.tolist(), CLEAN])):
        time = network_time(schedule, torch.full((len(z),), t, device=z.device))
        output = predict(z, time)
        fresh = torch.randn(z.shape, generator=generator, device=generator.device).to(z)
        z, clean = ancestral_step(schedule, z, output, t, t_next, fresh)
        if callback is not None:
            callback(i + 1, len(steps), clean)
    return clean


def guided_noise(conditional: Tensor, unconditional: Tensor, scale: float, channels: int) -> Tensor:
    """Classifier-free guidance of the noise (Ho & Salimans 2022); what outputs tell of the variance is left out.

    Args:
        conditional, unconditional: [B, C or 2 C, ...], the noise first. channels: C.

    Returns:
        [B, C, ...].
    """
    noise, empty = conditional[:, :channels], unconditional[:, :channels]
    return empty + scale * (noise - empty)
