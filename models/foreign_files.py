"""What foreign files (.pth, .npz, .mat) would unpack to, looked through before a library makes anything of them. Nothing in them is run.

Libraries unpack whatever a few bytes ask for: gigabytes of zeros, `bytearray(10**10)`, or tuples in tuples whose
hash overflows the stack.
"""

from __future__ import annotations

import io
import os
import pickletools
import zipfile
import zlib
from pathlib import Path

TABLE = 2**21  # bytes of an archive's table of contents; a thousand tensors take a tenth
PICKLE = 2**19  # bytes of what names tensors, without their numbers; networks of a thousand take half
TUPLES = 5000  # a tensor takes four
LEGACY = 5  # pickles at the start of a .pth as torch wrote it before 1.6: mark, version, machine, tensors, order of their numbers
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack without a limit
COMPRESSED = 15  # MATLAB's miCOMPRESSED
GLOBALS = {  # what names and plain tensors are made of
    "collections OrderedDict",
    "torch.nn.parameter Parameter",
    *(f"torch._utils _rebuild_{kind}" for kind in ("tensor", "tensor_v2", "parameter")),
    *(
        f"torch {kind}Storage"
        for kind in ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
    ),
}
TORCHSCRIPT = "constants.pkl"  # a file of its archive
CALLS = ("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4")  # other ways to one


class _ShortReads(io.FileIO):
    """A file that is read in pieces: an archive's table of contents is one."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > TABLE:
            raise ValueError(f"a table of {size} bytes instead of up to {TABLE}")
        return super().read(size)


def check_archive(path: Path, most: int, part: int | None = None) -> None:
    """Raises ValueError unless a zip archive unpacks to `most` bytes or fewer, each of its files to `part` or fewer."""
    with _ShortReads(path) as file, zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    strange = [member for member in members if member.compress_type not in PACKINGS]
    if strange:
        raise ValueError(f"packing {strange[0].compress_type}, which has no limit")
    sizes = [member.file_size for member in members]
    if sum(sizes) > most or (part is not None and max(sizes, default=0) > part):
        raise ValueError(f"{sum(sizes)} bytes instead of up to {most if part is None else part}")


def check_pickled_tensors(path: Path) -> None:
    """Raises ValueError unless a .pth holds plain tensors by their names, as far as can be told before it is read.

    An archive may not unpack to more than it is long, for torch does not compress tensors.
    """
    with path.open("rb") as file:
        start = file.read(LEGACY * PICKLE)
    if start.startswith(b"PK\x03\x04"):  # as torch tells them apart
        check_archive(path, 2 * path.stat().st_size + 2**20)
        _check_archived_pickles(path)
        return
    stream = io.BytesIO(start)
    for _ in range(LEGACY):
        _check_pickle(stream)


def _check_archived_pickles(path: Path) -> None:
    """The same of an archive's pickles, in which torch finds the same as Python does."""
    with _ShortReads(path) as file, zipfile.ZipFile(file) as archive:
        names = {
            member: member.orig_filename.lower() for member in archive.infolist()
        }  # torch takes any case
        if any(name.endswith(TORCHSCRIPT) for name in names.values()):
            return  # torch says what it is
        if archive.start_dir != _table_offset(path):
            raise ValueError("a table that lies elsewhere than the archive says")
        for member in (member for member, name in names.items() if name.endswith("data.pkl")):
            with archive.open(member) as pickle:
                _check_pickle(io.BytesIO(pickle.read(PICKLE)))


def _table_offset(path: Path) -> int:
    """Where an archive says that its table lies, which Python only takes for a hint."""
    with path.open("rb") as file:
        file.seek(
            -98, os.SEEK_END
        )  # 56 bytes of a large archive's end, 20 that point there, 22 of any archive's
        end = file.read()
    offset = int.from_bytes(end[-6:-2], "little")
    return int.from_bytes(end[48:56], "little") if offset == 2**32 - 1 else offset


def _check_pickle(stream: io.BytesIO) -> None:
    """The same of one pickle, from where the stream is to behind it."""
    start = stream.tell()
    tuples = 0
    for operation, value, _ in pickletools.genops(stream):
        tuples += operation.name.startswith("TUPLE")
        if operation.name in CALLS or (operation.name == "GLOBAL" and value not in GLOBALS):
            raise ValueError(f"it wants {value or operation.name}")
        if tuples > TUPLES or stream.tell() - start > PICKLE:
            raise ValueError("more names and sizes than networks have")


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
