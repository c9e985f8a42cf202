""".ci/environment.py and the Makefile: keyed, free the second time, one clear line when something cannot be had."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOWHERE = "http://127.0.0.1:9/simple"  # nothing listens on the discard port
FOLDER = "my 'odd' Köpfe $x"


@pytest.fixture(scope="module")
def environment():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("environment", ROOT / ".ci" / "environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path) -> Path:
    """What the set-up reads, in a folder with an awkward name."""
    place = tmp_path / FOLDER
    place.mkdir()
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, place)
    shutil.copytree(ROOT / ".ci", place / ".ci", ignore=shutil.ignore_patterns("__pycache__"))
    return place


def make(checkout: Path, *words: str, **environ: str) -> subprocess.CompletedProcess:
    """`make -s` there, with a cache of its own and none of this run's settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PIP_", "UV_", "COMFYUI_", "XDG_", "MAKE", "MFLAGS", "PYTHON"))
    }
    fresh = {
        "XDG_CACHE_HOME": str(checkout.parent / "cache"),
        "UV_CACHE_DIR": str(checkout.parent / "uv"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
    }
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), kept["PATH"]]
    )  # a python3 that can make environments
    return subprocess.run(
        ["make", "-s", *words],
        cwd=checkout,
        env={**kept, **fresh, "PATH": path, **environ},
        capture_output=True,
        text=True,
    )


def complete(environment, checkout: Path, monkeypatch) -> Path:
    """Pretend that the environment of a checkout was made; its folder."""
    monkeypatch.setattr(environment, "ROOT", checkout)
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(checkout.parent / "cache"))

    def pretend(place: Path, given: Path | None) -> None:
        comfy = given or checkout.parent / "comfy"
        comfy.mkdir(exist_ok=True)
        (comfy / "main.py").touch()
        (place / "bin").mkdir(parents=True, exist_ok=True)
        (place / "comfyui").write_text(str(comfy), encoding="utf-8")
        (place / environment.COMPLETE).touch()

    monkeypatch.setattr(environment, "make", pretend)
    return environment.prepare()


def test_the_key_follows_the_path_the_requirements_and_the_comfyui(environment):
    key = environment.key
    keys = {
        key(Path("a"), "x", ""),
        key(Path("b"), "x", ""),
        key(Path("a"), "y", ""),
        key(Path("a"), "x", "z"),
    }
    assert len(keys) == 4 and key(Path("a"), "x", "") in keys


def test_the_second_call_prints_one_path_and_does_nothing(environment, checkout, monkeypatch):
    place = complete(environment, checkout, monkeypatch)
    again = make(checkout, "python", PIP_INDEX_URL=NOWHERE)
    assert (again.returncode, again.stdout, again.stderr) == (0, f"{place / 'bin' / 'python'}\n", "")


def test_another_clone_has_another_environment(environment, checkout, monkeypatch):
    first = complete(environment, checkout, monkeypatch)
    clone = shutil.copytree(checkout, checkout.parent / "clone")
    assert complete(environment, clone, monkeypatch) != first


def test_a_half_made_environment_or_a_vanished_comfyui_is_made_again(environment, checkout, monkeypatch):
    place = complete(environment, checkout, monkeypatch)
    assert environment.ready(place)
    (checkout.parent / "comfy" / "main.py").unlink()
    assert not environment.ready(place)
    (place / environment.COMPLETE).unlink()
    assert not environment.ready(place)
    assert complete(environment, checkout, monkeypatch) == place and environment.ready(place)


def test_a_user_s_comfyui_is_used_and_a_wrong_one_named(environment, checkout, monkeypatch, capsys):
    usual = complete(environment, checkout, monkeypatch)
    theirs = checkout.parent / "their comfy"
    theirs.mkdir()
    monkeypatch.setenv("COMFYUI_PATH", str(theirs))
    assert environment.main() == 1
    assert "no main.py in" in capsys.readouterr().err
    for name in ("main.py", "requirements.txt"):
        (theirs / name).touch()
    place = environment.prepare()
    assert place != usual and (place / "comfyui").read_text(encoding="utf-8") == str(theirs)


@pytest.mark.whole
def test_unreachable_packages_are_one_clear_line(checkout):
    """Nothing is cached and no index answers."""
    done = make(checkout, "python", PIP_INDEX_URL=NOWHERE)
    assert done.returncode != 0 and done.stdout == ""
    words = [
        line
        for line in done.stderr.splitlines()
        if not line.startswith(("make: ***", "making the environment"))
    ]
    assert len(words) == 1 and "cannot install uv" in words[0] and "check the network" in words[0]
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in checkout.iterdir()) == [
        ".ci",
        "Makefile",
        "pyproject.toml",
        "requirements.txt",
    ]  # no litter


def test_the_photo_s_name_reaches_the_demo_as_it_is(environment, checkout, monkeypatch):
    place = complete(environment, checkout, monkeypatch)
    python = place / "bin" / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    photo = 'über `us` "two" it\'s.png'
    assert make(checkout, "demo", f"PHOTO={photo}").stdout.splitlines()[-2:] == ["--photo", photo]
    assert "--photo" not in make(checkout, "demo").stdout


# --- an existing ComfyUI


def core_packages(comfy: Path) -> set[str]:
    """Names of what ComfyUI's requirements bring, as installed here."""
    from packaging.requirements import Requirement

    lines = (comfy / "requirements.txt").read_text(encoding="utf-8").splitlines()
    queue, found = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")], set()
    while queue:
        requirement = queue.pop()
        if requirement.marker and not any(
            requirement.marker.evaluate({"extra": extra}) for extra in (*requirement.extras, "")
        ):
            continue
        try:
            package = distribution(requirement.name)
        except PackageNotFoundError:
            continue
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
        if name not in found:
            found.add(name)
            queue += [Requirement(line) for line in package.requires or []]
    return found


def test_the_requirements_change_no_version_of_a_core_environment(tmp_path):
    """uv's plan for an environment that holds the records of ComfyUI's packages and nothing else."""
    from portrait_diffusion.workflows.server import comfyui_path

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "core"], check=True)
    (site,) = (tmp_path / "core").glob("lib/python*/site-packages")
    names = core_packages(comfyui_path())
    assert {"torch", "numpy", "pillow", "transformers"} <= names and not {"diffusers", "xatlas"} & names
    for name in names:
        record = Path(distribution(name)._path)
        shutil.copytree(record, site / record.name)
    plan = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--dry-run",
        "--python",
        str(tmp_path / "core" / "bin" / "python"),
        "-r",
        str(ROOT / "requirements.txt"),
    ]
    done = subprocess.run(
        [*plan, "--offline"], capture_output=True, text=True
    )  # what made this environment lies in uv's cache
    if done.returncode:
        done = subprocess.run(plan, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    changes = [line.split() for line in done.stderr.splitlines() if line[:3] in (" + ", " - ", " ~ ")]
    assert {mark for mark, *_ in changes} == {"+"}
    added = {change[1].partition("==")[0] for change in changes}
    assert {"diffusers", "nerfacc", "trimesh", "xatlas"} <= added and not added & names
