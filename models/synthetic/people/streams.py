"""Random numbers of a person: one stream for every part, so that a draw more in the hair does not move the skin's."""

from __future__ import annotations

import zlib

import numpy as np


class Draws:
    """Draws of one part of one person, in the order asked for."""

    def __init__(self, seed: int, part: str) -> None:
        """Args: seed: the person's, 0 or more. part: "skin", "hair", ...

        Raises:
            ValueError: a negative seed.
        """
        if seed < 0:
            raise ValueError(
                f"people: expected a seed of 0 or more, got {seed}; see splits.py for the ranges"
            )
        self.generator = np.random.default_rng([seed, zlib.crc32(part.encode())])

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """One number from low to high."""
        return float(self.generator.uniform(low, high))

    def normal(self, mean: float = 0.0, deviation: float = 1.0, limit: float = 2.0) -> float:
        """One number of a normal distribution, at most `limit` deviations off."""
        return mean + deviation * float(np.clip(self.generator.standard_normal(), -limit, limit))

    def chance(self, probability: float) -> bool:
        """Whether what happens with this probability happens."""
        return bool(self.generator.random() < probability)

    def choice(self, options: dict[str, float]) -> str:
        """One of the names, by their weights, which need not sum to 1."""
        weights = np.array(list(options.values()), dtype=np.float64)
        return list(options)[int(self.generator.choice(len(weights), p=weights / weights.sum()))]

    def choice_of(self, values: list[float]) -> float:
        """One of some numbers, all alike likely."""
        return values[int(self.generator.integers(len(values)))]
