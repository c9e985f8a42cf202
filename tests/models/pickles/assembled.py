"""Pickles put together operation by operation, and files around them, good or bad."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import torch

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
VERSION = pickle.dumps(1001, 2)
SYSTEM = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, 2)
CODES = {operation.name: operation.code.encode("latin-1") for operation in pickletools.opcodes}


def text(value: str) -> bytes:
    """BINUNICODE."""
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def named(full: str) -> bytes:
    """GLOBAL of "module name"."""
    return b"c" + full.replace(" ", "\n").encode() + b"\n"


def stacked(module: str, name: str) -> bytes:
    """STACK_GLOBAL."""
    return text(module) + text(name) + b"\x93"


def number(value: int) -> bytes:
    """LONG1."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def tuple_of(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def call(full: str, *parts: bytes) -> bytes:
    """REDUCE."""
    return named(full) + tuple_of(*parts) + b"R"


def whole(operations: bytes, protocol: int = 2) -> bytes:
    """A pickle, from PROTO to STOP."""
    return (b"\x80" + bytes([protocol]) if protocol >= 2 else b"") + operations + b"."


def storage(key: str = "0", count: int = 4, kind: str = "Float") -> bytes:
    """BINPERSID of a storage."""
    identity = tuple_of(text("storage"), named(f"torch {kind}Storage"), text(key), text("cpu"), number(count))
    return identity + b"Q"


def tensor(
    numbers: bytes, shape: Iterable[int] = (4,), stride: Iterable[int] = (1,), offset: int = 0
) -> bytes:
    """REDUCE of a tensor over a storage."""
    sizes = [tuple_of(*map(number, part)) for part in (shape, stride)]
    return call(
        "torch._utils _rebuild_tensor_v2",
        numbers,
        number(offset),
        *sizes,
        b"\x89",
        call("collections OrderedDict"),
    )


def legacy(
    operations: bytes, keys: bytes | None = None, end: bytes | None = None, start: bytes = b""
) -> bytes:
    """What torch wrote before 1.6, with four numbers under "0"."""
    numbers = struct.pack("<q4f", 4, 1, 2, 3, 4) if end is None else end
    return (
        (start or MAGIC + VERSION + SYSTEM)
        + whole(operations)
        + (pickle.dumps(["0"], 2) if keys is None else whole(keys))
        + numbers
    )


def archive(operations: bytes, numbers: bytes = struct.pack("<4f", 1, 2, 3, 4), **more: bytes) -> bytes:
    """What torch writes since 1.6; more: other members of the archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archived:
        archived.writestr("a/data.pkl", whole(operations))
        archived.writestr("a/data/0", numbers)
        for name, content in more.items():
            archived.writestr(f"a/{name.replace('__', '.')}", content)
    return buffer.getvalue()


def tarred(members: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    """A tar of files, or of members as they are said to be."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name) if isinstance(content, bytes) else content
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                tar.addfile(info)
    return buffer.getvalue()


def old_tar(**changes: bytes) -> dict[str, bytes]:
    """What torch wrote before 0.2: a state dict of one tensor [2, 2] of 1, 2, 3, 4."""
    members = {
        "sys_info": pickle.dumps({"protocol_version": 1000, "little_endian": True, "type_sizes": {}}, 2),
        "storages": pickle.dumps(1, 2)
        + whole(tuple_of(number(7), text("cpu"), named("torch FloatStorage")))
        + struct.pack("<q4f", 4, 1, 2, 3, 4)
        + pickle.dumps([], 2),
        "tensors": pickle.dumps(1, 2)
        + whole(tuple_of(number(9), number(7), named("torch FloatTensor")))
        + struct.pack("<i4x5q", 2, 2, 2, 2, 1, 0),
        "pickle": whole(b"}" + text("w") + text("9") + b"Qs"),
    }
    return members | changes


def saved(path: Path, value: object, **options) -> Path:
    torch.save(value, path, **options)
    return path


def one_of_each() -> dict[str, bytes]:
    """Operation -> a pickle that uses it, its argument last, or is refused for it; cut anywhere, it is damaged."""
    arguments = {
        "uint1": b"\x01",
        "uint2": b"\x01\x00",
        "int4": b"\x01\x00\x00\x00",
        "uint4": b"\x01\x00\x00\x00",
        "uint8": b"\x01\x00\x00\x00\x00\x00\x00\x00",
        "float8": bytes(8),
        "decimalnl_short": b"12\n",
        "decimalnl_long": b"12L\n",
        "floatnl": b"1.5\n",
        "stringnl": b"'a'\n",
        "stringnl_noescape": b"a\n",
        "stringnl_noescape_pair": b"a\nb\n",
        "unicodestringnl": b"a\n",
        "string1": b"\x03abc",
        "string4": b"\x03\x00\x00\x00abc",
        "bytes1": b"\x03abc",
        "bytes4": b"\x03\x00\x00\x00abc",
        "bytes8": b"\x03\x00\x00\x00\x00\x00\x00\x00abc",
        "bytearray8": b"\x03\x00\x00\x00\x00\x00\x00\x00abc",
        "unicodestring1": b"\x03abc",
        "unicodestring4": b"\x03\x00\x00\x00abc",
        "unicodestring8": b"\x03\x00\x00\x00\x00\x00\x00\x00abc",
        "long1": b"\x02\x00\x01",
        "long4": b"\x02\x00\x00\x00\x00\x01",
    }
    return {
        operation.name: CODES[operation.name]
        + (b"" if operation.arg is None else arguments[operation.arg.name])
        for operation in pickletools.opcodes
    }
