"""The workflows for owners of public files, as they ship but for sizes and steps, in the real server: small networks stand behind the
files' names, and no socket reaches beyond this machine."""

import io
import json
import shutil
from pathlib import Path

import av
import pytest
import torch
from portrait_diffusion.models.checkpoint import save_tensors
from portrait_diffusion.models.diffusion.brushnet import Branch, BranchConfig
from portrait_diffusion.models.mesh.gltf import from_glb
from portrait_diffusion.workflows.client import Client

from ..models.prior import pretend
from .conftest import FOLDER, HERE, prepare
from .graphs import PACK, ROOT, by_hand, chain, number
from .messages import refused
from .test_workflow import picture

PANOHEAD = "easy-khair-180-gpc0.8-trans10-025000.pkl"
SD = "v1-5-pruned-emaonly-fp16.safetensors"
ZERO123 = "stable_zero123.ckpt"
BRUSHNET = "brushnet_random_mask_fp16.safetensors"
NOWHERE = "192.0.2.1"  # RFC 5737: of no machine
SMALL = {
    "InvertPortrait": {"preset": "quick", "latent_steps": 2, "tuning_steps": 2},
    "RestoreGeometry": {"steps": 1, "size": 64},
    "RefineHead": {"iterations": 1, "size": 64},
    "CameraOrbit": {"count": 4, "yaw_step_degrees": 90.0, "size": 64},
    "RenderViews": {"samples": 12},
    "HeadToMesh": {"resolution": 64, "texture_size": 128},
    "Turntable": {"frames": 4, "size": 64},
}


def owned(name: str) -> dict:
    """A shipped graph with the portrait and a crop by hand, in its own sizes."""
    graph = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    return by_hand(graph, "mask.png")


def small(name: str) -> dict:
    """The same, small; files and wires stay as shipped."""
    graph = owned(name)
    for node in graph.values():
        node["inputs"] |= SMALL.get(node["class_type"].removeprefix(PACK), {})
    return graph


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """Where a server starts that has a stand-in for each file of the shipped graphs, under its name and in its folder."""
    base = prepare(tmp_path_factory.mktemp("owners") / "base")
    shutil.copy(HERE / "owners.py", base / "custom_nodes" / "owners.py")
    models = base / "models"
    for folder in ("portrait_diffusion", "checkpoints", "inpaint"):
        (models / folder).mkdir(parents=True)
    generator = pretend.with_matter(pretend.make("panohead"))
    pretend.write_snapshot(
        models / "portrait_diffusion" / PANOHEAD, generator, "panohead", base / "ran", protocol=3
    )
    for name in (SD, ZERO123):
        (models / "checkpoints" / name).write_bytes(b"a stand-in")
    torch.manual_seed(0)
    branch = Branch(BranchConfig(channels=(32, 64, 128, 128))).half()
    save_tensors(models / "inpaint" / BRUSHNET, branch.state_dict(), {})
    return base


@pytest.fixture(scope="module")
def owner(base, start) -> Client:
    """A client of that server."""
    return Client(start(base, arguments=("--cpu",), name=FOLDER).url)


def asked_for(base: Path) -> set[str]:
    """Addresses beyond this machine that the server wanted."""
    record = base / "custom_nodes" / "network.txt"
    return set(record.read_text().split()) if record.exists() else set()


def check_model_and_video(client, graph: dict, outcome, issues) -> None:
    """A GLB that Khronos accepts, and a video of four frames."""
    data = client.fetch(outcome.outputs[number(graph, "SaveGLB")]["3d"][0])
    mesh = from_glb(data)
    assert issues(data) == [] and len(mesh.faces) > 100 and mesh.texture.shape == (3, 128, 128)
    (film,) = outcome.outputs[number(graph, "SaveVideo")]["images"]
    with av.open(io.BytesIO(client.fetch(film))) as video:
        assert {(frame.width, frame.height) for frame in video.decode(video=0)} == {(64, 64)}


def test_sockets_are_blocked(owner, base):
    graph = chain(("OwnersCall", {"host": NOWHERE}), ("PreviewImage", {"images": "@1"}))
    refused(owner, graph, [f"the network was asked for {NOWHERE}"])
    assert NOWHERE in asked_for(base)


def test_panohead_s_file_becomes_a_model_and_a_video(owner, base, gltf_issues):
    graph = small("portrait_panohead")
    outcome = owner.run(graph)
    assert "begun at the mean of the prior's heads" in outcome.words()[number(graph, "InvertPortrait")]
    check_model_and_video(owner, graph, outcome, gltf_issues)
    sheet = picture(owner, outcome.outputs[number(graph, "SaveImage")]["images"][0])
    assert sheet.size == (4 * 64, 2 * 64)
    assert not (base / "ran").exists() and asked_for(base) <= {NOWHERE}


def test_four_files_restore_and_refine_a_head(owner, base, gltf_issues):
    graph = small("portrait_diffusion_sd")
    outcome = owner.run(graph)
    report = outcome.words()[number(graph, "PreviewAny")]
    assert "Guided by view: Stable Diffusion 1.x" in report
    assert "Guided by the photo: Stable-Zero123, weight 0.1, guidance 5, 256 pixels" in report
    check_model_and_video(owner, graph, outcome, gltf_issues)
    sheet = picture(owner, outcome.outputs[number(graph, "SaveImage")]["images"][0]).convert("RGB")
    before, after = torch.tensor(list(sheet.getdata())).float().view(2, 128, 256, 3)
    assert before.std() > 1 and (after - before).abs().mean() > 0.1
    assert not (base / "ran").exists() and asked_for(base) <= {NOWHERE}


@pytest.mark.parametrize("name", ["portrait_panohead", "portrait_diffusion_sd"])
def test_without_the_files_each_loader_names_its_own(name, client):
    words = [
        f"expected the file {PANOHEAD}",
        "goes into models/portrait_diffusion",
        "published by its authors, on GitHub as SizheAn/PanoHead",
    ]
    if name == "portrait_diffusion_sd":
        words += [f"expected the file inpaint/{BRUSHNET}", "goes into models/inpaint", SD, ZERO123]
    refused(client, owned(name), words)
