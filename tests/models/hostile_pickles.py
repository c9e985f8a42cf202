"""Foreign files (.pth, .npz, .mat) of a few kilobytes that ask for gigabytes, or for the end of the process."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from .hostile_files import Case
from .pickles.hostile_streams import CASES as STREAMS

NESTED = b"})" + b"\x85" * 400_000 + b"K\x01s"  # tuples in tuples as a key, whose hash overflows the stack
ZEROS = b"}X\x01\0\0\0acbuiltins\nbytearray\n\x8a\x08" + (2**32).to_bytes(8, "little") + b"\x85Rs"
ENCODE = b"c_codecs\nencode\nq\x01X\0\0\x10\0" + b"a" * 2**20 + b"q\x02X\x06\0\0\0latin1q\x03\x86q\x04R"
COPIES = b"](" + ENCODE + b"h\x01h\x04R" * 3000 + b"e"  # of a megabyte
EMPTY_ARCHIVE = b"PK\x05\x06" + bytes(18)


def pickled(operations: bytes, end: bytes = b"") -> Callable[[Path], None]:
    """A .pth as torch wrote it before 1.6, with a pickle of such operations."""
    machine = {
        "protocol_version": 1001,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    start = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, machine))
    content = start + b"\x80\x02" + operations + b"." + pickle.dumps([], 2) + end
    return lambda path: path.write_bytes(content)


def archived(operations: bytes, name: str = "data.pkl") -> Callable[[Path], None]:
    """A .pth as torch writes it, with another pickle under a name."""

    def write(path: Path) -> None:
        torch.save({"features.0.weight": torch.zeros(4)}, path)
        with zipfile.ZipFile(path) as archive:
            parts = {part.filename: archive.read(part) for part in archive.infolist()}
        with zipfile.ZipFile(path, "w") as archive:
            for own, content in parts.items():
                own_pickle = own.endswith("data.pkl")
                archive.writestr(
                    own.replace("data.pkl", name), b"\x80\x02" + operations + b"." if own_pickle else content
                )

    return write


def two_archives(path: Path) -> None:
    """One that torch may find, and behind it one that Python finds."""
    archived(NESTED)(path)
    first = path.read_bytes()
    torch.save({"features.0.weight": torch.zeros(4)}, path)
    path.write_bytes(first + path.read_bytes())


def long_table(path: Path) -> None:
    """An archive whose table names a file 600,000 times."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"x")
    content, count = path.read_bytes(), 600_000
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    table = content[start:end] * count
    far = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(table), start)
    there = struct.pack("<4sLQL", b"PK\x06\x07", 0, start + len(table), 1)
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, *[2**16 - 1] * 2, *[2**32 - 1] * 2, 0)
    path.write_bytes(content[:start] + table + far + there + last)


def by_bzip2(name: str) -> Callable[[Path], None]:
    """An archive of zeros, which bzip2 makes ten million times shorter."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive, archive.open(name, "w") as part:
            for _ in range(128):
                part.write(bytes(2**20))

    return write


def matlab(covariance: Callable[[], object]) -> Callable[[Path], None]:
    """Statistics as MATLAB has them, compressed."""

    def write(path: Path) -> None:
        from scipy.io import savemat

        arrays = {"mu_prisparam": np.zeros((1, 36)), "cov_prisparam": covariance()}
        savemat(path, arrays, do_compression=True)

    return write


def sparse() -> object:
    from scipy.sparse import csc_matrix

    return csc_matrix(np.eye(36))


def words_for_arrays(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("mu_prisparam", "cov_prisparam"):
            archive.writestr(f"{name}.npy", "hello")


def damaged_by(change: Callable[[bytearray], None]) -> Callable[[Path], None]:
    """A good .pth with some of its bytes changed."""

    def write(path: Path) -> None:
        torch.save({"features.0.weight": torch.zeros(4)}, path)
        content = bytearray(path.read_bytes())
        change(content)
        path.write_bytes(content)

    return write


def locked(content: bytearray) -> None:
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1


def packed_strangely(content: bytearray) -> None:
    content[8] = content[content.index(b"PK\x01\x02") + 10] = 97


PTH: dict[str, Case] = {
    "VGG16 of tuples in tuples": ("vgg", pickled(NESTED), ["instead of text or a small number"]),
    "VGG16 of tuples in tuples that ends as archives do": (
        "vgg",
        pickled(NESTED, EMPTY_ARCHIVE),
        ["instead of text or a small number"],
    ),
    "VGG16 of 4 GiB of zeros": ("vgg", pickled(ZEROS), ["builtins bytearray"]),
    "VGG16 of 3000 megabytes": ("arcface", pickled(COPIES), ["holds something else"]),
    "archive of tuples in tuples": ("vgg", archived(NESTED), ["instead of text or a small number"]),
    "archive of tuples in tuples in capitals": (
        "vgg",
        archived(NESTED, "DATA.PKL"),
        ["0 pickles instead of one"],
    ),
    "archive of 4 GiB of zeros": ("arcface", archived(ZEROS), ["builtins bytearray"]),
    "two archives in one": ("vgg", two_archives, ["an archive behind something else"]),
    "archive of a long table": ("vgg", long_table, ["a table of", "bytes instead of up to"]),
    "archive of zeros by bzip2": ("vgg", by_bzip2("a/data.pkl"), ["packing 12"]),
    "archive that is locked": ("vgg", damaged_by(locked), ["or locked"]),
    "archive that is packed strangely": ("vgg", damaged_by(packed_strangely), ["packing 97"]),
    "archive that says nothing": (
        "vgg",
        lambda path: path.write_bytes(b"PK\x03\x04" + EMPTY_ARCHIVE),
        ["0 pickles instead of one"],
    ),
}
NPZ: dict[str, Case] = {
    "statistics by bzip2": ("niqe", by_bzip2("mu_prisparam.npy"), ["packing 12"]),
    "statistics of words": ("niqe", words_for_arrays, ["expected mu_prisparam and cov_prisparam"]),
}
MAT: dict[str, Case] = {
    "statistics of 200 MB in 200 kB": (
        "niqe",
        matlab(lambda: np.zeros((36, 6 * 10**6), np.uint8)),
        ["unpacks to more"],
    ),
    "statistics that are sparse": ("niqe", matlab(sparse), ["expected mu_prisparam and cov_prisparam"]),
    "statistics in a cell": (
        "niqe",
        matlab(lambda: np.array([[1], [2, 3]], object)),
        ["expected mu_prisparam and cov_prisparam"],
    ),
}
STREAMED: dict[str, Case] = {
    f"pickle: {name}": (
        "prior" if reader == "prior" else "vgg",
        partial(Path.write_bytes, data=content),
        [words],
    )
    for name, (reader, content, words) in STREAMS.items()
}
PICKLES = PTH | NPZ | STREAMED | (MAT if find_spec("scipy") else {})
SUFFIXES = {name: ".pkl" if loader == "prior" else ".pth" for name, (loader, _, _) in STREAMED.items()}
SUFFIXES |= dict.fromkeys(PTH, ".pth") | dict.fromkeys(NPZ, ".npz") | dict.fromkeys(MAT, ".mat")
