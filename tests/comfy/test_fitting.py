"""Heads from views through the real server: the shipped workflow, photos by a list, a folder of files, and what is refused."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from portrait_diffusion.models.mesh.gltf import from_glb
from portrait_diffusion.workflows.client import Client, PromptFailed

from ..models.avatar.test_many import write_ball
from .graphs import ALIGN, ORBIT, PACK, ROOT, VIEWS, chain
from .test_interrupt import Steps, same, states

SHIPPED = ROOT / "workflows" / "api" / "views_to_head.json"
SMALL = {
    "A model, or yours": {"resolution": 48, "texture_size": 64},
    "24 cameras in a spiral": {"count": 6, "pitch_step_degrees": 10.0, "size": 32},
    "Eight sides": {"size": 32},
    "Fit Head from Views": {"steps": 30, "resolution": 32, "rays": 256},
    "Render Views": {"samples": 12},
    "Head to Mesh": {"resolution": 48, "texture_size": 64},
    "Turntable": {"frames": 2, "size": 32},
}
FIT = {
    "steps": 3,
    "resolution": 32,
    "seed": 0,
    "background": "one colour",
    "colour": "#ffffff",
    "rays": 64,
}


def test_the_shipped_workflow_makes_a_head_of_a_mesh(client, head_tensors, gltf_issues):
    graph = json.loads(SHIPPED.read_text(encoding="utf-8"))
    named = {node["_meta"]["title"]: key for key, node in graph.items()}
    for title, values in SMALL.items():
        graph[named[title]]["inputs"] |= values
    outcome = client.run(graph)
    assert "6 views fitted: " in outcome.words()[named["Fit Head from Views"]]
    head = head_tensors(client.fetch(outcome.outputs[named["Save Head"]]["heads"][0]))
    assert head["planes"].shape == (1, 3, 16, 32, 32) and head["reference.image"].shape == (3, 32, 32)
    glb = client.fetch(outcome.outputs[named["Save 3D model"]]["3d"][0])
    assert gltf_issues(glb) == [] and len(from_glb(glb).faces) > 200
    (entry,) = outcome.outputs[named["Save views"]]["images"]
    assert Image.open(io.BytesIO(client.fetch(entry))).size == (8 * 32, 2 * 32)
    assert outcome.previews


def test_photos_in_a_list_become_a_head(client):
    photo = ("LoadImage", {"image": "portrait.png"})
    outcome = client.run(
        chain(
            photo,
            (
                "ImageScale",
                {"image": "@1", "upscale_method": "area", "width": 96, "height": 96, "crop": "disabled"},
            ),
            ("CreateList", {"inputs.input0": "@1", "inputs.input1": "@2"}),
            ("LoadImageMask", {"image": "mask.png", "channel": "red"}),
            (PACK + "AlignPortrait", ALIGN | {"image": "@3", "foreground_mask": "@4"}),
            (PACK + "PortraitsToViews", {"aligned": "@5"}),
            (
                PACK + "FitHeadFromViews",
                FIT | {"images": "@6", "masks": "@6.1", "cameras": "@6.2"},
            ),
            ("PreviewImage", {"images": "@6"}),
            (PACK + "SaveHead", {"head": "@7", "filename_prefix": "photos/head"}),
        )
    )
    assert "2 views fitted: " in outcome.words()["7"] and len(outcome.outputs["8"]["images"]) == 2


def test_a_folder_is_fitted_once(server, client):
    folder = server.base / "input" / "balls"
    folder.mkdir()
    for name, radius in (("a", 0.2), ("b", 0.15)):
        write_ball(folder / f"{name}.safetensors", radius)
    settings = {
        "output_folder": "fitted",
        "steps": 3,
        "resolution": 32,
        "seed": 0,
        "rays": 64,
        "decoder": "embedded",
    }
    for where, words in (("balls", "2 heads, 0 of them"), (str(folder), "2 heads, 2 of them")):
        outcome = client.run(chain((PACK + "FitAvatars", {"folder": where, **settings})))
        assert words in outcome.words()["1"]
    heads = sorted(path.name for path in (server.base / "output" / "fitted").iterdir())
    assert [entry["filename"] for entry in outcome.outputs["1"]["heads"]] == heads and len(heads) == 2


OFTEN = chain(  # states after every step
    ("LoadImage", {"image": "portrait.png"}),
    ("NeighbourSaveOften", {"image": "@1"}),
    ("PreviewImage", {"images": "@2"}),
)


def test_a_killed_server_leaves_what_is_done_and_the_rest_goes_on_after_a_restart(start, head_tensors):
    count, first = 60, start(arguments=("--cpu",))
    folder = first.base / "input" / "balls"
    folder.mkdir()
    for name, radius in (("a", 0.2), ("b", 0.15), ("c", 0.1)):
        write_ball(folder / f"{name}.safetensors", radius)
    settings = {"folder": "balls", "steps": count, "resolution": 32, "seed": 0, "rays": 64}
    made, whole = (
        chain((PACK + "FitAvatars", settings | {"output_folder": name, "decoder": "embedded"}))
        for name in ("parts", "whole")
    )
    client = Client(first.url)
    client.run(OFTEN)
    with pytest.raises((PromptFailed, OSError)):
        client.run(made, Steps(made, count + 20, first.kill, "FitAvatars"))  # in the second head
    assert first.process.returncode not in (0, None) and len(states(first)) == 1
    (head,) = (first.base / "output" / "parts").glob("*.safetensors")
    content, moment = head.read_bytes(), head.stat().st_mtime_ns
    second = start(first.base, arguments=("--cpu",))
    client, again = Client(second.url), Steps(made, node="FitAvatars")
    outcomes = [client.run(made, again), client.run(whole)]
    second.stop()
    assert [outcome.words()["1"] for outcome in outcomes] == [
        f"3 heads, {there} of them were there" for there in (1, 0)
    ]
    assert again.values[0] == count and again.values[1] > count + 20, "the second head did not go on"
    assert states(second) == []
    assert head.read_bytes() == content and head.stat().st_mtime_ns == moment
    heads = [
        [head_tensors(path.read_bytes()) for path in sorted((second.base / "output" / name).iterdir())]
        for name in ("parts", "whole")
    ]
    assert len(heads[0]) == 3 and all(map(same, *heads))


BAD = {
    "no masks": ({}, {"masks": None}, "a mask for each image, got none"),
    "other cameras": ({"count": 2}, {}, r"a camera for each of 3 images, got \[2\]"),
    "cameras inside": ({"radius": 0.2}, {}, "cameras outside the head's box"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_models_sentences_reach_the_user(name, client):
    orbit, fit, words = BAD[name]
    wires = {"images": "@3", "masks": "@3.1", "cameras": "@4", **fit}
    graph = chain(
        (PACK + "LoadHead", {"file": "small.safetensors"}),
        (PACK + "CameraOrbit", ORBIT | {"count": 3}),
        (PACK + "RenderViews", VIEWS | {"head": "@1", "cameras": "@2"}),
        (PACK + "CameraOrbit", ORBIT | {"count": 3} | orbit),
        (PACK + "FitHeadFromViews", FIT | {key: wire for key, wire in wires.items() if wire}),
        (PACK + "SaveHead", {"head": "@5", "filename_prefix": "bad/head"}),
    )
    with pytest.raises(PromptFailed, match=f"fit head: expected .*{words}"):
        client.run(graph)


def test_the_views_shown_are_the_mesh_s_own(client):
    """Render Mesh Views and Turntable agree on what the front is."""
    outcome = client.run(
        chain(
            ("NeighbourSource", {"what": "box"}),
            (PACK + "CameraOrbit", ORBIT | {"size": 32}),
            (
                PACK + "RenderMeshViews",
                {
                    "mesh": "@1",
                    "cameras": "@2",
                    "placement": "as it is",
                    "turn_degrees": 0.0,
                    "background": "#ffffff",
                    "samples": 2,
                },
            ),
            (
                PACK + "Turntable",
                {
                    "mesh": "@1",
                    "frames": 2,
                    "size": 32,
                    "fps": 24.0,
                    "pitch_degrees": 0.0,
                    "background": "#ffffff",
                },
            ),
            ("PreviewImage", {"images": "@3"}),
            ("PreviewImage", {"images": "@4"}),
        )
    )
    first, second = (
        np.array(Image.open(io.BytesIO(client.fetch(outcome.outputs[key]["images"][0]))).convert("L")).astype(
            int
        )
        for key in "56"
    )
    assert np.abs(first - second).max() <= 1 and first.min() < 200
