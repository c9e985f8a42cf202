"""What pyproject.toml declares, what a wheel carries, and that the mathematics needs nothing optional to import."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .test_repository import tracked

ROOT = Path(__file__).resolve().parent.parent
OPTIONAL = [
    "comfy",
    "comfy_api",
    "folder_paths",
    "diffusers",
    "nerfacc",
    "skimage",
    "trimesh",
    "xatlas",
    "av",
    "peft",
    "accelerate",
    "kornia",
    "scipy",
]
ON_MACHINE = [
    "pypi" + ".org",
    "python" + "hosted",
    "/work" + "/main",
    "/work" + "/shared",
    "/tmp" + "/scratch",
    "/root" + "/",
]  # in two parts, so that this file does not find itself


@pytest.fixture(scope="module")
def project() -> dict:
    """pyproject.toml."""
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.whole
def test_every_model_imports_without_comfyui_and_without_optional_packages():
    question = f"""
import importlib.util, pkgutil, sys
sys.modules.update(dict.fromkeys({OPTIONAL!r}))  # None: importing it fails
spec = importlib.util.spec_from_file_location("portrait_diffusion", {str(ROOT / "__init__.py")!r}, submodule_search_locations=[{str(ROOT)!r}])
pack = sys.modules["portrait_diffusion"] = importlib.util.module_from_spec(spec)
before = set(sys.modules)
spec.loader.exec_module(pack)
assert set(sys.modules) == before, "the root imports something when loaded"
import portrait_diffusion.models as models
for module in pkgutil.walk_packages(models.__path__, models.__name__ + "."):
    importlib.import_module(module.name)
"""
    done = subprocess.run([sys.executable, "-I", "-c", question], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_names_this_machine_or_a_package_host():
    paths = [
        ROOT / name for name in tracked() if Path(name).suffix in {".py", ".md", ".json", ".toml", ".txt", ""}
    ]
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    assert [
        f"{path.relative_to(ROOT)}: {word}"
        for path, text in texts.items()
        for word in ON_MACHINE
        if word in text
    ] == []


def test_requirements_are_the_project_s_own_with_lower_bounds_only(project):
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    assert requirements == project["project"]["dependencies"]
    for requirement in requirements:
        assert ">=" in requirement and not any(
            mark in requirement for mark in ("==", "<", "~", "!", "@", "git+")
        )


def test_the_registry_finds_what_it_needs(project):
    assert project["project"]["name"] == "portrait-diffusion"
    assert set(project["project"]) >= {
        "version",
        "description",
        "license",
        "requires-python",
        "classifiers",
        "urls",
    }
    assert set(project["tool"]["comfy"]) >= {"PublisherId", "DisplayName", "requires-comfyui"}


@pytest.mark.whole
def test_a_wheel_carries_everything_that_runs(tmp_path):
    names = [name for name in tracked() if not name.startswith("tests/")]
    for name in names:
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "tree" / name)
    question = "from setuptools import build_meta; build_meta.build_wheel('..')"
    done = subprocess.run(
        [sys.executable, "-c", question], cwd=tmp_path / "tree", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    carried = set(zipfile.ZipFile(wheel).namelist())
    rooms = {"models", "nodes", "workflows", "web", "__main__.py", "__init__.py"}
    half_trained = {name for name in names if re.fullmatch(r"models/training/[\w-]+\.safetensors", name)}
    wanted = [name for name in names if name.split("/")[0] in rooms and name not in half_trained]
    assert [name for name in wanted if f"portrait_diffusion/{name}" not in carried] == []
