"""An invisible mark: a number of 16 bits, spread over a picture's middle frequencies and read without the picture that it was put into.

Spread spectrum (Cox et al. 1997) in the cosine transform of the whole picture, shrunk to one size, so that resizing does not move it; the
embedder looks at the picture and pushes only what it does not say by itself (informed embedding, Malvar and Florencio 2003).

What a picture says: its luminance on a grid of SIDE x SIDE, less its blur and over its local contrast, so that edges do not drown the
mark; of that the cosine coefficients of a ring of frequencies, with keyed signs, summed in CARRIERS disjoint groups. A number is the row of
a keyed table of signs; the score of a number is sqrt(CARRIERS) times the cosine between its row and what the picture says.

False alarms. For a picture that knows nothing of the key, what it says has independent fair signs, whatever its size; so by Hoeffding's
inequality P(score of a number >= s) <= exp(-s^2 / 2), and of the best of all numbers in so many tries <= tries NUMBERS exp(-s^2 / 2).
`threshold` makes that FALSE_ALARM. The key is public: the mark tells honest people where a picture is from. It is no proof, and whoever wants to can remove or
copy it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..metrics.image import luminance, masked_blur

KEY = "portrait diffusion, mark 1"  # another key, band or table is another mark: readers of this one are blind to it
SIDE = 128  # cells of the grid; also the fewest pixels of a picture's shorter side
BAND = (
    14,
    60,
)  # radii of the ring, half periods a picture: below are faces, above is what halving and JPEG take
CARRIERS = 128
NUMBERS = 2**16
FALSE_ALARM = 1e-6  # at most, a picture
CROPS = (0, 2, 4, 6, 8)  # cells that a side may have lost: 6 % of the picture
BLUR = 2.0  # cells
CONTRAST = 0.02  # below which a place counts as flat
CUTS = len(CROPS) ** 4  # tries of `read_cropped`
PSNR = 44.0  # dB of a marked picture to itself, before it is rounded to 8 bits
SURE = 9.0  # score that a picture is marked for: above what JPEG and halving take from it
DECIBELS, YIELDED = (
    0.5,
    3.5,
)  # by how much more noise is allowed at a time where a picture says too little, and at most
STEPS = 16
WORKING = 256  # pixels at which a larger picture's mark is looked for


def threshold(tries: int = 1) -> float:
    """The score from which on the best of so many readings of one picture is a mark."""
    return math.sqrt(2 * math.log(tries * NUMBERS / FALSE_ALARM))


@dataclass(frozen=True)
class Reading:
    """Attributes: number: the likeliest, 0 .. 65535. score: how sure, 0 .. sqrt(CARRIERS). tries: readings of which it is the best."""

    number: int
    score: float
    tries: int = 1

    @property
    def present(self) -> bool:
        """Whether there is a mark: wrong at most FALSE_ALARM of the time."""
        return self.score >= threshold(self.tries)


def mark(
    images: Tensor, number: int, *, psnr: float = PSNR, callback: Callable[[int, int], None] | None = None
) -> Tensor:
    """The same pictures, with a mark.

    Args:
        images: [B, 3, H, W] sRGB in [0, 1], sides of at least SIDE. number: 0 .. 65535, what the mark says.
        psnr: dB of each result to its picture, at least this, or up to YIELDED less where the picture drowns the mark: fine stripes,
            which also hide it. callback: pictures done, of how many.

    Raises:
        ValueError: a smaller picture, a number outside, or a psnr outside 30 .. 60.
    """
    if min(images.shape[-2:]) < SIDE:
        height, width = images.shape[-2:]
        raise ValueError(
            f"mark: expected pictures of at least {SIDE}x{SIDE} pixels, got {width}x{height}; render them larger"
        )
    if not 0 <= number < NUMBERS:
        raise ValueError(f"mark: expected a number from 0 to {NUMBERS - 1}, got {number}; choose another")
    if not 30 <= psnr <= 60:
        raise ValueError(f"mark: expected a psnr from 30 to 60 dB, got {psnr:g}; {PSNR:g} is not seen")
    carriers = _Carriers(images)
    word = codebook(images)[number]
    pictures = []
    for image in images.split(1):
        scale = WORKING / min(image.shape[-2:])
        small = F.interpolate(image, scale_factor=scale, mode="area") if scale < 1 else image
        for step in range(1 + round(YIELDED / DECIBELS)):
            allowed = psnr - step * DECIBELS
            amounts = carriers.amounts(small, word, allowed)
            picture = carriers.add(image, carriers.within(image, amounts, allowed))
            if float(F.cosine_similarity(carriers.said(picture), word)) * CARRIERS**0.5 >= SURE:
                break
        pictures.append(picture)
        if callback:
            callback(len(pictures), len(images))
    return torch.cat(pictures)


def read(images: Tensor) -> list[Reading]:
    """What each picture's mark says; images [B, 3, H, W] sRGB in [0, 1], of any size."""
    table, carriers = codebook(images), _Carriers(images)
    return [_reading(carriers.said(image), table) for image in images.split(1)]


def read_together(images: Tensor) -> Reading:
    """What the mark of one video says, of which single frames may say too little; images [B, 3, H, W] sRGB in [0, 1]."""
    carriers = _Carriers(images)
    sayings = torch.cat([carriers.said(image) for image in images.split(1)])
    return _reading(F.normalize(sayings, dim=1).sum(0, keepdim=True), codebook(images))


def read_cropped(images: Tensor) -> list[Reading]:
    """What each picture's mark says if up to 6 % of the whole picture was cut away at any side; images [B, 3, H, W] sRGB in [0, 1].

    All cuts of CROPS cells are tried, in between a mark is still read. So a mark must score higher than where none is tried.
    """
    table, carriers = codebook(images), _Carriers(images)
    readings = []
    for image in images.split(1):
        some = [_reading(carriers.said_by(grids), table) for grids in _uncropped(image)]
        best = max(some, key=lambda reading: reading.score)
        readings.append(replace(best, tries=sum(reading.tries for reading in some)))
    return readings


def _uncropped(image: Tensor) -> Iterator[Tensor]:
    """Grids [B, 1, SIDE, SIDE] of a picture [1, 3, H, W] put back to where it may have been cut from; its edges repeated around it."""
    for across in product(CROPS, repeat=2):
        cut = product(CROPS, repeat=2)
        yield torch.cat(
            [
                F.pad(
                    _shrunk(image, SIDE - sum(down), SIDE - sum(across)), (*across, *down), mode="replicate"
                )
                for down in cut
            ]
        )


def _shrunk(images: Tensor, height: int, width: int) -> Tensor:
    """[B, 1, height, width]: the luminance of [B, 3, H, W]."""
    return F.interpolate(luminance(images.float()), size=(height, width), mode="bilinear", antialias=True)


def _reading(said: Tensor, table: Tensor) -> Reading:
    """The best of all numbers for what a picture says in some tries, [T, CARRIERS]."""
    scores = table @ F.normalize(said, dim=1).T
    best = int(scores.argmax())
    return Reading(best // len(said), float(scores.flatten()[best]), len(said))


def codebook(like: Tensor) -> Tensor:
    """[NUMBERS, CARRIERS] of -1 and 1: what each number looks like."""
    return _signs("words", NUMBERS * CARRIERS).to(like.device, torch.float32).view(NUMBERS, CARRIERS)


def _stream(name: str, count: int) -> bytes:
    """Bytes of the key, the same on every machine for ever."""
    return hashlib.shake_256(f"{KEY}, {name}".encode()).digest(count)


def _signs(name: str, count: int) -> Tensor:
    """[count] of -1 and 1, int8."""
    bits = np.unpackbits(np.frombuffer(_stream(name, -(-count // 8)), np.uint8))[:count]
    return torch.from_numpy(2 * bits.astype(np.int8) - 1)


class _Carriers:
    """Groups of cosine coefficients with keyed signs, and what pictures are to them; on the device of a tensor [...]."""

    def __init__(self, like: Tensor) -> None:
        i = torch.arange(SIDE, dtype=torch.float64)
        basis = torch.cos(math.pi * (i + 0.5) * i[:, None] / SIDE) * math.sqrt(2 / SIDE)
        basis[0] /= math.sqrt(2)
        self.basis = basis.float().to(like.device)  # [SIDE, SIDE], a frequency a row, orthonormal
        radius = torch.hypot(i[:, None], i)
        inside = (radius >= BAND[0]) & (radius < BAND[1]) & (i[:, None] > 0) & (i > 0)
        ring = inside.flatten().nonzero()[:, 0]
        order = np.argsort(np.frombuffer(_stream("order", 8 * len(ring)), "<u8"), kind="stable")
        each = len(ring) // CARRIERS
        self.place = ring[torch.from_numpy(order)][: CARRIERS * each].to(like.device)
        signs = _signs("signs", CARRIERS * each).to(like.device, torch.float32)
        self.weights = signs.view(CARRIERS, each) / math.sqrt(each)

    def said(self, images: Tensor) -> Tensor:
        """[B, CARRIERS], in units of the local contrast, of [B, 3, H, W]."""
        return self.said_by(_shrunk(images, SIDE, SIDE))

    def said_by(self, grid: Tensor) -> Tensor:
        """The same [B, CARRIERS] of luminance [B, 1, SIDE, SIDE]."""
        everywhere = torch.ones_like(grid)
        rest = grid - masked_blur(grid, everywhere, BLUR)
        contrast = masked_blur(rest.square(), everywhere, BLUR).clamp_min(0).sqrt() + CONTRAST
        cosines = self.basis @ (rest / contrast) @ self.basis.T
        return (cosines.flatten(1)[:, self.place].view(len(grid), *self.weights.shape) * self.weights).sum(-1)

    def add(self, image: Tensor, amounts: Tensor) -> Tensor:
        """[1, 3, H, W] and as much of each carrier [CARRIERS], in units of CONTRAST."""
        cosines = torch.zeros(SIDE * SIDE, device=image.device)
        cosines[self.place] = (amounts[:, None] * self.weights).flatten()
        pattern = CONTRAST * self.basis.T @ cosines.view(1, 1, SIDE, SIDE) @ self.basis
        smooth = F.interpolate(pattern, size=image.shape[-2:], mode="bicubic")
        return (image + smooth.to(image.dtype)).clamp(0, 1)

    def amounts(self, image: Tensor, word: Tensor, psnr: float) -> Tensor:
        """[CARRIERS]: what brings all carriers to one margin on the word's side, the largest that the noise allows.

        Carriers on which the picture [1, 3, H, W] itself says enough get nothing.
        """
        amounts, margin = torch.zeros_like(word), 1.0
        for step in range(STEPS):
            marked = self.add(image, amounts)
            short = (margin - word * self.said(marked)[0]).clamp_min(0)
            excess = _decibels(marked, image) - psnr
            amounts = amounts + 0.7 * word * short
            if step:
                margin *= 10 ** (0.03 * max(-6.0, min(6.0, excess)))
            if excess < 0:
                amounts = amounts - 0.1 * amounts
        return amounts

    def within(self, image: Tensor, amounts: Tensor, psnr: float) -> Tensor:
        """The same amounts [CARRIERS], made smaller until their noise in [1, 3, H, W] is what is allowed."""
        for _ in range(STEPS):
            excess = _decibels(self.add(image, amounts), image) - psnr
            if excess >= 0:
                break
            amounts = amounts * 10 ** (excess / 20 - 0.001)
        return amounts


def _decibels(a: Tensor, b: Tensor) -> float:
    """PSNR of images [...], 100 at most."""
    return -10 * math.log10(max(1e-10, float((a.float() - b.float()).square().mean())))
