"""Without make: a copy of the tracked files in custom_nodes, under a name of the user's own."""

import shutil
import subprocess

from portrait_diffusion.workflows.client import Client
from portrait_diffusion.workflows.server import ROOT

from .test_object_info import INPUTS


def copy_of_the_checkout(place) -> None:
    """What git would hand out: tracked files, and new ones that it does not ignore."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)


def test_a_copy_under_another_name_brings_every_node(tmp_path, start):
    base = tmp_path / "my comfy"
    copy_of_the_checkout(base / "custom_nodes" / "Köpfe in 3D")
    server = start(base, install=False, arguments=("--cpu",))
    client = Client(server.url)
    info = client.get("/object_info")
    assert sorted(name for name in info if name.startswith("PortraitDiffusion")) == sorted(INPUTS)
    assert all("Köpfe in 3D" in info[name]["python_module"] for name in INPUTS)
    assert "IMPORT FAILED" not in server.log.read_text(encoding="utf-8", errors="replace")
    assert (
        "embedded"
        in client.get("/object_info/PortraitDiffusionLoadHeadPrior")["PortraitDiffusionLoadHeadPrior"][
            "input"
        ]["required"]["prior"][1]["options"]
    )
    text = client.run(
        {"1": {"class_type": "PortraitDiffusionDoctor", "inputs": {}, "_meta": {"title": "Doctor"}}}
    ).words()["1"]
    assert "weights: prior.safetensors" in text and "ComfyUI works on" in text
    server.stop()
