"""Geometry restoration and MV-NRS through the real server: heads that change, targets, scores, cancel, resume after a kill, refusals,
the shipped workflow and its blueprint."""

import io
import json
from dataclasses import replace
from functools import partial

import av
import pytest
import torch
from PIL import Image
from portrait_diffusion.models.checkpoint import read_tensors, save_tensors
from portrait_diffusion.models.diffusion.brushnet import Branch, BranchConfig
from portrait_diffusion.models.head import save_head
from portrait_diffusion.workflows.client import Client, PromptFailed

from ..models.small import head as small_head
from .graphs import ALIGN, ORBIT, PACK, ROOT, chain
from .messages import refused
from .test_blueprint import INNER, values_of
from .test_interrupt import Steps, same, saved, saved_file, states
from .test_object_info import info, inputs_of  # noqa: F401 - a fixture

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
SMALL = {"size": 64, "guidance": 2.0}  # rather than 512 pixels, which a wired MODEL knows
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
        (
            PACK + "RefineHead",
            REFINE | {"head": head, "hpdm": "@6"} | ({"cameras": cameras} if cameras else {}) | inputs,
        ),
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


def test_restoration_goes_on_after_a_cancel(server, client, head_tensors):
    # enough steps that the cancel, asked for after the first, comes before the last on a crowded machine, too
    made, before = restored(steps=12, seed=1), states(server)
    whole = saved(client, made, client.run(made), head_tensors)
    client.post("/free", {"free_memory": True})
    with pytest.raises(PromptFailed) as caught:
        client.run(made, Steps(made, 1, client.interrupt, node="RestoreGeometry"))
    assert caught.value.interrupted and len(states(server)) == len(before) + 1
    again = Steps(made, node="RestoreGeometry")
    outcome = client.run(made, again)
    assert again.values[0] > 1 and states(server) == before
    assert same(saved(client, made, outcome, head_tensors), whole)


@pytest.fixture(scope="module")
def uninterrupted(server, head_tensors) -> tuple:
    """A refinement in one go: what came of it, its head's tensors, the pictures on the way."""
    client, made, pictures = Client(server.url), refined(), []
    outcome = client.run(
        made, lambda event: pictures.append(event) if event.picture and event.node == "8" else None
    )
    tensors = saved(client, made, outcome, head_tensors)
    client.post("/free", {"free_memory": True})  # forget the outputs: the next run of this graph works again
    return outcome, tensors, pictures


def test_refinement_shows_targets_and_scores_and_goes_on_after_a_cancel(
    server, client, uninterrupted, head_tensors
):
    whole, first, pictures = uninterrupted
    made, before = refined(), states(server)
    assert len(pictures) == 2  # a turned head after each iteration

    def shown(outcome) -> list:
        """Targets and the curve of scores, as they were encoded."""
        return [client.fetch(entry) for key in ("10", "11") for entry in outcome.outputs[key]["images"]]

    *targets, curve = (Image.open(io.BytesIO(data)) for data in shown(whole))
    assert [target.size for target in targets] == [(256, 256)] * 3  # the photo's camera and two
    assert curve.size == (480, 240)
    rounds = rounds_of(made, 1, client.interrupt)
    with pytest.raises(PromptFailed) as caught:
        client.run(made, rounds)
    assert caught.value.interrupted and len(states(server)) == len(before) + 1
    again = rounds_of(made)
    outcome = client.run(made, again)
    assert again.values[0] == 2 and states(server) == before
    assert same(saved(client, made, outcome, head_tensors), first)
    for ours, theirs in zip(
        shown(outcome), shown(whole), strict=True
    ):  # of the whole run, whatever was resumed
        assert Image.open(io.BytesIO(ours)).tobytes() == Image.open(io.BytesIO(theirs)).tobytes()


def test_core_s_own_wires_restore_and_refine(server, client, head_tensors):
    """MODEL, VAE and CONDITIONING with a BrushNet of the user's."""
    folder = server.base / "models" / "portrait_diffusion"
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    save_tensors(
        folder / "small-brushnet.safetensors",
        Branch(BranchConfig(channels=(32, 64, 128, 128))).state_dict(),
        {},
    )
    sources = [
        ("NeighbourSource", {"what": f"small {what}"}) for what in ("model", "vae", "prompt", "negative")
    ]
    wires = {"model": "@1", "vae": "@2", "front": "@3", "side": "@3", "negative": "@4"}
    made = chain(
        *sources,
        ("LoadImage", {"image": "portrait.png"}),
        (PACK + "AlignPortrait", ALIGN | {"image": "@5"}),
        (PACK + "LoadHeadPrior", {"prior": "embedded"}),
        (PACK + "FeedForwardHead", {"prior": "@7", "aligned": "@6"}),
        (PACK + "LoadViewDiffusion", wires),
        (PACK + "RestoreGeometry", RESTORE | SMALL | {"head": "@8", "diffusion": "@9"}),
        (PACK + "LoadHPDM", {"diffusion": "@9", "branches": "small-brushnet.safetensors"}),
        (PACK + "CameraOrbit", FACE[-1][1]),
        (
            PACK + "RefineHead",
            REFINE | SMALL | {"head": "@10", "hpdm": "@11", "cameras": "@12", "aligned": "@6"},
        ),
        ("PreviewImage", {"images": "@13.1"}),
        (PACK + "SaveHead", {"head": "@8", "filename_prefix": "portrait/first"}),
        (PACK + "SaveHead", {"head": "@10", "filename_prefix": "portrait/native-restored"}),
        (PACK + "SaveHead", {"head": "@13", "filename_prefix": "portrait/native-refined"}),
    )
    outcome = client.run(made)
    targets = [Image.open(io.BytesIO(client.fetch(entry))) for entry in outcome.outputs["14"]["images"]]
    assert [target.size for target in targets] == [(64, 64)] * 3
    planes = [
        saved_file(server, {key: made[key]}, outcome, head_tensors)["planes"] for key in ("15", "16", "17")
    ]
    assert not torch.equal(planes[0], planes[1]) and not torch.equal(planes[1], planes[2])
    assert all(one.isfinite().all() for one in planes)


def test_a_zero123_of_the_user_s_is_the_second_guide(server, client, head_tensors):
    """What Image Only Checkpoint Loader gives, beside a MODEL of Stable Diffusion's; and without it the report says so."""
    what = ("model", "vae", "prompt", "negative", "zero123", "tower")
    made = chain(
        *[("NeighbourSource", {"what": f"small {one}"}) for one in what],
        ("LoadImage", {"image": "portrait.png"}),
        (PACK + "AlignPortrait", ALIGN | {"image": "@7"}),
        (PACK + "LoadHeadPrior", {"prior": "embedded"}),
        (PACK + "FeedForwardHead", {"prior": "@9", "aligned": "@8"}),
        (PACK + "LoadViewDiffusion", {"model": "@1", "vae": "@2", "front": "@3", "negative": "@4"}),
        (
            PACK + "LoadZero123",
            {"model": "@5", "clip_vision": "@6", "vae": "@2", "kind": "from the model"},
        ),
        (PACK + "RestoreGeometry", RESTORE | SMALL | {"head": "@10", "diffusion": "@11", "zero123": "@12"}),
        (PACK + "RestoreGeometry", RESTORE | SMALL | {"head": "@10", "diffusion": "@11"}),
        ("PreviewAny", {"source": "@13.1"}),
        ("PreviewAny", {"source": "@14.1"}),
        (PACK + "SaveHead", {"head": "@13", "filename_prefix": "portrait/two-guides"}),
        (PACK + "SaveHead", {"head": "@14", "filename_prefix": "portrait/one-guide"}),
    )
    outcome = client.run(made)
    both, alone = (outcome.outputs[key]["text"][0] for key in ("15", "16"))
    assert "Stable Diffusion 1.x, weight 0.1, guidance 2, 64 pixels" in both
    assert "Stable-Zero123, weight 0.1, guidance 5, 256 pixels" in both
    assert "by the photo: nothing; wire Load Zero-123" in alone
    planes = [saved_file(server, {key: made[key]}, outcome, head_tensors)["planes"] for key in ("17", "18")]
    assert not torch.equal(*planes) and all(one.isfinite().all() for one in planes)


def test_a_killed_refinement_goes_on_after_a_restart(start, uninterrupted, head_tensors):
    made, first = refined(often=True), start(arguments=("--cpu",))
    with pytest.raises((PromptFailed, OSError)):
        Client(first.url).run(made, rounds_of(made, 1, first.kill))
    assert len(states(first)) == 1
    second = start(first.base, arguments=("--cpu",))
    again = rounds_of(made)
    outcome = Client(second.url).run(made, again)
    second.stop()
    assert again.values[0] > 1 and states(second) == []
    assert same(saved_file(second, made, outcome, head_tensors), uninterrupted[1])


BAD = {
    "restoration without a photo": (
        restored(head="@10", learnt=False),
        ["restoration: expected heads with their photos", "Invert Portrait"],
    ),
    "restoration without a generator": (
        restored(head="@10", file="no-generator"),
        ["expected a head with its generator", "turn learnt off"],
    ),
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


# --- the shipped workflow and its blueprint, a step of each stage

SHORT = {
    PACK + "InvertPortrait": {"latent_steps": 1, "tuning_steps": 1},
    PACK + "RestoreGeometry": {"steps": 1},
    PACK + "RefineHead": {"iterations": 1},
    PACK + "HeadToMesh": {"resolution": 48, "texture_size": 64},
    PACK + "Turntable": {"frames": 4, "size": 64},
    PACK + "CameraOrbit": {"size": 64},
}


def shortened(graph: dict) -> dict:
    return {
        key: {**node, "inputs": {**node["inputs"], **SHORT.get(node["class_type"], {})}}
        for key, node in graph.items()
    }


def video_size(client, entry: dict) -> tuple[int, int, int]:
    """Frames, width and height."""
    with av.open(io.BytesIO(client.fetch(entry))) as film:
        frames = list(film.decode(video=0))
    return len(frames), frames[0].width, frames[0].height


def test_the_shipped_workflow_runs(client):
    graph = shortened(
        json.loads((ROOT / "workflows" / "api" / "portrait_diffusion.json").read_text(encoding="utf-8"))
    )
    named = {node["_meta"]["title"]: key for key, node in graph.items()}
    outcome = client.run(graph)
    (film,) = outcome.outputs[named["Save video"]]["images"]
    assert video_size(client, film) == (4, 128, 64)  # before and after side by side
    (sheet,) = outcome.outputs[named["Save both sheets"]]["images"]
    assert Image.open(io.BytesIO(client.fetch(sheet))).convert("L").getextrema()[0] < 128
    (model,) = outcome.outputs[next(key for key, node in graph.items() if node["class_type"] == "SaveGLB")][
        "3d"
    ]
    assert client.fetch(model)[:4] == b"glTF"


def test_the_blueprint_is_one_node_from_photo_to_model_and_video(client, info):  # noqa: F811
    """Its inside as the frontend hands it to the server, with a photo before it and savers behind."""
    links = {link["id"]: link for link in INNER["links"]}
    graph = {"photo": {"class_type": "LoadImage", "inputs": {"image": "portrait.png"}}}
    for node in INNER["nodes"]:
        inputs = values_of(node, inputs_of(info[node["type"]]))
        for slot in node["inputs"]:
            link = links.get(slot["link"])
            if link is not None and link["origin_id"] != -10:
                inputs[slot["name"]] = [str(link["origin_id"]), link["origin_slot"]]
            elif link is not None and "widget" not in slot:
                inputs[slot["name"]] = ["photo", 0]
        graph[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    ends = {slot["name"]: links[slot["linkIds"][0]] for slot in INNER["outputs"]}
    wire = {name: [str(link["origin_id"]), link["origin_slot"]] for name, link in ends.items()}
    graph["save video"] = {
        "class_type": "SaveVideo",
        "inputs": {
            "video": wire["video"],
            "filename_prefix": "portrait/one",
            "format": "mp4",
            "codec": "h264",
        },
    }
    graph["save model"] = {
        "class_type": "SaveGLB",
        "inputs": {"mesh": wire["glb"], "filename_prefix": "portrait/one"},
    }
    outcome = client.run(shortened(graph))
    assert video_size(client, outcome.outputs["save video"]["images"][0]) == (4, 128, 64)
    assert client.fetch(outcome.outputs["save model"]["3d"][0])[:4] == b"glTF"
