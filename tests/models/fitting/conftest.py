from collections.abc import Iterator

import pytest
from portrait_diffusion.models.fitting import photo_losses, sweep


@pytest.fixture(scope="module")
def coarse_surveys() -> Iterator[None]:
    """Heads here have planes of 16 cells: matter is looked for on a grid as coarse, surfaces in views as small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "CELLS", 48)
        patch.setattr(photo_losses, "HELD_SIZE", 16)
        yield
