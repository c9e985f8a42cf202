"""models/mesh/gltf_limits.py: hostile GLBs are refused in a sentence, quickly, in little memory, and start nothing."""

import json
import os
import subprocess
import sys

import pytest

from .hostile import CASES, HARMLESS

SECONDS, BYTES = 5, 500 * 2**20  # of the processor: machines are shared


@pytest.fixture(scope="module")
def report(tmp_path_factory, root, stand_in):
    """What one process says of all files: seconds, peak memory and words of each."""
    folder = tmp_path_factory.mktemp("hostile")
    for i, make in enumerate([*(make for make, _ in CASES.values()), *HARMLESS.values()]):
        (folder / f"{i:03}.glb").write_bytes(make())
    program = root / "tests" / "models" / "mesh" / "hostile.py"
    done = subprocess.run(
        [sys.executable, str(program), str(root), str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env=stand_in.environment,
    )
    assert done.returncode == 0, done.stderr
    lines = json.loads(done.stdout.splitlines()[-1])
    return dict(zip([*CASES, *HARMLESS], (lines[key] for key in sorted(lines)), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_in_a_sentence(name, report):
    words = report[name]["words"]
    assert (
        words.startswith("from_glb: expected ") and ", got " in words and "; " in words and "\n" not in words
    ), words
    assert any(part in words for part in CASES[name][1].split("|")), words
    assert len(words) < 300


@pytest.mark.parametrize("name", HARMLESS)
def test_what_nobody_looks_at_does_no_harm(name, report):
    assert report[name]["words"].startswith("read "), report[name]


@pytest.mark.parametrize("name", [*CASES, *HARMLESS])
def test_it_takes_neither_time_nor_memory(name, report):
    assert report[name]["seconds"] < SECONDS and report[name]["bytes"] < BYTES, report[name]


def test_nothing_was_started(report, stand_in):
    assert not stand_in.mark.exists()


def test_the_stand_in_would_have_been_started(stand_in):
    """Pillow left to itself starts it: the test above can fail."""
    question = "import io, sys; from PIL import Image; Image.open(io.BytesIO(sys.stdin.buffer.read())).load()"
    from .hostile import EPS

    subprocess.run([sys.executable, "-c", question], input=EPS, capture_output=True, env=stand_in.environment)
    started = stand_in.mark.exists()
    stand_in.mark.unlink(missing_ok=True)
    assert started or not os.path.exists("/bin/sh")
