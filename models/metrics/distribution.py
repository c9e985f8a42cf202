"""How far two sets of pictures are apart, by their features: kernel distance and Frechet distance.

Features are [N, D], one row a picture: those of our own network are `perceptual.embedding` (its deepest level), so figures compare
with other figures of ours only, never with published KID or FID, which take Inception's features.
"""

from __future__ import annotations

import torch
from torch import Tensor


def kernel_distance(features_a: Tensor, features_b: Tensor) -> float:
    """Squared maximum mean discrepancy under the kernel k(x, y) = (x . y / D + 1)^3: KID of Binkowski et al. 2018, section 4.

    The unbiased estimator (Gretton et al. 2012, eq. 3), so that the expectation does not depend on how many pictures there are; about
    0, and then often below it, where both sets come from one distribution.

    Args:
        features_a: [N, D], N >= 2. features_b: [M, D], M >= 2.

    Raises:
        ValueError: fewer than two rows, other widths, or values that are not finite.
    """
    a, b = _checked("kernel_distance", features_a, features_b)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.mT / x.shape[1] + 1) ** 3

    def within(x: Tensor) -> Tensor:
        values = kernel(x, x)
        return (values.sum() - values.diagonal().sum()) / (len(x) * (len(x) - 1))

    return (within(a) + within(b) - 2 * kernel(a, b).mean()).item()


def frechet_distance(features_a: Tensor, features_b: Tensor) -> float:
    """Squared Frechet distance of the Gaussians fitted to two sets: FID's formula (Heusel et al. 2017, eq. 6).

        |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)),

    where the last trace is the sum of the singular values of C_a^(1/2) C_b^(1/2), so that no matrix root of a product is taken.

    Biased upwards for few pictures: two sets of N from one Gaussian of unit covariance give D (D + 5) / (2 N) instead of 0 where N is
    far above D, and the bias differs from one distribution to another. Compare only figures of equal counts well above D; else take
    `kernel_distance`.

    Args:
        features_a: [N, D], N >= 2. features_b: [M, D], M >= 2.

    Raises:
        ValueError: as `kernel_distance`.
    """
    a, b = _checked("frechet_distance", features_a, features_b)
    cov_a, cov_b = (torch.cov(x.mT).reshape(x.shape[1], x.shape[1]) for x in (a, b))
    cross = torch.linalg.svdvals(_root(cov_a) @ _root(cov_b)).sum()
    return ((a.mean(0) - b.mean(0)).square().sum() + cov_a.trace() + cov_b.trace() - 2 * cross).item()


def _root(covariance: Tensor) -> Tensor:
    """Square root of a symmetric positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp_min(0).sqrt() @ vectors.mT


def _checked(name: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float64."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"{name}: expected features [N, D] and [M, D] of two pictures or more each, got {list(a.shape)} and {list(b.shape)}"
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError(f"{name}: expected finite features, got NaN or infinity; leave such pictures out")
    return a.double(), b.double()
