"""Pictures inside other files: which formats are taken, told by first bytes before a library reads them."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

SCAN = b"\xff\xda"  # how one begins in a JPEG; data between holds no such bytes
MAX_SCANS = 100  # of a progressive JPEG, each as long to decode as a whole picture; encoders write about ten
MAX_PARTS = 100_000  # chunks or segments of a picture, that Pillow goes through one by one
_FRAMES, _APPLICATIONS = (*range(0xC0, 0xC8), *range(0xC9, 0xD0)), range(0xE0, 0xF0)
SEGMENTS = frozenset((*_FRAMES, 0xDB, 0xDC, 0xDD, *_APPLICATIONS, 0xFE, 0xFF))  # of a JPEG before a scan
STRIP = 2**20  # pixels that are converted at a time


def format_of(data: bytes) -> str | None:
    """Pillow's name of the format if it is PNG, JPEG or WebP, whatever a label says; None for all else."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    return "WEBP" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def open_embedded(data: bytes) -> Image.Image:
    """A PNG, JPEG or WebP, its header read by its own reader only: others of Pillow's start programs (EPS).

    Raises:
        ValueError: another format, or more parts than anyone needs.
        Exception: what Pillow makes of damaged files.
    """
    kind = format_of(data)
    if kind is None:
        raise ValueError(
            f"picture: expected PNG, JPEG or WebP, got one that begins with {data[:8]!r}; save it as PNG"
        )
    check_parts(data, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # callers have limits of their own
        return Image.open(io.BytesIO(data), formats=[kind])


def check_parts(data: bytes, kind: str) -> None:
    """What takes Pillow minutes and us none.

    Raises:
        ValueError: more than MAX_PARTS parts, a JPEG of more than MAX_SCANS scans or with junk before them.
    """
    if kind == "JPEG" and data.count(SCAN) > MAX_SCANS:
        raise ValueError(
            f"picture: expected at most {MAX_SCANS} scans, got {data.count(SCAN)}; save it again"
        )
    step = {"PNG": _png_chunk, "JPEG": _jpeg_segment}.get(kind)
    at, count = 8 if kind == "PNG" else 2, 0
    while step and at is not None and at + 4 <= len(data):
        at, count = step(data, at), count + 1
        if count > MAX_PARTS:
            raise ValueError(f"picture: expected at most {MAX_PARTS} parts, got more; save it again")


def _png_chunk(data: bytes, at: int) -> int | None:
    """Where the chunk after this one begins; None at the end."""
    return None if data[at + 4 : at + 8] == b"IEND" else at + 12 + int.from_bytes(data[at : at + 4], "big")


def _jpeg_segment(data: bytes, at: int) -> int | None:
    """Where the segment after this one begins; None at the first scan. Pillow walks junk byte by byte."""
    if data[at : at + 2] == SCAN:
        return None
    if data[at] != 0xFF or data[at + 1] not in SEGMENTS:
        raise ValueError(
            "picture: expected a JPEG's segments before its scan, got something else; save it again"
        )
    return at + 1 if data[at + 1] == 0xFF else at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))


def rgb_values(image: Image.Image, max_side: int) -> np.ndarray:
    """Of an opened picture (of an animation the first frame) [H, W, 3] uint8; alpha is dropped.

    What is larger than max_side is made smaller by a whole factor.
    """
    if max(image.size) > max_side:
        image.draft(None, (max_side, max_side))  # JPEG: decodes at 1/2, 1/4 or 1/8
    factor, (width, height) = -(-max(image.size) // max_side), image.size
    rows = max(1, STRIP // (width * factor)) * factor
    boxes = [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
    return np.concatenate([np.asarray(image.crop(box).convert("RGB").reduce(factor)) for box in boxes])
