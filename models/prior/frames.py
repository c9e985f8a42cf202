"""Where a family's heads lie in front of its cameras: larger in the picture than this pack's, for its photos were cropped closer.

Read off the families' descriptions of their crops, and never checked against their weights; a fit moves the camera the rest of the way.
"""

from __future__ import annotations

from dataclasses import dataclass

from .contract import HeadGenerator
from .families import family_of


@dataclass(frozen=True)
class Frame:
    """A family's scene, whose cameras are this pack's: radius 2.7, focal length 4.2647 image widths, a box about the middle.

    Attributes:
        scale: its scene units per one of the canonical head's. offset: scene units, where that head's middle lies.
    """

    scale: float = 1.0
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)


FRAMES = {
    # EG3D: 300 pixels of 1024 per unit of the Basel face model, of which 700 are kept; a unit is 0.27 scene units, its origin at
    # (0, 0.006, 0.161). Its eyes (0.31, 0.29, 0.13) and mouth (0.25, -0.38, 0.22) lie so about the canonical ones.
    "eg3d": Frame(1.86, (0.0, 0.084, 0.013)),
    # PanoHead: a square of 4 distances between the eyes, a tenth of that more above and a twentieth at either side, its middle a tenth
    # of the way from eyes to mouth below the eyes. SphereHead was trained on the same crops.
    "panohead": Frame(1.51, (0.0, -0.012, 0.0)),
    "spherehead": Frame(1.51, (0.0, -0.012, 0.0)),
}


def frame_of(prior: HeadGenerator) -> Frame:
    """The frame that a generator was trained in: this pack's own for those that ask for no camera's label, as only the pack's do."""
    return FRAMES[family_of(prior)] if prior.config.c_dim else Frame()
