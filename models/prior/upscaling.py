"""The super-resolution modules of the family: EG3D (Chan et al. 2022), section 4.2, as released."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Upscaling:
    """One of the family's super-resolution modules.

    Attributes:
        input: pixels that it works from. widths: channels of its two blocks. ups: which of them double the size.
        enlarge_only: takes larger inputs as they are.
    """

    input: int
    widths: tuple[int, int]
    ups: tuple[bool, bool]
    enlarge_only: bool = False


UPSCALINGS = {
    "8XDC": Upscaling(input=128, widths=(256, 128), ups=(True, True)),
    "8X": Upscaling(input=128, widths=(128, 64), ups=(True, True)),
    "4X": Upscaling(input=128, widths=(128, 64), ups=(False, True), enlarge_only=True),
    "Deepfp32": Upscaling(input=128, widths=(128, 64), ups=(False, True), enlarge_only=True),
    "2X": Upscaling(input=64, widths=(128, 64), ups=(False, True)),
}
