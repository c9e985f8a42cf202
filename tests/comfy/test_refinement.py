"""Geometry restoration and MV-NRS through the real server: heads that change, targets, scores, cancel, resume after a kill, refusals."""

import io
from dataclasses import replace
from functools import partial

import pytest
import torch
from PIL import Image

from portrait_diffusion.models.checkpoint import read_tensors, save_tensors
from portrait_diffusion.models.diffusion.brushnet import Branch, BranchConfig
from portrait_diffusion.models.head import save_head
from portrait_diffusion.workflows.client import Client, PromptFailed

from ..models.small import head as small_head
from .graphs import ALIGN, ORBIT, PACK, chain
from .messages import refused
from .test_interrupt import Steps, same, saved, saved_file, states

FACE = [  # 1 to 4: a person's head
    ("LoadImage", {"image": "portrait.png"}),
    (PACK + "AlignPortrait", ALIGN | {"image": "@1"}),
    (PACK + "LoadHeadPrior", {"prior": "embedded"}),
    (PACK + "FeedForwardHead", {"prior": "@3", "aligned": "@2"}),
    (PACK + "LoadViewDiffusion", {}),
    (PACK + "LoadHPDM", {"diffusion": "@5", "branches": "embedded"}),
    (PACK + "CameraOrbit", ORBIT | {"count": 2, "yaw_degrees": -40.0, "yaw_step_degrees": 80.0}),
]
RESTORE = {"steps": 2, "seed": 0, "learnt": True, "text": 0.1, "picture_weight": 0.1, "reference": 100.0}
REFINE = {"preset": "fast", "seed": 0, "iterations": 2, "strategy": "mvnrs", "sigma": -1.0, "multi_step": 0.0}


def restored(*, head="@4", file="no-photo", **inputs) -> dict:
    return chain(
        *FACE,
        (PACK + "RestoreGeometry", RESTORE | {"head": head, "diffusion": "@5"} | inputs),
        (PACK + "SaveHead", {"head": "@8", "filename_prefix": "portrait/restored"}),
        (PACK + "LoadHead", {"file": f"{file}.safetensors"}),
    )


def refined(*, head="@4", cameras="@7", count=2, often=False, **inputs) -> dict:
    made = chain(
        *FACE[:-1],
        (PACK + "CameraOrbit", FACE[-1][1] | {"count": count}),
        (PACK + "RefineHead", REFINE | {"head": head, "hpdm": "@6"} | ({"cameras": cameras} if cameras else {}) | inputs),
        (PACK + "SaveHead", {"head": "@8", "filename_prefix": "portrait/refined"}),
        ("PreviewImage", {"images": "@8.1"}),
        ("PreviewImage", {"images": "@8.2"}),
        (PACK + "LoadHead", {"file": "no-photo.safetensors"}),
        ("NeighbourSaveOften", {"image": "@1"}),
    )
    if often:
        made["2"]["inputs"]["image"] = ["13", 0]
    return made


rounds_of = partial(Steps, node="RefineHead")


def test_restoration_changes_the_planes_alone(client, head_tensors):
    before = chain(*FACE, (PACK + "SaveHead", {"head": "@4", "filename_prefix": "portrait/before"}))
    first = saved(client, before, client.run(before), head_tensors)
    made = restored()
    after = saved(client, made, client.run(made), head_tensors)
    changed = [key for key in first if not torch.equal(first[key], after[key])]
    assert changed == ["planes"] and first.keys() == after.keys()


def test_refinement_shows_targets_and_scores_and_goes_on_after_a_cancel(server, client, head_tensors):
    made = refined()
    before = states(server)
    whole = client.run(made)
    first = saved(client, made, whole, head_tensors)
    targets = [Image.open(io.BytesIO(client.fetch(entry))) for entry in whole.outputs["10"]["images"]]
    assert [target.size for target in targets] == [(256, 256)] * 3  # the photo's camera and two
    (curve,) = whole.outputs["11"]["images"]
    assert Image.open(io.BytesIO(client.fetch(curve))).size == (480, 240)
    client.post("/free", {"free_memory": True})
    rounds = rounds_of(made, 1, client.interrupt)
    with pytest.raises(PromptFailed) as caught:
        client.run(made, rounds)
    assert caught.value.interrupted and len(states(server)) == len(before) + 1
    again = rounds_of(made)
    outcome = client.run(made, again)
    assert again.values[0] == 2 and states(server) == before
    assert same(saved(client, made, outcome, head_tensors), first)


def test_core_s_own_wires_restore_and_refine(server, client, head_tensors):
    """MODEL, VAE and CONDITIONING with a BrushNet of the user's."""
    folder = server.base / "models" / "portrait_diffusion"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    save_tensors(folder / "small-brushnet.safetensors", Branch(BranchConfig(channels=(32, 64, 128, 128))).state_dict(), {})
    sources = [("NeighbourSource", {"what": f"small {what}"}) for what in ("model", "vae", "prompt", "negative")]
    wires = {"model": "@1", "vae": "@2", "front": "@3", "side": "@3", "negative": "@4"}
    made = chain(
        *sources,
        ("LoadImage", {"image": "portrait.png"}),
        (PACK + "AlignPortrait", ALIGN | {"image": "@5"}),
        (PACK + "LoadHeadPrior", {"prior": "embedded"}),
        (PACK + "FeedForwardHead", {"prior": "@7", "aligned": "@6"}),
        (PACK + "LoadViewDiffusion", wires),
        (PACK + "RestoreGeometry", RESTORE | {"head": "@8", "diffusion": "@9"}),
        (PACK + "LoadHPDM", {"diffusion": "@9", "branches": "small-brushnet.safetensors"}),
        (PACK + "CameraOrbit", FACE[-1][1]),
        (PACK + "RefineHead", REFINE | {"head": "@10", "hpdm": "@11", "cameras": "@12", "aligned": "@6"}),
        ("PreviewImage", {"images": "@13.1"}),
        (PACK + "SaveHead", {"head": "@8", "filename_prefix": "portrait/first"}),
        (PACK + "SaveHead", {"head": "@10", "filename_prefix": "portrait/native-restored"}),
        (PACK + "SaveHead", {"head": "@13", "filename_prefix": "portrait/native-refined"}),
    )
    outcome = client.run(made)
    assert len(outcome.outputs["14"]["images"]) == 3
    planes = [saved_file(server, {key: made[key]}, outcome, head_tensors)["planes"] for key in ("15", "16", "17")]
    assert not torch.equal(planes[0], planes[1]) and not torch.equal(planes[1], planes[2])
    assert all(one.isfinite().all() for one in planes)


KILLED = refined(often=True, iterations=4)


@pytest.fixture(scope="module")
def whole(server, head_tensors) -> dict:
    """What the refinement comes to that is going to be killed."""
    client = Client(server.url)
    return saved(client, KILLED, client.run(KILLED), head_tensors)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_killed_refinement_goes_on_after_a_restart(at, start, whole, head_tensors):
    made, first = KILLED, start(arguments=("--cpu",))
    with pytest.raises((PromptFailed, OSError)):
        Client(first.url).run(made, rounds_of(made, at, first.kill))
    assert len(states(first)) == 1
    second = start(first.base, arguments=("--cpu",))
    again = rounds_of(made)
    outcome = Client(second.url).run(made, again)
    second.stop()
    assert again.values[0] > at and states(second) == []
    assert same(saved_file(second, made, outcome, head_tensors), whole)


BAD = {
    "restoration without a photo": (restored(head="@10", learnt=False), ["restoration: expected heads with their photos", "Invert Portrait"]),
    "restoration without a generator": (restored(head="@10", file="no-generator"), ["expected a head with its generator", "turn learnt off"]),
    "refinement without a photo": (refined(head="@12"), ["refine: expected a head with its photo"]),
    "one camera": (refined(count=1), ["refine: expected 2 to 64 cameras", "got 1", "Camera Orbit"]),
    "too many cameras": (refined(count=65), ["refine: expected 2 to 64 cameras", "got 65"]),
}


@pytest.fixture(scope="module")
def poor_heads(server) -> None:
    """Head files that hold no photo, and no generator."""
    inputs = server.base / "input"
    tensors, facts = read_tensors(inputs / "small.safetensors", "head")
    kept = {key: value for key, value in tensors.items() if not key.startswith("reference.")}
    save_tensors(inputs / "no-photo.safetensors", kept, facts)
    save_head(replace(small_head(), generator=None), inputs / "no-generator.safetensors")


@pytest.mark.parametrize("name", BAD)
def test_one_sentence(name, client, poor_heads):
    refused(client, *BAD[name])
