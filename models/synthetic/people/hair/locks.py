"""What makes single strands a head of hair: they gather in locks, wave, coil, and some stand off."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..streams import Draws
from .roots import Roots
from .vectors import cross, length, unit


def nearest_lock(roots: Roots, count: int, apart: Tensor | None = None) -> Tensor:
    """[N]: which strand leads each strand's lock; leaders are spread evenly over the roots.

    Args:
        apart: [N, A] further coordinates, centimetres: strands that differ in them share no lock.
    """
    from scipy.spatial import KDTree

    places = roots.rest if apart is None else torch.cat([roots.rest, apart], 1)
    leaders = torch.linspace(0, len(roots) - 1, min(count, len(roots))).long()
    nearest = KDTree(places[leaders].numpy()).query(places.numpy())[1]
    return leaders[torch.from_numpy(nearest)]


def gather(
    strands: Tensor, lock: Tensor, strength: Tensor | float, start: float = 0.1, looseness: float = 0.25
) -> Tensor:
    """Strands [N, K, 3] drawn to the leader of their lock towards the tips.

    Args:
        lock: [N] as of `nearest_lock`. strength: 0 to 1, one number or [N]. start: share of the length where it begins.
        looseness: share of its distance that a strand keeps at the tip at full strength.
    """
    points = strands.shape[1]
    along = ((torch.linspace(0, 1, points) - start) / (1 - start)).clamp(0, 1).sqrt()
    pull = along[None] * torch.as_tensor(strength).reshape(-1, 1) * (1 - looseness)
    return torch.lerp(strands, strands[lock], pull[..., None])


def frames(strands: Tensor, outward: Tensor) -> tuple[Tensor, Tensor]:
    """Two unit vectors [N, K, 3] across each strand: aside, and outward; outward [N, K, 3] or [N, 1, 3], any length."""
    tangent = tangents(strands)
    aside = unit(cross(tangent, outward.expand_as(tangent)))
    return aside, cross(aside, tangent)


def tangents(strands: Tensor) -> Tensor:
    """[N, K, 3] unit directions towards the tips."""
    ahead = strands[:, 1:] - strands[:, :-1]
    middle = ahead[:, 1:] + ahead[:, :-1]
    return unit(torch.cat([ahead[:, :1], middle, ahead[:, -1:]], 1))


def arc(strands: Tensor) -> Tensor:
    """[N, K] length from the root, in the strands' unit."""
    return F.pad(length(strands[:, 1:] - strands[:, :-1]).cumsum(1), (1, 0))


def waved(
    strands: Tensor, outward: Tensor, phase: Tensor, amplitude: Tensor, wavelength: Tensor, coil: float
) -> Tensor:
    """Strands that swing aside, or coil.

    Args:
        strands: [N, K, 3] cm. outward: as of `frames`. phase: [N] radians. amplitude, wavelength: [N] cm.
        coil: 0 swings aside only, 1 is a helix.
    """
    aside, out = frames(strands, outward)
    along = arc(strands)
    angle = 2 * math.pi * along / wavelength[:, None] + phase[:, None]
    size = amplitude[:, None] * (along / (0.8 * wavelength[:, None])).clamp(0, 1)
    swing = angle.sin() - phase.sin()[:, None] * (1 - (along / wavelength[:, None]).clamp(0, 1))
    return strands + size[..., None] * (swing[..., None] * aside + coil * angle.cos()[..., None] * out)


def rumpled(strands: Tensor, amount: Tensor, draws: Draws) -> Tensor:
    """Strands [N, K, 3] that bend and swing on their own; amount [N] cm at the tip."""
    count, points, _ = strands.shape
    bend, swing = torch.from_numpy(draws.generator.standard_normal((2, count, 1, 3))).float()
    phase = torch.from_numpy(draws.generator.uniform(3.0, 9.0, (count, 1, 1))).float()
    along = torch.linspace(0, 1, points)[None, :, None]
    return strands + amount[:, None, None] * (
        bend * along.square() + 0.5 * swing * along * (phase * along).sin()
    )


class Drift:
    """A smooth random field over space: how a comb's direction, or a lock's phase, changes from place to place."""

    def __init__(self, draws: Draws, scale: float, channels: int = 3, waves: int = 8) -> None:
        """Args: scale: cm over which it changes. channels: numbers at a place. waves: sines that it is a sum of."""
        self.frequency = (
            torch.from_numpy(draws.generator.standard_normal((3, waves * channels))).float() / scale
        )
        self.phase = torch.from_numpy(draws.generator.uniform(0, 2 * math.pi, waves * channels)).float()
        self.channels = channels

    def __call__(self, points: Tensor) -> Tensor:
        """[N, channels], deviation about 1, at points [N, 3] in cm."""
        waves = (points @ self.frequency + self.phase).sin()
        return waves.unflatten(-1, (self.channels, -1)).sum(-1) * math.sqrt(
            2 * self.channels / waves.shape[-1]
        )
