"""The scores of noise resampling as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

WIDTH, HEIGHT, MARGIN = 480, 240, 28
COLOURS = {"resampled noise": (208, 84, 36), "kept noise": (40, 92, 168)}


def score_picture(scores: Sequence[tuple[float, float]]) -> Tensor:
    """[3, 240, 480] in [0, 1]: two curves over iterations, from -1 to 1.

    Args:
        scores: mean cosines of the resampled and of the kept noise's gradients with the drivers', eq. 14.
    """
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(picture)

    def place(i: int, value: float) -> tuple[float, float]:
        x = MARGIN + (WIDTH - 2 * MARGIN) * i / max(len(scores) - 1, 1)
        return x, HEIGHT / 2 - (HEIGHT / 2 - MARGIN) * max(-1.0, min(1.0, value))

    for level in (-1, 0, 1):
        pen.line([place(0, level), (WIDTH - MARGIN, place(0, level)[1])], fill=(205, 205, 205))
        pen.text((4, place(0, level)[1] - 5), str(level), fill=(110, 110, 110))
    for j, (name, colour) in enumerate(COLOURS.items()):
        pen.text((MARGIN + 8 + 150 * j, 6), name, fill=colour)
        line = [place(i, pair[j]) for i, pair in enumerate(scores)]
        if len(line) > 1:
            pen.line(line, fill=colour, width=2)
        for x, y in line[:1] if len(line) == 1 else ():
            pen.ellipse([x - 2, y - 2, x + 2, y + 2], fill=colour)
    return torch.from_numpy(np.array(picture)).movedim(-1, 0) / 255
