"""What foreign files (.npz, .mat) would unpack to, looked through before a library makes anything of them. Nothing in them is run.

Libraries unpack whatever a few bytes ask for: gigabytes of zeros.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path

TABLE = 2**21  # bytes of an archive's table of contents; a thousand tensors take a tenth
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack without a limit
COMPRESSED = 15  # MATLAB's miCOMPRESSED


class ShortReads(io.FileIO):
    """A file that is read in pieces: an archive's table of contents is one."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > TABLE:
            raise ValueError(f"a table of {size} bytes instead of up to {TABLE}")
        return super().read(size)


def check_archive(path: Path, most: int, part: int | None = None) -> None:
    """Raises ValueError unless a zip archive unpacks to `most` bytes or fewer, each of its files to `part` or fewer."""
    with ShortReads(path) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    strange = [member for member in members if member.compress_type not in PACKINGS]
    if strange:
        raise ValueError(f"packing {strange[0].compress_type}, which has no limit")
    sizes = [member.file_size for member in members]
    if sum(sizes) > most or (part is not None and max(sizes, default=0) > part):
        raise ValueError(f"{sum(sizes)} bytes instead of up to {most if part is None else part}")


def check_matlab(path: Path, most: int) -> None:
    """Raises ValueError unless a MATLAB file is, and its compressed variables unpack to, `most` bytes or fewer."""
    if path.stat().st_size > most:
        raise ValueError(f"{path.stat().st_size} bytes instead of up to {most}")
    content = path.read_bytes()
    budget = most
    order = "big" if content[126:128] == b"MI" else "little"
    at = 128  # behind the header
    while at + 8 <= len(content):
        kind, length = (int.from_bytes(content[i : i + 4], order) for i in (at, at + 4))
        if kind == COMPRESSED:
            plain = zlib.decompressobj().decompress(content[at + 8 : at + 8 + length], budget + 1)
            budget -= len(plain)
        if budget < 0:
            raise ValueError(f"it unpacks to more than {most} bytes")
        at += 8 + length
