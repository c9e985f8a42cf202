"""One thread: what unit tests compute is small, and two threads on it are slower than one."""

from collections.abc import Iterator

import pytest
import torch
from portrait_diffusion.models.fitting import photo_losses, sweep

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def coarse_surveys() -> Iterator[None]:
    """For heads of few cells: matter is looked for on a grid as coarse as their planes, surface in views as small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "CELLS", 48)
        patch.setattr(photo_losses, "HELD_SIZE", 16)
        yield
