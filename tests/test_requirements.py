"""Installing the pack into a ComfyUI changes nothing that is there, and compiles nothing."""

import importlib.metadata
import os
import subprocess
import sys

import pytest


def test_none_of_core_s_packages_was_replaced():
    """What core asks for is still what core asked for, after our requirements were installed beside it."""
    from packaging.requirements import Requirement
    from portrait_diffusion.workflows.server import comfyui_path

    lines = [
        line.split("#")[0].strip()
        for line in (comfyui_path() / "requirements.txt").read_text(encoding="utf-8").splitlines()
    ]
    for line in filter(None, lines):
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate():
            assert wanted.specifier.contains(importlib.metadata.version(wanted.name), prereleases=True), line


@pytest.mark.whole
@pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for the compiler")
def test_no_compiler_is_started_when_everything_is_imported(tmp_path):
    """nerfacc compiles its CUDA module where it finds nvcc; we never touch it."""
    compiled = tmp_path / "compiled"
    for name in ("nvcc", "ninja", "gcc", "g++", "cc", "c++"):
        fake = tmp_path / "bin" / name
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(f'#!/bin/sh\necho "{name} $*" >> "{compiled}"\nexit 1\n')
        fake.chmod(0o755)
    script = """
import importlib, pkgutil, sys
import portrait_diffusion
import portrait_diffusion.models as models
for found in pkgutil.walk_packages(models.__path__, models.__name__ + "."):
    importlib.import_module(found.name)
assert "nerfacc.cuda._backend" not in sys.modules
"""
    env = os.environ | {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "CUDA_HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert not compiled.exists(), compiled.read_text()
