"""Pictures from strangers: opened by the formats named here and no other of Pillow's, some of which start programs (EPS)."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

from PIL import Image

STARTS = {
    "PNG": b"\x89PNG\r\n\x1a\n",
    "JPEG": b"\xff\xd8\xff",
    "WEBP": b"RIFF",
}  # first bytes of what a model may carry
WEBP_AT = slice(8, 12)  # of a RIFF file: what it holds


def format_of(data: bytes) -> str | None:
    """PNG, JPEG or WEBP by a file's first bytes, whatever its name or label says; None for anything else."""
    for name, start in STARTS.items():
        if data.startswith(start) and (name != "WEBP" or data[WEBP_AT] == b"WEBP"):
            return name
    return None


def open_picture(source: Path | bytes, formats: tuple[str, ...]) -> Image.Image:
    """The header of a picture, its pixels not read yet; how many there may be is the caller's limit, not Pillow's warning.

    Args:
        source: a file, or its bytes. formats: Pillow's names; those that this installation lacks are left out.

    Raises:
        UnidentifiedImageError: of none of these formats. DecompressionBombError: more pixels than Pillow ever takes.
        OSError, SyntaxError, EOFError, ValueError and whatever else Pillow's plug-ins raise for damaged headers.
    """
    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        stream = io.BytesIO(source) if isinstance(source, bytes) else source
        return Image.open(stream, formats=[name for name in formats if name in Image.OPEN])
