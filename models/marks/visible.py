"""A visible mark: a few words in a corner, white on a dark plate, so that they are read on light and on dark pictures."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

TEXT = "AI render"
CORNERS = ("lower right", "lower left", "upper right", "upper left")
LETTERS = 0.05  # of the shorter side
SMALLEST = 11  # pixels of letters that are still read
PLATE = 0.6  # opacity of the black behind them
FINER = 4  # times the pixels at which they are drawn: smooth corners
ABSENT = "\U0010ffff"  # no font has it


def tag(images: Tensor, text: str = TEXT, corner: str = CORNERS[0]) -> Tensor:
    """The same pictures with words in a corner.

    Args:
        images: [B, 3, H, W] sRGB in [0, 1]. text: one line in letters of Pillow's own font, which has Latin ones. corner: of CORNERS.

    Raises:
        ValueError: no text or one with other letters, one that is wider than the picture, or no such corner.
    """
    if corner not in CORNERS:
        raise ValueError(f"tag: expected a corner of {', '.join(CORNERS)}, got {corner!r}; choose one")
    height, width = images.shape[-2:]
    letters, plate = _drawing(text.strip(), max(SMALLEST, round(LETTERS * min(height, width))))
    rows, columns = plate.shape
    away = max(2, rows // 4)  # from the edges
    if columns + 2 * away > width or rows + 2 * away > height:
        raise ValueError(
            f"tag: expected words of at most {width - 2 * away} pixels, got {columns} for {text!r}; shorten them or render larger"
        )
    top = away if corner.startswith("upper") else height - away - rows
    left = away if corner.endswith("left") else width - away - columns
    tagged = images.clone()
    place = tagged[..., top : top + rows, left : left + columns]
    dark = place * (1 - PLATE * plate.to(place))
    place.copy_(torch.lerp(dark, torch.ones_like(dark), letters.to(place).expand_as(dark)))
    return tagged


@cache  # for all frames of a video
def _drawing(text: str, size: int) -> tuple[Tensor, Tensor]:
    """How much [h, w] of each pixel is letter, and how much is plate, in [0, 1]; size: pixels of the letters."""
    font = ImageFont.load_default(size * FINER)
    unknown = sorted({letter for letter in text if letter != " " and _is_absent(letter, font)})
    if not text or unknown or not text.isprintable():
        content = f"{text!r}, with {' '.join(unknown)}" if unknown else repr(text)
        raise ValueError(
            f"tag: expected one line of Latin letters, digits and signs, got {content}; change the text"
        )
    left, top, right, bottom = font.getbbox(text)
    edge = FINER * max(2, size // 3)
    shape = [-(-int(side + 2 * edge) // FINER) * FINER for side in (right - left, bottom - top)]
    pictures = [Image.new("L", (shape[0], shape[1])) for _ in range(2)]
    ImageDraw.Draw(pictures[0]).text((edge - left, edge - top), text, fill=255, font=font)
    ImageDraw.Draw(pictures[1]).rounded_rectangle((0, 0, shape[0] - 1, shape[1] - 1), edge, fill=255)
    letters, plate = (
        torch.from_numpy(np.asarray(p.reduce(FINER)).astype(np.float32) / 255) for p in pictures
    )
    return letters, plate


def _is_absent(letter: str, font) -> bool:
    """Whether a font draws its sign for letters that it lacks."""
    return bytes(font.getmask(letter)) == bytes(font.getmask(ABSENT))
