"""Loads the checkout as ComfyUI does, under the one name `portrait_diffusion`, whatever its folder is called."""

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: spinning threads starve shared cores


def load_pack() -> None:
    """Import the root package by its file."""
    spec = importlib.util.spec_from_file_location(
        "portrait_diffusion", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["portrait_diffusion"] = module
    spec.loader.exec_module(module)


load_pack()
settings.register_profile(
    "portrait", deadline=None, max_examples=25, derandomize=True
)  # the first torch call is slow
settings.load_profile("portrait")


def pytest_collection_modifyitems(items) -> None:
    """Everything below tests/comfy starts the real ComfyUI."""
    for item in items:
        if "comfy" in Path(item.fspath).relative_to(ROOT).parts:
            item.add_marker(pytest.mark.comfy)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def golden(request):
    """The fixture file of a test that `golden_fixtures.each` parametrises."""
    from .golden_fixtures import load  # a module of its own, which needs torch

    return load(request.param)


@dataclass(frozen=True)
class StandIn:
    """A `gs` first on the path that leaves a mark when it is started. Attributes: mark: the file. environment: with that path."""

    mark: Path
    environment: dict[str, str]


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory) -> StandIn:
    """Ghostscript's stand-in."""
    folder = tmp_path_factory.mktemp("path")
    mark = folder / "started"
    for name in ("gs", "gswin32c", "gswin64c"):
        (folder / name).write_text(f"#!/bin/sh\ntouch '{mark}'\n")
        (folder / name).chmod(0o755)
    return StandIn(mark, os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"})
