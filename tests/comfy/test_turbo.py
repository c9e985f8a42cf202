"""The refiner's nodes and workflow through the real server: any views, any reference, windows that can be interrupted, a head baked."""

import io
import json

import pytest
import torch
from PIL import Image
from portrait_diffusion.models import checkpoint
from portrait_diffusion.models.mesh.gltf import from_glb
from portrait_diffusion.workflows.client import PromptFailed
from safetensors.torch import save_file

from .graphs import ORBIT, PACK, REFINE, ROOT, VIEWS, chain
from .messages import refused

SHIPPED = ROOT / "workflows" / "api" / "turbo_portrait.json"
SMALL = {
    "A whole turn": {"count": 5, "yaw_step_degrees": 72.0, "size": 64},
    "Render the turn": {"samples": 12},
    "Refine the turn": {"window": 3, "overlap": 1},
    "Views to bake": {"count": 2, "yaw_degrees": -30.0, "yaw_step_degrees": 60.0, "size": 64},
    "Render them": {"samples": 12},
    "Bake Views into Head": {"steps": 3},
    "Head to Mesh": {"resolution": 64, "texture_size": 128},
}


def pixels(client, entry) -> torch.Tensor:
    picture = Image.open(io.BytesIO(client.fetch(entry))).convert("RGB")
    return torch.tensor(list(picture.getdata()), dtype=torch.float32)


def small() -> tuple[dict, dict[str, str]]:
    """The shipped graph with small settings, and its nodes by title."""
    graph = json.loads(SHIPPED.read_text(encoding="utf-8"))
    named = {node["_meta"]["title"]: key for key, node in graph.items()}
    for title, values in SMALL.items():
        graph[named[title]]["inputs"] |= values
    return graph, named


def refined(images, reference=("LoadImage", {"image": "portrait.png"}), refiner="embedded", **inputs) -> dict:
    """Pictures beside the portrait, refined and previewed."""
    return chain(
        images,
        reference,
        (
            PACK + "LoadTurboRefiner",
            {"refiner": refiner} | {key: inputs.pop(key) for key in ("model", "vae") if key in inputs},
        ),
        (PACK + "RefineViews", REFINE | {"turbo": "@3", "images": "@1", "reference": "@2"} | inputs),
        ("PreviewImage", {"images": "@4"}),
    )


def grey(count: int, width: int = 64, height: int = 64) -> tuple[str, dict]:
    return "EmptyImage", {"width": width, "height": height, "batch_size": count, "color": 0x808080}


def source(what: str) -> tuple[str, dict]:
    return "NeighbourSource", {"what": what}


@pytest.fixture(scope="module")
def done(server):
    from portrait_diffusion.workflows.client import Client

    client, (graph, named) = Client(server.url), small()
    return client, named, client.run(graph)


def test_the_refined_turn_is_a_video_of_all_its_frames(done):
    import av

    client, named, outcome = done
    (entry,) = outcome.outputs[named["Save video"]]["images"]
    with av.open(io.BytesIO(client.fetch(entry))) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(frames) == 5 and {frame.shape for frame in frames} == {(64, 64, 3)}


def test_before_and_after_differ_but_show_one_head(done):
    client, named, outcome = done
    shown = outcome.outputs[named["Before and after"]]
    before, after = (pixels(client, shown[key][0]) for key in ("a_images", "b_images"))
    assert before.shape == after.shape and 0.2 < (before - after).abs().mean() < 40


def test_the_baked_head_becomes_a_model(done, gltf_issues):
    client, named, outcome = done
    data = client.fetch(outcome.outputs[named["Save 3D model"]]["3d"][0])
    assert gltf_issues(data) == [] and len(from_glb(data).faces) > 500


@pytest.mark.parametrize(("count", "width", "height"), [(1, 64, 64), (4, 72, 40)])
def test_any_views_come_back_as_many_and_as_large(client, count, width, height):
    entries = client.run(refined(grey(count, width, height))).outputs["5"]["images"]
    assert len(entries) == count
    assert {Image.open(io.BytesIO(client.fetch(entry))).size for entry in entries} == {(width, height)}


def test_the_seed_decides(client):
    shown = [client.run(refined(grey(2), r=0.5, seed=seed)).outputs["5"]["images"][0] for seed in (1, 1, 2)]
    one, same, other = (pixels(client, entry) for entry in shown)
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_an_interrupt_stops_between_windows(client):
    stopped = []

    def stop(event) -> None:
        if event.node == "4" and event.maximum and not stopped:
            stopped.append(event.value)
            client.interrupt()

    with pytest.raises(PromptFailed) as caught:
        client.run(refined(grey(40, 128, 128), seed=7, window=2, overlap=0), stop)
    assert caught.value.interrupted and stopped[0] < 40


def test_a_table_of_figures(client):
    outcome = client.run(
        chain(
            (PACK + "LoadHead", {"file": "small.safetensors"}),
            (PACK + "CameraOrbit", ORBIT | {"count": 3, "size": 64}),
            (PACK + "RenderViews", VIEWS | {"head": "@1", "cameras": "@2"}),
            ("ImageBlur", {"image": "@3", "blur_radius": 2, "sigma": 1.0}),
            (
                PACK + "EvaluateViews",
                {
                    "images": "@4",
                    "references": "@3",
                    "masks": "@9",
                    "reference_masks": "@9",
                    "clip_vision": "@8",
                },
            ),
            ("PreviewImage", {"images": "@5.1"}),
            ("PreviewImage", {"images": "@5.2"}),
            source("clip vision"),
            ("SolidMask", {"value": 1.0, "width": 64, "height": 64}),
        )
    )
    table = outcome.words()["5"]
    for metric in (
        "L2",
        "PSNR",
        "SSIM",
        "silhouette IoU: 1",
        "perceptual",
        "identity",
        "CLIP: ",
        "kernel distance",
        "change along the sequence",
    ):
        assert metric in table
    sizes = [Image.open(io.BytesIO(client.fetch(outcome.outputs[key]["images"][0]))).size for key in "67"]
    assert sizes == [(3 * 256, 3 * 256), (3, 512)]


# --- bad input


def judge(images, references) -> dict:
    return chain(images, references, (PACK + "EvaluateViews", {"images": "@1", "references": "@2"}))


# what -> (graph, what the message must hold)
BAD = {
    "views of NaN": (refined(source("nan image")), ["finite", "NaN", "check"]),
    "no views": (refined(source("empty image")), ["at least one pixel", "[0, 64, 64, 3]", "wire"]),
    "reference of NaN": (refined(grey(1), source("nan image")), ["finite", "NaN", "check"]),
    "r above 1": (refined(grey(1), r=1.5), ["r", "1.5", "1.0"]),
    "window of 0 views": (refined(grey(1), window=0), ["window", "1"]),
    "model without vae": (refined(source("box"), model="@1"), ["model and vae together", "wire both"]),
    "refiner of another base": (
        refined(grey(1), refiner="turbo-other.safetensors"),
        ["turbo-other.safetensors", "base"],
    ),
    "refiner of another kind": (
        refined(grey(1), refiner="turbo-kind.safetensors"),
        ["turbo-kind.safetensors"],
    ),
    "refiner that is not there": (
        refined(grey(1), refiner="turbo-absent.safetensors"),
        ["turbo-absent.safetensors"],
    ),
    "other references than images": (judge(grey(2), grey(3)), ["a reference for each of 2 images", "got 3"]),
    "references of another aspect": (
        judge(grey(1), ("EmptyImage", {"width": 64, "height": 32, "batch_size": 1, "color": 0})),
        ["one aspect", "crop"],
    ),
}


@pytest.fixture(scope="module")
def bad_files(server) -> None:
    models = server.base / "models" / "portrait_diffusion"
    models.mkdir(parents=True, exist_ok=True)
    (models / "turbo-kind.safetensors").write_bytes(checkpoint.shipped("encoder").read_bytes())
    turbo, words = checkpoint.read_tensors(checkpoint.shipped("turbo"), "turbo")
    bases = {
        name: [layout, [value + 1 for value in samples]]
        for name, (layout, samples) in json.loads(words["bases"]).items()
    }
    save_file(turbo, models / "turbo-other.safetensors", {**words, "bases": json.dumps(bases)})


@pytest.mark.parametrize("name", BAD)
def test_one_sentence(name, client, bad_files):
    refused(client, *BAD[name])
