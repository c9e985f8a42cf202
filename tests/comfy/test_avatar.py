"""RodinHD's nodes through the real server, on small files of random weights in the user's folder: a portrait, nobody, progress, bad input."""

import io
import json

import pytest
import torch
from PIL import Image
from portrait_diffusion.models.mesh.gltf import from_glb
from portrait_diffusion.workflows.client import PromptFailed

from ..models.avatar import small
from .graphs import ALIGN, ORBIT, PACK, ROOT, VIEWS, chain
from .messages import refused

FILES = dict(zip(("decoder", "base", "upsampler"), small.KINDS, strict=True))
AVATAR = {"seed": 0, "steps": 2, "guidance": -1.0}


@pytest.fixture(scope="module", autouse=True)
def folder(server):
    """The user's folder with a small model, one of another decoder, and their files under wrong names."""
    models = server.base / "models" / "portrait_diffusion"
    (models / "other").mkdir(parents=True, exist_ok=True)
    small.files(models)
    small.files(models / "other", seed=1)
    (models / "turbo-misnamed.safetensors").write_bytes((models / "avatar_base.safetensors").read_bytes())
    return models


def loader(**files) -> tuple[str, dict]:
    return PACK + "LoadAvatarModel", {key: f"{name}.safetensors" for key, name in {**FILES, **files}.items()}


def somebody(**inputs) -> dict:
    """A head of nobody's, its formation and a view of it."""
    return chain(
        loader(),
        (PACK + "GenerateAvatar", AVATAR | {"avatar": "@1"} | inputs),
        ("PreviewImage", {"images": "@2.1"}),
        (PACK + "CameraOrbit", ORBIT),
        (PACK + "RenderViews", VIEWS | {"head": "@2", "cameras": "@4"}),
        ("PreviewImage", {"images": "@5"}),
    )


def of_a_portrait() -> dict:
    return chain(
        loader(),
        ("LoadImage", {"image": "portrait.png"}),
        ("LoadImageMask", {"image": "mask.png", "channel": "red"}),
        (PACK + "AlignPortrait", ALIGN | {"image": "@2", "foreground_mask": "@3"}),
        (PACK + "GenerateAvatar", AVATAR | {"avatar": "@1", "aligned": "@4"}),
        ("PreviewImage", {"images": "@5.1"}),
        (PACK + "SaveHead", {"head": "@5", "filename_prefix": "heads/avatar"}),
        (
            PACK + "HeadToMesh",
            {"head": "@5", "resolution": 32, "colours": "vertex colours", "texture_size": 64}
            | {"target_faces": 0, "surface_density": 0.5},
        ),
        (
            PACK + "Turntable",
            {"mesh": "@8", "frames": 2, "size": 32, "fps": 24.0, "pitch_degrees": 0.0}
            | {"background": "#ffffff"},
        ),
        ("PreviewImage", {"images": "@9"}),
    )


def pictures(client, entries) -> list[torch.Tensor]:
    files = [Image.open(io.BytesIO(client.fetch(entry))).convert("RGB") for entry in entries]
    return [torch.tensor(list(file.getdata()), dtype=torch.float32) for file in files]


def test_a_portrait_becomes_a_head_that_is_saved_and_turned(client, head_tensors):
    outcome = client.run(of_a_portrait())
    assert "dB inside the mask" in outcome.words()["5"]
    assert len(outcome.outputs["6"]["images"]) == 2 * AVATAR["steps"]
    assert len(outcome.outputs["10"]["images"]) == 2
    tensors = head_tensors(client.fetch(outcome.outputs["7"]["heads"][0]))
    assert tensors["planes"].shape == (1, 3, 4, 16, 16)
    assert {Image.open(io.BytesIO(data)).size for data in outcome.previews} >= {(128, 128)}


def test_without_a_portrait_the_seed_decides_who_it_is(client):
    outcomes = [client.run(somebody(seed=seed, steps=steps)) for seed, steps in ((1, 2), (1, 3), (2, 2))]
    assert [len(outcome.outputs["3"]["images"]) for outcome in outcomes] == [4, 6, 4]
    assert "of no portrait" in outcomes[0].words()["2"]
    first, _, other = (pictures(client, outcome.outputs["6"]["images"])[0] for outcome in outcomes)
    assert not torch.equal(first, other)
    again = client.run(somebody(seed=1, steps=2, guidance=5.0))  # nobody is guided by nothing
    assert torch.equal(pictures(client, again.outputs["6"]["images"])[0], first)


def test_an_interrupt_stops_between_steps(client):
    stopped = []

    def stop(event) -> None:
        if event.node == "2" and event.value >= 2 and not stopped:
            stopped.append(event.value)
            client.interrupt()

    with pytest.raises(PromptFailed) as caught:
        client.run(somebody(seed=7, steps=100), stop)
    assert caught.value.interrupted and stopped[0] < 100


def test_files_are_listed_by_what_they_are(client):
    info = client.get("/object_info/" + PACK + "LoadAvatarModel")[PACK + "LoadAvatarModel"]["input"][
        "required"
    ]
    lists = {
        name: set(spec[1]["options"] if len(spec) > 1 and "options" in spec[1] else spec[0])
        for name, spec in info.items()
    }
    assert lists["base"] >= {"embedded", "avatar_base.safetensors", "turbo-misnamed.safetensors"}
    assert "avatar_base.safetensors" not in lists["decoder"] | lists["upsampler"]
    refiners = client.get("/object_info/" + PACK + "LoadTurboRefiner")
    assert "turbo-misnamed" not in str(refiners)


BAD = {
    "base model of another decoder": (
        chain(
            loader(base="other/avatar_base"),
            (PACK + "GenerateAvatar", AVATAR | {"avatar": "@1"}),
            ("PreviewImage", {"images": "@2.1"}),
        ),
        ["avatar_base.safetensors", "expected the decoder that it was trained with"],
    ),
    "file that is not there": (
        chain(
            loader(upsampler="absent"),
            (PACK + "GenerateAvatar", AVATAR | {"avatar": "@1"}),
            ("PreviewImage", {"images": "@2.1"}),
        ),
        ["expected the file absent.safetensors"],
    ),
    "no steps": (somebody(steps=0), ["steps", "1"]),
}


@pytest.mark.parametrize("name", BAD)
def test_one_sentence(name, client):
    refused(client, *BAD[name])


def test_an_inversion_begins_at_an_avatar(client):
    graph = chain(
        loader(),
        ("LoadImage", {"image": "portrait.png"}),
        ("LoadImageMask", {"image": "mask.png", "channel": "red"}),
        (PACK + "AlignPortrait", ALIGN | {"image": "@2", "foreground_mask": "@3"}),
        (PACK + "GenerateAvatar", AVATAR | {"avatar": "@1", "aligned": "@4"}),
        (PACK + "LoadHeadPrior", {"prior": "embedded"}),
        (
            PACK + "InvertPortrait",
            {"prior": "@6", "aligned": "@4", "start": "@5", "preset": "quick", "seed": 0}
            | {"latent_steps": 1, "tuning_steps": 1},
        ),
        (PACK + "SaveHead", {"head": "@7", "filename_prefix": "heads/begun"}),
    )
    outcome = client.run(graph)
    assert "dB" in outcome.outputs["7"]["text"][0]


# --- the workflow

SMALL = {
    "A whole turn": {"count": 4, "yaw_step_degrees": 90.0, "size": 64},
    "Render the turn": {"samples": 12},
    "Refine the turn": {"window": 3, "overlap": 1},
    "Views to bake": {"count": 2, "yaw_degrees": -30.0, "yaw_step_degrees": 60.0, "size": 64},
    "Render them": {"samples": 12},
    "Bake Views into Head": {"steps": 3},
    "Head to Mesh": {"resolution": 64, "texture_size": 128},
}


def workflow(**changes: dict) -> tuple[dict, dict[str, str]]:
    """The shipped graph with small settings and changes by title, and its nodes by title."""
    graph = json.loads((ROOT / "workflows" / "api" / "rodin_avatar.json").read_text(encoding="utf-8"))
    named = {node["_meta"]["title"]: key for key, node in graph.items()}
    for title, values in [*SMALL.items(), *changes.items()]:
        graph[named[title]]["inputs"] |= values
    return graph, named


def check_files(client, outcome, named, issues) -> None:
    """A GLB that Khronos accepts, and a video."""
    data = client.fetch(outcome.outputs[named["Save 3D model"]]["3d"][0])
    assert issues(data) == [] and len(from_glb(data).faces) > 100
    assert outcome.outputs[named["Save video"]]["images"]


def test_the_workflow_makes_a_model_and_a_video_of_any_files(client, gltf_issues):
    files = {key: f"{kind}.safetensors" for key, kind in FILES.items()}
    graph, named = workflow(
        **{
            "Load Avatar Model": files,
            "Generate Avatar": {"steps": 2},
            "Head to Mesh": {"surface_density": 0.5},
        }
    )
    check_files(client, client.run(graph), named, gltf_issues)


def test_the_workflow_runs_with_what_ships(client, gltf_issues):
    graph, named = workflow()
    check_files(client, client.run(graph), named, gltf_issues)
