"""Pickles by chance, read while everything that would betray their running is watched: `python fuzz.py CONFTEST --minutes 10`.

Programs of operations with plausible arguments, and good or hostile files with some of their bytes changed; by hypothesis, which makes a
failing one small. The tests do the same for a few seconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pickle
import struct
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

NAMES = (
    *("os system", "posix system", "builtins eval", "builtins getattr", "builtins set", "builtins bytes"),
    *(
        "collections OrderedDict",
        "torch FloatStorage",
        "torch BoolStorage",
        "torch._utils _rebuild_tensor_v2",
    ),
    *("torch._utils _rebuild_parameter", "torch.storage _load_from_bytes", "numpy dtype", "_codecs encode"),
    *("numpy.core.multiarray scalar", "torch.nn.modules.container Sequential", "dnnlib.util EasyDict"),
    "torch_utils.persistence _reconstruct_persistent_obj",
)
WORDS = (
    "storage",
    "0",
    "cpu",
    "latin1",
    "f8",
    "class",
    "type",
    "state",
    "class_name",
    "G_ema",
    "_modules",
    "__setstate__",
)
BETRAY = {"exec", "compile", "marshal.loads", "code.__new__", "pickle.find_class", "ctypes.dlopen"}
BETRAY |= {"os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "subprocess.Popen"}
BETRAY |= {"socket.connect", "socket.bind", "os.remove", "os.rename", "os.mkdir", "shutil.rmtree"}
SECONDS = 20.0  # of the processor, for one file
watched: list[str] = []
watching: list[bool] = []


def watch(event: str, arguments: tuple) -> None:
    """An audit hook, which stays; it listens while `watching` holds something."""
    if watching and (event in BETRAY or (event == "open" and arguments[1] not in (None, "r", "rb"))):
        watched.append(f"{event} {arguments[:2]}")
    if (
        watching
        and event == "import"
        and arguments[0].split(".")[0] not in ("torch", "numpy", "zipfile", "encodings")
    ):
        watched.append(f"import {arguments[0]}")


def text(word: str) -> bytes:
    data = word.encode()
    return b"X" + struct.pack("<I", len(data)) + data


OPERATIONS = st.one_of(
    st.sampled_from(
        [bytes([code]) for code in b"N\x88\x89]})(0123tluedasboR\x81\x85\x86\x87\x8f\x90\x91\x92\x93\x94QP"]
    ),
    st.sampled_from(NAMES).map(lambda name: b"c" + name.replace(" ", "\n").encode() + b"\n"),
    st.sampled_from(NAMES).map(lambda name: b"i" + name.replace(" ", "\n").encode() + b"\n"),
    st.sampled_from(NAMES).map(lambda name: b"".join(map(text, name.split())) + b"\x93"),
    st.sampled_from(WORDS).map(text),
    st.integers(0, 5).map(lambda index: b"q" + bytes([index])),
    st.integers(0, 5).map(lambda index: b"h" + bytes([index])),
    st.integers(0, 255).map(lambda value: b"K" + bytes([value])),
    st.binary(max_size=10).map(lambda data: b"C" + bytes([len(data)]) + data),
    st.binary(max_size=10).map(lambda data: b"\x8a" + bytes([len(data)]) + data),
    st.binary(min_size=8, max_size=8).flatmap(
        lambda data: st.sampled_from([bytes([c]) + data for c in b"G\x8d\x8e\x95\x96"])
    ),
    st.binary(min_size=4, max_size=4).flatmap(
        lambda data: st.sampled_from([bytes([c]) + data for c in b"JTXB\x8bjr\x84"])
    ),
    st.binary(max_size=6).flatmap(
        lambda data: st.sampled_from([bytes([c]) + data + b"\n" for c in b"ILFSVPgp"])
    ),
    st.binary(max_size=4),
)
PROGRAMS = st.builds(
    lambda protocol, parts: b"\x80" + bytes([protocol]) + b"".join(parts) + b".",
    st.integers(0, 5),
    st.lists(OPERATIONS, max_size=40),
)


@st.composite
def damaged(draw, files: list[bytes]) -> bytes:
    """A file with up to eight changes: bytes replaced, put in, left out, or the rest cut off."""
    content = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, len(content)))
        kind = draw(st.integers(0, 5))
        if kind == 0:
            del content[at : at + draw(st.integers(1, 64))]
        elif kind == 1:
            del content[at:]
        elif kind == 2:
            content[at:at] = draw(OPERATIONS)
        else:
            content[at : at + 1] = draw(st.binary(min_size=1, max_size=2))
    return bytes(content)


def good_files(folder: Path) -> list[bytes]:
    """Small files in every format."""
    import torch

    from .assembled import old_tar, tarred

    tensors = {"a": torch.arange(4.0), "b": torch.zeros(2, 2, dtype=torch.bool), "c": torch.ones(3).half()}
    files = [pickle.dumps(tensors, protocol) for protocol in range(1, 6)] + [tarred(old_tar())]
    for zipped in (True, False):
        torch.save(tensors, folder / "a.pth", _use_new_zipfile_serialization=zipped)
        files.append((folder / "a.pth").read_bytes())
    return files


def read(path: Path, content: bytes) -> str:
    """Reads a file in every way; what came of it. AssertionError where it was anything but values or one sentence, soon, with nothing run."""
    from portrait_diffusion.models.pickles.files import PickleFile, read_state
    from portrait_diffusion.models.prior.families import load_generator

    outcome = "read"
    path.write_bytes(content)
    for reader in (
        lambda path: PickleFile(path, "test").close(),
        lambda path: read_state(path, "test"),
        load_generator,
    ):
        begun = time.process_time()
        watching.append(True)
        try:
            reader(path)
        except ValueError as error:
            outcome = str(error)
            assert len(outcome) < 900 and "\n" not in outcome and outcome.isprintable() and ";" in outcome, (
                outcome
            )
        finally:
            watching.clear()
        assert time.process_time() - begun < SECONDS
        assert watched == []
    return outcome


def fuzz(
    folder: Path, files: list[bytes], examples: int, seconds: float, derandomize: bool = True
) -> tuple[int, set[str]]:
    """Files by chance until the time is over: how many, and the sentences that came of them, without their figures."""
    counted: list[str] = []
    end = time.monotonic() + seconds

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=derandomize,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(st.one_of(PROGRAMS, damaged(files)))
    def once(content: bytes) -> None:
        if time.monotonic() < end:
            counted.append("".join(c for c in read(folder / "a.pkl", content)[:120] if not c.isdigit()))

    while True:
        once()
        if derandomize or time.monotonic() >= end:
            return len(counted), set(counted)


def load(path: str):
    """A module of a file, as part of the package `tests.models.pickles` where it needs its neighbours."""
    spec = importlib.util.spec_from_file_location("conftest_of_the_pack", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("conftest")
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    load(options.conftest)
    sys.path.append(os.fspath(Path(__file__).resolve().parents[3]))
    from tests.models.pickles import fuzz as own
    from tests.models.pickles.hostile_streams import CASES, MARKER

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        small = [content for _, content, _ in CASES.values() if len(content) < 20_000]
        files = own.good_files(folder) + small
        for content in files:
            own.read(folder / "a.pkl", content)  # imports what is needed, too
        sys.addaudithook(own.watch)
        begun = time.monotonic()
        count, sentences = own.fuzz(folder, files, 2000, 60 * options.minutes, derandomize=False)
        assert not (folder / MARKER).exists()
        print(
            f"{count} files in {time.monotonic() - begun:.0f} s, {len(sentences)} kinds of answers, nothing was run"
        )


if __name__ == "__main__":
    main()
