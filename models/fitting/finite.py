"""Steps whose numbers are not finite are left out and counted; too many in a row are an error."""

from __future__ import annotations

import logging

from torch import Tensor

BAD_IN_A_ROW = 20


class FiniteSteps:
    """Attributes: stage: its name, for the error. skipped: steps so far. in_a_row: of them, up to now.
    most: that may follow each other."""

    def __init__(self, stage: str, steps: int, advice: str) -> None:
        """Args: steps: that there will be; where none of them can be taken, that is an error too.
        advice: what to do about it."""
        self.stage, self.advice = stage, advice
        self.skipped, self.in_a_row, self.most = 0, 0, min(BAD_IN_A_ROW, steps)

    def accepts(self, *tensors: Tensor) -> bool:
        """Whether a step's numbers are all finite.

        Raises:
            ValueError: too many steps in a row were not.
        """
        good = all(bool(tensor.isfinite().all()) for tensor in tensors)
        self.skipped, self.in_a_row = self.skipped + (not good), 0 if good else self.in_a_row + 1
        if self.in_a_row >= self.most:
            raise ValueError(
                f"{self.stage}: expected finite numbers, but {self.in_a_row} steps in a row gave others; "
                f"{self.advice}"
            )
        if not good:
            words = "%s: a step gave numbers that are not finite and was skipped (%d so far)"
            logging.getLogger(__name__).warning(words, self.stage, self.skipped)
        return good
