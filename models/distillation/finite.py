"""Steps whose numbers are not finite are left out and counted; too many in a row are an error."""

from __future__ import annotations

from torch import Tensor

BAD_IN_A_ROW = 20


class FiniteSteps:
    """Attributes: stage: its name, for the error. skipped: steps so far. in_a_row: of them, up to now."""

    def __init__(self, stage: str) -> None:
        self.stage, self.skipped, self.in_a_row = stage, 0, 0

    def accepts(self, *tensors: Tensor) -> bool:
        """Whether a step's numbers are all finite.

        Raises:
            ValueError: too many steps in a row were not.
        """
        good = all(bool(tensor.isfinite().all()) for tensor in tensors)
        self.skipped, self.in_a_row = self.skipped + (not good), 0 if good else self.in_a_row + 1
        if self.in_a_row >= BAD_IN_A_ROW:
            raise ValueError(
                f"{self.stage}: {BAD_IN_A_ROW} steps in a row gave numbers that are not finite; check the head and the diffusion model, "
                "or run them in float32"
            )
        return good
