"""Hostile pickles that want something run: what each is, who reads it, and what it is told. `MARKER` in them is a file that would appear if they were run."""

from __future__ import annotations

import struct

from .assembled import (
    MAGIC,
    SYSTEM,
    VERSION,
    archive,
    call,
    legacy,
    named,
    number,
    old_tar,
    stacked,
    storage,
    tarred,
    tensor,
    text,
    whole,
)

MARKER = "RAN"
TOUCH = text(f"touch {MARKER}")
WRITE = text(f"open('{MARKER}', 'w')")
WANTS = "which is neither a tensor nor"
Case = tuple[str, bytes, str]  # who reads it ("prior", "state"), what is in it, what the sentence holds


def a_state(value: bytes) -> bytes:
    """A state dict of one value."""
    return b"}" + text("w") + value + b"s"


RUNS: dict[str, Case] = {
    f"calls {name}": ("prior", whole(call(name, argument)), WANTS)
    for name, argument in {
        "os system": TOUCH,
        "posix system": TOUCH,
        "nt system": TOUCH,
        "subprocess Popen": TOUCH,
        "builtins eval": WRITE,
        "builtins exec": WRITE,
        "__builtin__ eval": WRITE,
        "builtins getattr": WRITE,
        "builtins __import__": text("os"),
        "builtins open": text(MARKER),
        "builtins bytearray": number(2**33),
        "functools partial": named("builtins set"),
        "operator attrgetter": text("system"),
        "pickle loads": TOUCH,
        "runpy _run_code": WRITE,
        "torch load": text("x.pth"),
        "torch.hub load": text("x"),
        "torch.serialization load": text("x"),
        "torch.jit load": text("x"),
        "torch._utils _rebuild_device_tensor_from_numpy": text("x"),
        "numpy load": text("x.npy"),
        "numpy.core.multiarray _reconstruct": text("x"),
        "copyreg _reconstructor": text("x"),
        "copy_reg _reconstructor": text("x"),
        "codecs encode": text("x"),
        "importlib import_module": text("os"),
        "webbrowser open": text("x"),
        "training.triplane TriPlaneGenerator": text("x"),
        "torch.nn.modules.container Sequential.forward": text("x"),
        "torch_utils.persistence _reconstruct_persistent_obj.__globals__": text("x"),
    }.items()
} | {
    "by STACK_GLOBAL": ("prior", whole(stacked("os", "system") + TOUCH + b"\x85R", 4), WANTS),
    "by STACK_GLOBAL with dots": (
        "prior",
        whole(stacked("torch", "nn.os.system") + TOUCH + b"\x85R", 4),
        WANTS,
    ),
    "by STACK_GLOBAL out of the memo": (
        "prior",
        whole(text("os") + b"\x940" + text("system") + b"\x940h\x00h\x01\x93" + TOUCH + b"\x85R", 4),
        WANTS,
    ),
    "by STACK_GLOBAL of numbers": ("prior", whole(b"K\x01K\x02\x93", 4), "by something else than text"),
    "by STACK_GLOBAL of bytes": ("prior", whole(b"C\x02osC\x06system\x93", 4), "by something else than text"),
    "by STACK_GLOBAL of a line more": ("prior", whole(stacked("builtins set\nos", "system"), 4), WANTS),
    "by STACK_GLOBAL of a space": ("prior", whole(stacked("builtins", "set "), 4), WANTS),
    "by STACK_GLOBAL of letters that look alike": ("prior", whole(stacked("builtins", "sеt"), 4), WANTS),
    "by a name of a megabyte": ("prior", whole(stacked("training." * 7000, "RaySampler"), 4), WANTS),
    "by a name longer than that": (
        "prior",
        whole(stacked("a" * 2**20, "b"), 4),
        "by something else than text",
    ),
    "by a name with control letters": (
        "prior",
        whole(stacked("o\x1b[2J\r\n;s", "\ud800"), 4),
        "wants o??2J???s ?",
    ),
    "by INST": ("prior", whole(b"(" + TOUCH + b"ios\nsystem\n"), WANTS),
    "by OBJ": ("prior", whole(b"(" + named("os system") + TOUCH + b"o"), WANTS),
    "by OBJ of nothing": ("prior", whole(b"(o"), "no class or function"),
    "by OBJ of a value": ("prior", whole(b"(" + TOUCH + TOUCH + b"o"), "no class or function"),
    "by NEWOBJ": ("prior", whole(named("subprocess Popen") + TOUCH + b"\x85\x81"), WANTS),
    "by NEWOBJ_EX": ("prior", whole(named("subprocess Popen") + TOUCH + b"\x85}\x92", 4), WANTS),
    "by NEWOBJ_EX with names": (
        "prior",
        whole(named("torch.nn.modules.container Sequential") + b")" + a_state(b"N") + b"\x92", 4),
        "arguments by name",
    ),
    "by EXT1": ("prior", whole(b"\x82\x01"), "numbers of this computer"),
    "by EXT2": ("prior", whole(b"\x83\x01\x00"), "numbers of this computer"),
    "by EXT4": ("prior", whole(b"\x84\x01\x00\x00\x00"), "numbers of this computer"),
    "by a state for a class": (
        "prior",
        whole(named("builtins set") + a_state(named("builtins set")) + b"b"),
        "a state to something",
    ),
    "by a state for a storage's class": (
        "prior",
        whole(named("torch FloatStorage") + a_state(TOUCH) + b"b"),
        "a state to something",
    ),
    "by a state for nothing": ("prior", whole(b"N" + a_state(TOUCH) + b"b"), "a state to something"),
    "by a state for a list": ("prior", whole(b"]" + a_state(TOUCH) + b"b"), "a state to something"),
    "by a state for a tensor": (
        "state",
        legacy(tensor(storage()) + a_state(TOUCH) + b"b"),
        "a state to something",
    ),
    "by __setstate__ in a state": (
        "prior",
        whole(
            named("torch.nn.modules.container Sequential")
            + b")\x81}"
            + text("__setstate__")
            + named("os system")
            + b"sb"
        ),
        WANTS,
    ),
    "by __reduce__ in a state": (
        "prior",
        whole(
            named("torch.nn.modules.container Sequential") + b")\x81}" + text("__reduce__") + TOUCH + b"sb"
        ),
        "has none; choose a snapshot",
    ),
    "by calling a storage's class": (
        "prior",
        whole(call("torch FloatStorage", number(10**12))),
        "may only be named",
    ),
    "by calling text": ("prior", whole(TOUCH + b")R"), "no class or function"),
    "by calling with a list": ("prior", whole(named("builtins set") + b"]R"), "no class or function"),
    "by calling a record": (
        "prior",
        whole(named("torch.nn.modules.container Sequential") + b")R)R"),
        "no class or function",
    ),
    "within bytes": (
        "prior",
        whole(
            call(
                "torch.storage _load_from_bytes",
                b"B" + struct.pack("<I", 30) + whole(named("os system")).ljust(30),
            )
        ),
        WANTS,
    ),
    "behind torch's mark": ("state", MAGIC + VERSION + SYSTEM + whole(call("os system", TOUCH)), WANTS),
    "in place of a version": ("state", MAGIC + whole(call("os system", TOUCH)), WANTS),
    "in the list of keys": ("state", legacy(tensor(storage()), call("os system", TOUCH)), WANTS),
    "in a persistent id": ("state", legacy(call("os system", TOUCH) + b"Q"), WANTS),
    "in an archive": ("state", archive(call("os system", TOUCH)), WANTS),
    "in a tar's storages": ("state", tarred(old_tar(storages=whole(call("os system", TOUCH)))), WANTS),
    "in a tar's pickle": ("state", tarred(old_tar(pickle=whole(call("os system", TOUCH)))), WANTS),
    "as NVIDIA's source alone": (
        "prior",
        whole(
            call(
                "torch_utils.persistence _reconstruct_persistent_obj",
                b"}" + text("module_src") + WRITE + b"s",
            )
        ),
        "without a class and a state",
    ),
    "as NVIDIA's source of a function": (
        "prior",
        whole(call("torch_utils.persistence _reconstruct_persistent_obj", text(f"open('{MARKER}', 'w')"))),
        "without a class and a state",
    ),
}
