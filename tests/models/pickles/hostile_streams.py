"""Hostile pickles: what each is, who reads it, and what it is told. `MARKER` in them is a file that would appear if they were run."""

from __future__ import annotations

import pickle
import struct
import tarfile

from .assembled import (
    MAGIC,
    VERSION,
    archive,
    call,
    legacy,
    named,
    number,
    old_tar,
    storage,
    tarred,
    tensor,
    text,
    tuple_of,
    whole,
)
from .hostile_calls import MARKER, RUNS, WANTS, Case, a_state

STEPS = "more steps"
CUT = "ends in the middle"
KEY = "instead of text or a small number"


def numpy_number(kind: bytes, data: bytes) -> bytes:
    return call("numpy.core.multiarray scalar", kind, b"C" + bytes([len(data)]) + data)


def laughs(levels: int, least: bytes, open_with: bytes, close_with: bytes) -> bytes:
    """Each level holds the one before ten times."""
    operations = least + b"\x94"
    for level in range(levels):
        operations += b"0" + open_with + (b"j" + struct.pack("<I", level)) * 10 + close_with + b"\x94"
    return operations


ROW = legacy(storage(count=20_000), end=struct.pack("<q", 20_000) + bytes(80_000))
TOO_MUCH: dict[str, Case] = {
    "billion laughs of lists": (
        "prior",
        whole(laughs(60, b"]", b"](", b"e"), 4),
        "has none; choose a snapshot",
    ),
    "billion laughs of tuples": (
        "prior",
        whole(laughs(60, b")", b"(", b"t"), 4),
        "has none; choose a snapshot",
    ),
    "billion laughs as a key": ("prior", whole(b"}" + laughs(60, b")", b"(", b"t") + b"Ns", 4), KEY),
    "lists in lists": ("prior", whole(b"]" * 100_000 + b"a" * 99_999), "lists within lists"),
    "tuples in tuples": ("prior", whole(b")" + b"\x85" * 100_000), "lists within lists"),
    "tuples in tuples as a key": ("prior", whole(b"})" + b"\x85" * 400_000 + b"Ns"), KEY),
    "tuples in tuples in a set": ("prior", whole(b"\x8f()" + b"\x85" * 400_000 + b"\x90", 4), KEY),
    "tuples in tuples in a frozenset": ("prior", whole(b"()" + b"\x85" * 400_000 + b"\x91", 4), KEY),
    "dicts in dicts": ("prior", whole(b"}" + (b"K\x00}" * 100_000) + b"s" * 100_000), "lists within lists"),
    "objects in objects": (
        "prior",
        whole(
            named("torch.nn.modules.container Sequential")
            + b"\x940"
            + b"h\x00)\x81" * 20_000
            + b"b" * 19_999,
            4,
        ),
        "lists within lists",
    ),
    "marks in marks": ("prior", whole(b"(" * 2_000_000), STEPS),
    "a list in itself": ("prior", whole(b"]\x94h\x00a", 4), "holds itself"),
    "a dict in itself": ("prior", whole(b"}\x94K\x01h\x00s", 4), "holds itself"),
    "a state in itself": (
        "prior",
        whole(named("torch.nn.modules.container Sequential") + b")\x81\x94h\x00b", 4),
        "holds itself",
    ),
    "two million dicts": ("prior", whole(b"}" * 2_000_000), STEPS),
    "two million sets": ("prior", whole(b"\x8f" * 2_000_000), STEPS),
    "two million values on the stack": ("prior", whole(b"N" + b"2" * 2_000_000), STEPS),
    "two million names": ("prior", whole(b"(" + named("builtins set") * 300_000 + b"l"), STEPS),
    "two million memories": ("prior", whole(b"N" + b"\x94" * 2_000_000, 4), "remembers a value as number"),
    "a dict of a long list, often": (
        "prior",
        whole(
            named("collections OrderedDict")
            + b"\x94]\x94("
            + tuple_of(b"NN") * 50_000
            + b"e\x85\x94"
            + b"h\x00h\x02R" * 50_000,
            4,
        ),
        STEPS,
    ),
    "a set of a long list, often": (
        "prior",
        whole(
            named("builtins set") + b"\x94]\x94(" + b"N" * 100_000 + b"e\x85\x94" + b"h\x00h\x02R" * 50_000, 4
        ),
        STEPS,
    ),
    "bytes of long text, often": (
        "prior",
        whole(
            named("_codecs encode")
            + b"\x94"
            + text("a" * 60_000)
            + text("latin1")
            + b"\x86\x94"
            + b"h\x00h\x01R" * 50_000,
            4,
        ),
        STEPS,
    ),
    "numbers within bytes, often": (
        "prior",
        whole(
            named("torch.storage _load_from_bytes")
            + b"\x94B"
            + struct.pack("<I", len(legacy(storage())))
            + legacy(storage())
            + b"\x85\x94"
            + b"h\x00h\x01R" * 200_000,
            4,
        ),
        STEPS,
    ),
    "one row of numbers, often": (
        "state",
        whole(
            named("torch.storage _load_from_bytes")
            + b"B"
            + struct.pack("<I", len(ROW))
            + ROW
            + b"\x85\x940\x940}("
            + b"".join(text(str(i)) + tensor(b"h\x01h\x00R") for i in range(300))
            + b"u",
            4,
        ),
        "in more ways than torch",
    ),
    "keys of one hash": (
        "prior",
        whole(b"}(" + b"".join(number(i * (2**61 - 1)) + b"N" for i in range(1, 50_000)) + b"u"),
        KEY,
    ),
    "a whole number of two gigabytes": ("prior", whole(b"\x8b\xff\xff\xff\x7f" + bytes(10**5)), "bytes"),
    "a whole number of less than none": ("prior", whole(b"\x8b\xff\xff\xff\xff"), "whole number of -1"),
    "a whole number of 255 bytes": ("prior", whole(b"\x8a\xff" + b"\x01" * 255), "whole number of 255"),
    "a number of 5000 digits": ("prior", whole(b"I" + b"9" * 5000 + b"\n"), "longer than files"),
    "a number of 4000 digits": ("prior", whole(b"I" + b"9" * 4000 + b"\n"), "number in letters"),
    "a number of words": ("prior", whole(b"Fwords\n"), "number in letters"),
    "a line without end": ("prior", whole(b"V" + b"a" * 10**6), "longer than files"),
}

WRONG: dict[str, Case] = {
    "memory of nothing": ("prior", whole(b"h\x05"), "has not remembered"),
    "memory of nothing, far": ("prior", whole(b"j\xff\xff\xff\xff"), "has not remembered"),
    "memory in letters": ("prior", whole(b"g-1\n"), "has not remembered"),
    "memory of 4e9": ("prior", whole(b"Nr\xff\xff\xff\xff"), "remembers a value as number"),
    "memory below 0": ("prior", whole(b"Np-1\n"), "remembers a value as number"),
    "memory of an empty stack": ("prior", whole(b"q\x00"), "where there is none"),
    "values of an empty stack": ("prior", whole(b"0"), "down to a mark"),
    "tuple of an empty stack": ("prior", whole(b"\x87"), "where there is none"),
    "values below a mark": ("prior", whole(b"N(\x85"), "where there is none"),
    "no mark": ("prior", whole(b"Nt"), "down to a mark"),
    "two values": ("prior", whole(b"NN"), "more than one value"),
    "a mark that stays": ("prior", whole(b"N(N"), "more than one value"),
    "no value": ("prior", b".", "where there is none"),
    "no end": ("prior", b"\x80\x02N", CUT),
    "nothing": ("prior", b"", "is empty"),
    "no operation": ("prior", whole(b"\xff"), "an operation 255"),
    "protocol 6": ("prior", b"\x80\x06N.", "protocol 6"),
    "protocol 255": ("prior", b"\x80\xffN.", "protocol 255"),
    "protocol in the middle": ("prior", whole(b"N\x80\x04"), "elsewhere than at its start"),
    "a frame of 2^64": ("prior", whole(b"\x95" + b"\xff" * 8, 4), "longer than the file"),
    "bytes of 2^63": ("prior", whole(b"\x8e" + b"\xff" * 7 + b"\x7f", 4), CUT),
    "text of 2^64": ("prior", whole(b"\x8d" + b"\xff" * 8, 4), CUT),
    "text of 4e9": ("prior", whole(b"X\xff\xff\xff\xff"), CUT),
    "bytes of 4e9": ("prior", whole(b"B\xff\xff\xff\xff"), CUT),
    "an array of 2^62": ("prior", whole(b"\x96" + b"\xff" * 7 + b"\x3f", 5), CUT),
    "text of less than nothing": ("prior", whole(b"T\xff\xff\xff\xff"), "text of Python 2"),
    "text that is none": ("prior", whole(b"X\x02\x00\x00\x00\xff\xfe"), "no UTF-8"),
    "text in quotes that is none": ("prior", whole(b"S'\\x'\n"), "text in quotes"),
    "text without quotes": ("prior", whole(b"Sa\n"), "without quotes"),
    "escapes that are none": ("prior", whole(b"V\\u12\n"), "escaped text"),
    "buffers outside": ("prior", whole(b"\x97", 5), "outside of itself"),
    "a buffer to be kept": ("prior", whole(b"N\x98", 5), "outside of itself"),
    "a persistent id": ("prior", whole(text("a") + b"Q"), "outside of itself"),
    "a persistent id in letters": ("prior", whole(b"Pa\n"), "outside of itself"),
    "a key that is a list": ("prior", whole(b"}]Ns"), KEY),
    "a key that is a number with a fraction": ("prior", whole(b"}G" + bytes(8) + b"Ns"), KEY),
    "a set of lists": ("prior", whole(b"\x8f(]\x90", 4), KEY),
    "appending to a dict": ("prior", whole(b"}Na"), "is no list"),
    "appending to a tuple": ("prior", whole(b")(Ne"), "is no list"),
    "entries of a list": ("prior", whole(b"]NNs"), "is no dict"),
    "entries of an object": (
        "prior",
        whole(named("torch.nn.modules.container Sequential") + b")\x81NNs"),
        "is no dict",
    ),
    "half an entry": ("prior", whole(b"}(Nu"), "is no dict"),
    "adding to a list": ("prior", whole(b"](N\x90", 4), "is no set"),
    "a dict of no pairs": (
        "prior",
        whole(call("collections OrderedDict", b"]Na")),
        "something else than pairs",
    ),
    "a set of text": ("prior", whole(call("builtins set", text("a"))), "something else than a list"),
    "a number of numpy's of objects": (
        "prior",
        whole(numpy_number(call("numpy dtype", text("O8")), bytes(8))),
        "numpy",
    ),
    "a number of numpy's that is short": (
        "prior",
        whole(numpy_number(call("numpy dtype", text("f8")), b"a")),
        "numpy",
    ),
    "a number of numpy's without a kind": ("prior", whole(numpy_number(b"N", bytes(8))), "numpy"),
    "a number of numpy's of a dtype of lists": (
        "prior",
        whole(numpy_number(call("numpy dtype", b"]"), bytes(8))),
        "numpy",
    ),
    "an old snapshot of three": ("prior", whole(b"NNN\x87"), "has none; choose a snapshot"),
}

SHAPES = {
    "more numbers than stored": {"shape": (5,)},
    "one number often": {"shape": (10**5, 10**5), "stride": (0, 0)},
    "an offset behind its numbers": {"offset": 4},
    "an offset of 2^62": {"offset": 2**62},
    "an offset below 0": {"offset": -1},
    "steps of 2^62": {"shape": (2, 2), "stride": (2**62, 1)},
    "steps below 0": {"stride": (-1,), "offset": 3},
    "sizes below 0": {"shape": (-4,)},
    "sizes beyond 64 bits": {"shape": (2**70,)},
    "nine dimensions": {"shape": (1,) * 9, "stride": (1,) * 9},
    "other steps than sizes": {"stride": (1, 1)},
    "no numbers and endless sides": {"shape": (0, 2**40, 2**20), "stride": (1, 1, 1)},
}
TENSORS: dict[str, Case] = {
    f"a tensor of {name}": ("state", legacy(a_state(tensor(storage(), **wrong))), "has a tensor")
    for name, wrong in SHAPES.items()
} | {
    "a tensor of true": (
        "state",
        legacy(call("torch._utils _rebuild_tensor_v2", storage(), b"\x88", b")", b")")),
        "no whole numbers",
    ),
    "a tensor of text": ("state", legacy(tensor(text("a"))), "something else than numbers"),
    "a tensor of too little": (
        "state",
        legacy(call("torch._utils _rebuild_tensor_v2", storage())),
        "with 1 values",
    ),
    "a parameter of text": (
        "state",
        legacy(call("torch._utils _rebuild_parameter", text("a"))),
        "is no tensor",
    ),
    "numbers of 10^12": ("state", legacy(a_state(tensor(storage(count=10**12), shape=(10**12,)))), CUT),
    "numbers of no key": ("state", legacy(a_state(tensor(storage("1")))), "no tensor is made of"),
    "numbers twice": (
        "state",
        legacy(a_state(tensor(storage())), b"]" + text("0") + b"a" + text("0") + b"a"),
        "no tensor is made of",
    ),
    "numbers of keys in a tuple": (
        "state",
        legacy(a_state(tensor(storage())), tuple_of(text("0"))),
        "no list of its numbers",
    ),
    "numbers whose count lies": (
        "state",
        legacy(a_state(tensor(storage())), end=struct.pack("<q", 2**62)),
        CUT,
    ),
    "numbers that are cut": ("state", legacy(a_state(tensor(storage())))[:-1], CUT),
    "numbers of a strange class": (
        "state",
        legacy(tuple_of(text("storage"), text("Float"), text("0"), text("cpu"), number(4)) + b"Q"),
        "in a way that torch does not",
    ),
    "numbers of a quantised class": ("state", legacy(tensor(storage(kind="QInt8"))), WANTS),
    "a whole model": (
        "state",
        legacy(
            tuple_of(
                text("module"),
                named("torch.nn.modules.container Sequential"),
                text("a"),
                text(f"open('{MARKER}','w')"),
            )
            + b"Q"
        ),
        "a whole model",
    ),
    "another computer's order": (
        "state",
        legacy(a_state(tensor(storage())), start=MAGIC + VERSION + pickle.dumps({"little_endian": False}, 2)),
        "orders bytes otherwise",
    ),
    "another version": ("state", MAGIC + pickle.dumps(7, 2), "nobody knows"),
    "archive without its numbers": ("state", archive(a_state(tensor(storage("1")))), "without numbers"),
    "archive of fewer numbers": ("state", archive(a_state(tensor(storage())), bytes(12)), CUT),
    "archive of two pickles": (
        "state",
        archive(a_state(tensor(storage())), other__data__pkl=b"N."),
        "of 2 pickles",
    ),
    "archive of a program": (
        "state",
        archive(a_state(tensor(storage())), constants__pkl=b"N."),
        "is TorchScript",
    ),
    "archive of another order": (
        "state",
        archive(a_state(tensor(storage())), byteorder=b"big"),
        "orders bytes otherwise",
    ),
    "archive that is cut": ("state", archive(a_state(tensor(storage())))[:-30], "a damaged archive"),
    "archive whose table points into itself": (
        "state",
        archive(a_state(tensor(storage())))
        .replace(b"PK\x03\x04", b"PK\x05\x04", 2)
        .replace(b"PK\x05\x04", b"PK\x03\x04", 1),
        "points elsewhere",
    ),
}


def member(kind: bytes, name: str = "pickle", size: int = 0) -> tarfile.TarInfo:
    """A tar's entry of a kind: a link out of it, a device."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, "/etc/passwd", size
    return info


def lying(name: str, size: int) -> bytes:
    """A tar one of whose members says that it is so long."""
    content = tarred(old_tar())
    at = content.index(name.encode().ljust(100, b"\0"))
    return content[: at + 124] + b"%011o\0" % size + content[at + 136 :]


TARS: dict[str, Case] = {
    "tar of a link": ("state", tarred(old_tar() | {"pickle": member(tarfile.SYMTYPE)}), "no plain file"),
    "tar of a hard link": (
        "state",
        tarred(old_tar() | {"storages": member(tarfile.LNKTYPE, "storages")}),
        "no plain file",
    ),
    "tar of a device": (
        "state",
        tarred(old_tar() | {"tensors": member(tarfile.CHRTYPE, "tensors")}),
        "no plain file",
    ),
    "tar of a folder": (
        "state",
        tarred({"a": member(tarfile.DIRTYPE, "../../a")} | old_tar()),
        "no plain file",
    ),
    "tar of a pipe": ("state", tarred({"a": member(tarfile.FIFOTYPE, "a")} | old_tar()), "no plain file"),
    "tar of a long member": ("state", lying("storages", 2**32), CUT),
    "tar of a member of no length": ("state", lying("storages", 0), "a damaged tar"),
    "tar of many": ("state", tarred({f"m{i}": b"" for i in range(100)}), "more than 64 files"),
    "tar without tensors": (
        "state",
        tarred({k: v for k, v in old_tar().items() if k != "tensors"}),
        "without tensors",
    ),
    "tar of many dimensions": (
        "state",
        tarred(
            old_tar(
                tensors=pickle.dumps(1, 2)
                + whole(tuple_of(number(9), number(7), named("torch FloatTensor")))
                + struct.pack("<i4x", 2**31 - 1)
            )
        ),
        "dimensions",
    ),
    "tar of 10^9 tensors": ("state", tarred(old_tar(tensors=pickle.dumps(10**9, 2))), STEPS),
    "tar of numbers that lie": (
        "state",
        tarred(
            old_tar(
                storages=pickle.dumps(1, 2)
                + whole(tuple_of(number(7), text("cpu"), named("torch FloatStorage")))
                + struct.pack("<q", 2**60)
            )
        ),
        CUT,
    ),
    "tar of a tensor that is not there": (
        "state",
        tarred(old_tar(pickle=whole(text("8") + b"Q"))),
        "not there",
    ),
    "tar of views": (
        "state",
        tarred(
            old_tar(
                storages=old_tar()["storages"].removesuffix(pickle.dumps([], 2))
                + pickle.dumps([(1, 2, 3, 4)], 2)
            )
        ),
        "views of numbers",
    ),
    "tar that is cut": ("state", tarred(old_tar())[:2000], "without tensors"),
}
CASES = RUNS | TOO_MUCH | WRONG | TENSORS | TARS
