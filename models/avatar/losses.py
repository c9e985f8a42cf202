"""What the two diffusion models of RodinHD are trained by (section 3.2, eqs. 4 and 5), one number a row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.schedule import Schedule, clean_from, noise_from, velocity
from .schedules import TIME, Posterior, betas, posterior

HALF_BIN = 1 / 255  # of values in -1 .. 1 told in 256 grades


@dataclass(frozen=True)
class Gaussian:
    """Attributes: mean, log_variance: [B, ...]. clean: [B, ...], the estimate that the mean is made of."""

    mean: Tensor
    log_variance: Tensor
    clean: Tensor


@dataclass(frozen=True)
class NoiseLoss:
    """[B] each.

    Attributes:
        simple: eq. 4. bound: bits a number, scaled to the sum over all steps.
        own: the squared error of what the network predicts, which is eq. 4 where that is the noise.
    """

    simple: Tensor
    bound: Tensor
    own: Tensor

    @property
    def total(self) -> Tensor:
        """[B], what is descended."""
        return self.own + self.bound


def noise_loss(
    schedule: Schedule, output: Tensor, clean: Tensor, noise: Tensor, z: Tensor, t: Tensor
) -> NoiseLoss:
    """Eq. 4 and the variational bound of Nichol & Dhariwal 2021, by which the variance is learnt and the noise is not.

    Args:
        output: [B, 2 C, ...], predicted noise, or what the schedule says is predicted, then where the log variance lies between its bounds, -1 .. 1.
        clean, noise, z: [B, C, ...], z as of `diffusion.schedule.add_noise`. t: [B] int64.

    Raises:
        ValueError: an output of other channels.
    """
    prediction, fraction = _halves(output, clean)
    simple = own = _mean((noise_from(schedule, prediction, z, t) - noise) ** 2)
    if schedule.prediction != "epsilon":
        truth = clean if schedule.prediction == "sample" else velocity(schedule, clean, noise, t)
        own = _mean((prediction - truth) ** 2)
    bound = variational_bound(schedule, torch.cat([prediction.detach(), fraction], 1), clean, z, t)
    return NoiseLoss(simple, bound * (len(schedule) / TIME), own)


def clean_loss(output: Tensor, clean: Tensor) -> Tensor:
    """Eq. 5, [B]: the squared error of predicted clean planes [B, ...]."""
    return _mean((output - clean) ** 2)


def variational_bound(schedule: Schedule, output: Tensor, clean: Tensor, z: Tensor, t: Tensor) -> Tensor:
    """One term of L_vlb, [B] bits a number: KL of the true step back from the predicted one, at t = 0 the likelihood of the clean planes.

    Args:
        as of `noise_loss`: output [B, 2 C, ...], clean and z [B, C, ...], t [B].

    Raises:
        ValueError: an output of other channels.
    """
    tables = posterior(schedule)
    mean = _row(tables.clean, t, z) * clean + _row(tables.noisy, t, z) * z
    ours = predicted_posterior(schedule, output, z, t, tables, clip=False)
    divergence = _mean(_divergence(mean, _row(tables.log_variance, t, z), ours))
    likelihood = _mean(_negative_log_likelihood(clean, ours))
    return torch.where(t.to(z.device) == 0, likelihood, divergence) / math.log(2)


def predicted_posterior(
    schedule: Schedule,
    output: Tensor,
    z: Tensor,
    t: Tensor,
    tables: Posterior | None = None,
    *,
    clip: bool = True,
) -> Gaussian:
    """p(x_{t-1} | x_t) of a network that predicts noise, or what the schedule says, and a variance between beta and the posterior's (Nichol & Dhariwal 2021, eq. 15).

    Args:
        output: [B, 2 C, ...]. z: [B, C, ...]. t: [B]. tables: of the schedule, where they are at hand.
        clip: keeps the clean estimate within -1 .. 1, as samplers do; the bound judges it as it comes.

    Raises:
        ValueError: an output of other channels.
    """
    tables = tables or posterior(schedule)
    prediction, fraction = _halves(output, z)
    clean = clean_from(schedule, prediction, z, t)
    clean = clean.clamp(-1, 1) if clip else clean
    least, most = _row(tables.log_variance, t, z), _row(betas(schedule).log(), t, z)
    share = (fraction + 1) / 2
    return Gaussian(
        mean=_row(tables.clean, t, z) * clean + _row(tables.noisy, t, z) * z,
        log_variance=share * most + (1 - share) * least,
        clean=clean,
    )


def _divergence(mean: Tensor, log_variance: Tensor, other: Gaussian) -> Tensor:
    """KL of a normal distribution from another, in nats, [B, ...]."""
    spread = log_variance - other.log_variance
    return 0.5 * (spread.exp() - 1 - spread + (mean - other.mean) ** 2 * torch.exp(-other.log_variance))


def _negative_log_likelihood(x: Tensor, normal: Gaussian) -> Tensor:
    """Of values [B, ...] in 256 grades under a normal distribution, in nats; the outermost grades reach on for ever."""
    scale = torch.exp(-0.5 * normal.log_variance)

    def below(edge: Tensor) -> Tensor:
        """The distribution function, by the tanh that approximates it."""
        u = (edge - normal.mean) * scale
        return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)))

    lower, upper = below(x - HALF_BIN), below(x + HALF_BIN)
    mass = torch.where(x < -0.999, upper, torch.where(x > 0.999, 1 - lower, upper - lower))
    return -mass.clamp(min=1e-12).log()


def _halves(output: Tensor, planes: Tensor) -> tuple[Tensor, Tensor]:
    if output.ndim != planes.ndim or output.shape[1] != 2 * planes.shape[1]:
        raise ValueError(
            f"noise loss: expected an output of {2 * planes.shape[1]} channels, noise and variance of {list(planes.shape)}, "
            f"got {list(output.shape)}; train a network that learns the variance, too"
        )
    prediction, fraction = output.chunk(2, 1)
    return prediction, fraction


def _mean(values: Tensor) -> Tensor:
    """[B] of [B, ...]."""
    return values.flatten(1).mean(1)


def _row(table: Tensor, t: Tensor, like: Tensor) -> Tensor:
    """Entries [B, 1, ...] of a table [T] in float64."""
    rows = table[t.to(table.device)].to(like.device, like.dtype)
    return rows.reshape(-1, *[1] * (like.ndim - 1))
