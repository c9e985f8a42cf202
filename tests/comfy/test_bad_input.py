"""Bad input through the real server: one sentence that says what was expected, what came and what to do; then a good prompt works."""

import json
import struct
from pathlib import Path

import pytest
import torch
from portrait_diffusion.models import checkpoint
from safetensors.torch import load_file, save_file

from .graphs import (
    ALIGN,
    MESH,
    ORBIT,
    PACK,
    TURNTABLE,
    VIEWS,
    by_hand,
    chain,
    number,
    only,
    small,
    view_of_a_head,
)
from .messages import refused

SMALL_HEAD = "small.safetensors"


def align(image=("LoadImage", {"image": "portrait.png"}), *, more=(), **inputs) -> dict:
    """An image, other sources (nodes 2, 3, ...), the aligner after them."""
    nodes = [image, *more, (PACK + "AlignPortrait", ALIGN | {"image": "@1"} | inputs)]
    return chain(*nodes, ("PreviewImage", {"images": f"@{len(nodes)}.1"}))


def source(what: str) -> tuple[str, dict]:
    return "NeighbourSource", {"what": what}


def solid(size: int, value: float = 1.0) -> tuple[str, dict]:
    return "SolidMask", {"value": value, "width": size, "height": size}


def views(**inputs) -> dict:
    """The small head, with changed widgets of the renderer."""
    graph = view_of_a_head(SMALL_HEAD)
    graph["3"]["inputs"] |= inputs
    return graph


def spin(mesh: str, **inputs) -> dict:
    return chain(
        source(mesh),
        (PACK + "Turntable", TURNTABLE | {"mesh": "@1"} | inputs),
        ("PreviewImage", {"images": "@2"}),
    )


def surface(**inputs) -> dict:
    nodes = (PACK + "LoadHead", {"file": SMALL_HEAD}), (PACK + "HeadToMesh", MESH | {"head": "@1"} | inputs)
    return chain(*nodes, ("SaveGLB", {"mesh": "@2.1", "filename_prefix": "bad/mesh"}))


def viewer_camera(camera: tuple[str, dict]) -> dict:
    return chain(
        camera,
        (PACK + "CameraFromLoad3D", {"camera_info": "@1", "size": 32, "portrait_distance": True}),
        (PACK + "LoadHead", {"file": SMALL_HEAD}),
        (PACK + "RenderViews", VIEWS | {"head": "@3", "cameras": "@2"}),
        ("PreviewImage", {"images": "@4"}),
    )


def prior(file: str) -> dict:
    graph = only(by_hand(small("portrait.png"), "mask.png"), "SaveHead")
    graph[number(graph, "LoadHeadPrior")]["inputs"]["prior"] = file
    return graph


def glb(file: str) -> dict:
    return chain(
        (
            "Load3DAdvanced",
            {"model_file": file, "viewport_state": {"camera_info": None}, "width": 64, "height": 64},
        ),
        (PACK + "File3DToMesh", {"file": "@1"}),
        ("SaveGLB", {"mesh": "@2", "filename_prefix": "bad/back"}),
    )


def save(prefix: str) -> dict:
    return chain(
        (PACK + "LoadHead", {"file": SMALL_HEAD}),
        (PACK + "SaveHead", {"head": "@1", "filename_prefix": prefix}),
    )


def last_camera(index: int) -> dict:
    return chain(
        (PACK + "CameraOrbit", ORBIT | {"count": 3}),
        (PACK + "CameraToLoad3D", {"cameras": "@1", "index": index}),
        (PACK + "LoadHead", {"file": SMALL_HEAD}),
        (PACK + "CameraFromLoad3D", {"camera_info": "@2", "size": 32, "portrait_distance": True}),
        (PACK + "RenderViews", VIEWS | {"head": "@3", "cameras": "@4"}),
        ("PreviewImage", {"images": "@5"}),
    )


def grey(count: int, size: int = 64) -> tuple[str, dict]:
    return "EmptyImage", {"width": size, "height": size, "batch_size": count, "color": 0x808080}


def bake(count: int, cameras: int) -> dict:
    return chain(
        (PACK + "LoadHead", {"file": SMALL_HEAD}),
        grey(count),
        (PACK + "CameraOrbit", ORBIT | {"count": cameras}),
        (
            PACK + "BakeViews",
            {"head": "@1", "images": "@2", "cameras": "@3", "steps": 1, "seed": 0, "with_photo": False},
        ),
        (PACK + "SaveHead", {"head": "@4", "filename_prefix": "bad/baked"}),
    )


# what -> (graph, what the message must hold)
ROWS = {
    # pictures
    "no face in the picture": (
        align(("LoadImage", {"image": "black.png"}), crop="automatic"),
        ["expected a photo with a visible face", "found none", "crop"],
    ),
    "a picture of noise": (
        align(("LoadImage", {"image": "noise.png"}), crop="automatic"),
        ["expected a photo with a visible face", "found none", "crop"],
    ),
    "1x1 picture": (
        align(("EmptyImage", {"width": 1, "height": 1, "batch_size": 1, "color": 0}), crop="automatic"),
        ["at least 32x32", "1x1", "larger"],
    ),
    "NaN picture": (align(source("nan image")), ["finite", "NaN", "check"]),
    "empty batch of pictures": (
        align(source("empty image")),
        ["at least one pixel", "[0, 64, 64, 3]", "wire"],
    ),
    "two pictures with three masks": (
        align(
            ("EmptyImage", {"width": 64, "height": 64, "batch_size": 2, "color": 0}),
            foreground_mask="@4",
            more=[
                solid(64),
                ("MaskToImage", {"mask": "@2"}),
                ("ImageToMask", {"image": "@5", "channel": "red"}),
                ("RepeatImageBatch", {"image": "@3", "amount": 3}),
            ],
        ),
        ["one mask, or one per photo (2)", "[3, 64, 64]"],
    ),
    "next to empty mask": (  # zeros alone mean none
        align(more=[solid(64, 0.001)], foreground_mask="@2"),
        ["expected a person", "0.1%", "must be 1 in the mask"],
    ),
    "NaN mask": (align(more=[source("nan mask")], foreground_mask="@2"), ["finite", "NaN", "check"]),
    "landmarks of no face": (
        align(crop="automatic", more=[source("no face")], face_landmarks="@2"),
        ["expected a face", "photo 0", "unwire"],
    ),
    "landmarks of other pictures": (
        align(crop="automatic", more=[source("two frames")], face_landmarks="@2"),
        ["those of 1 photos", "got 2", "same image"],
    ),
    "landmarks of another model": (
        align(crop="automatic", more=[source("strange face")], face_landmarks="@2"),
        ["[478, 2]", "[1, 2]", "again"],
    ),
    "crop of size 0": (align(crop_size=0.0), ["0.02", "crop_size"]),
    "aligned size 0": (align(size=0), ["64", "size"]),
    # weights
    "truncated weights": (prior("truncated.safetensors"), ["expected safetensors", "truncated", "copy"]),
    "empty weights": (prior("zero.safetensors"), ["expected safetensors", "empty", "copy"]),
    "pickled weights": (prior("pickle.safetensors"), ["expected safetensors", "pickle", "convert"]),
    "weights with wrong keys": (prior("keys.safetensors"), ["expected the", "missing", "choose"]),
    "weights of wrong shapes": (prior("shapes.safetensors"), ["expected the", "another shape", "choose"]),
    "weights with NaN": (prior("nan.safetensors"), ["expected the", "not finite", "choose"]),
    "weights of another kind": (prior("kind.safetensors"), ["kind.safetensors"]),  # is not even listed
    "weights that are not there": (prior("absent.safetensors"), ["absent.safetensors"]),
    # heads
    "head file with NaN": (view_of_a_head("nan-head.safetensors"), ["finite", "NaN", "save the head again"]),
    "head file of the future": (
        view_of_a_head("future-head.safetensors"),
        ["version up to 3", "version 99", "update"],
    ),
    "head file cut off": (
        view_of_a_head("cut-head.safetensors"),
        ["expected safetensors", "truncated", "copy"],
    ),
    "head file of something else": (
        view_of_a_head("no-head.safetensors"),
        ["expected a head", "something else"],
    ),
    "head file that is not there": (
        view_of_a_head("absent.safetensors"),
        ["expected a head", "absent.safetensors", "save"],
    ),
    "head file outside": (view_of_a_head("../../secret.safetensors"), ["file"]),
    # cameras and sizes
    "camera in the box": (
        view_of_a_head(SMALL_HEAD, radius=0.3),
        ["outside the head's box", "larger radius"],
    ),
    "camera of size 0": (view_of_a_head(SMALL_HEAD, size=0), ["size", "16"]),
    "no camera": (view_of_a_head(SMALL_HEAD, count=0), ["count", "1"]),
    "camera index out of range": (last_camera(3), ["0 to 2", "got 3", "smaller"]),
    "viewer's camera on its target": (
        viewer_camera(source("camera on its target")),
        ["apart", "same point", "move"],
    ),
    "viewer's camera without position": (
        viewer_camera(source("camera without position")),
        ["position and target", "Create Camera Info"],
    ),
    "no colour": (views(background="paint it"), ["colour such as #ffffff", "paint it"]),
    "samples 0": (views(samples=0), ["samples", "4"]),
    # meshes
    "mesh resolution 0": (surface(resolution=0), ["resolution", "32"]),
    "texture of size 0": (surface(texture_size=0), ["texture_size", "64"]),
    "no surface at this density": (surface(surface_density=900_000.0), ["no surface", "900000", "lower"]),
    "mesh without faces": (spin("empty mesh"), ["vertices and faces", "empty", "wire"]),
    "mesh with wild indices": (spin("wild mesh"), ["indices from 0 to 7", "got up to 107"]),
    "mesh of NaN": (spin("nan mesh"), ["finite", "NaN"]),
    "turntable of size 0": (spin("box", size=0), ["size", "32"]),
    "turntable of no frames": (spin("box", frames=0), ["frames", "2"]),
    "broken GLB": (glb("3d/broken.glb"), ["expected a GLB", "start"]),
    "cut off GLB": (glb("3d/cut.glb"), ["GLB", "cut off"]),
    "an OBJ": (glb("3d/model.obj"), ["expected a GLB", "obj", "export"]),
    # baking
    "more views than cameras": (bake(3, 2), ["square views", "3, 3, 64, 64", "[2] cameras", "wire"]),
    # names
    "prefix that climbs out": (save("../../escape"), ["inside the output folder", "../../escape", "remove"]),
    "absolute prefix": (save("/tmp/escape"), ["inside the output folder", "/tmp/escape", "remove"]),
    "empty prefix": (save(" "), ["inside the output folder"]),
}


@pytest.fixture(scope="module", autouse=True)
def bad_files(server) -> None:
    """Weights, heads and models that are not what they should be."""
    models, inputs = server.base / "models" / "portrait_diffusion", server.base / "input"
    models.mkdir(parents=True, exist_ok=True)
    good, (state, facts) = (
        checkpoint.shipped("prior"),
        checkpoint.read_tensors(checkpoint.shipped("prior"), "prior"),
    )
    first = next(iter(state))
    (models / "truncated.safetensors").write_bytes(good.read_bytes()[:5000])
    (models / "zero.safetensors").write_bytes(b"")
    torch.save(state, models / "pickle.safetensors")
    save_file({f"other.{key}": value for key, value in state.items()}, models / "keys.safetensors", facts)
    save_file({**state, first: torch.zeros(3, 3)}, models / "shapes.safetensors", facts)
    save_file(
        {**state, first: torch.full_like(state[first], float("nan"))}, models / "nan.safetensors", facts
    )
    (models / "kind.safetensors").write_bytes(checkpoint.shipped("encoder").read_bytes())
    head = inputs / SMALL_HEAD
    tensors, words = load_file(head), checkpoint.read_tensors(head, "head")[1]
    save_file({**tensors, "planes": tensors["planes"] * float("nan")}, inputs / "nan-head.safetensors", words)
    save_file(tensors, inputs / "future-head.safetensors", {**words, "format_version": "99"})
    (inputs / "cut-head.safetensors").write_bytes(head.read_bytes()[:3000])
    save_file({"a": torch.zeros(1)}, inputs / "no-head.safetensors")
    (server.base.parent / "secret.safetensors").write_bytes(head.read_bytes())
    (inputs / "3d").mkdir(exist_ok=True)
    (inputs / "3d" / "broken.glb").write_bytes(b"this is not a GLB at all, but long enough for one")
    body = json.dumps({"asset": {"version": "2.0"}}).encode().ljust(400)
    (inputs / "3d" / "cut.glb").write_bytes(
        struct.pack("<4sIIII", b"glTF", 2, 20 + len(body), len(body), 0x4E4F534A) + body[:100]
    )
    (inputs / "3d" / "model.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")


@pytest.mark.parametrize("name", ROWS)
def test_one_sentence(name, client, record_property):
    failed = refused(client, *ROWS[name])
    message = str(failed)
    record_property("message", message)
    print(f"| {name} | {message} |")
    assert "Error(" not in message.replace("SafetensorError", "")
    assert not failed.interrupted


def test_nothing_was_written_outside(server):
    assert not (server.base.parent / "escape_00001_.safetensors").exists() and not list(
        Path("/tmp").glob("escape_*.safetensors")
    )


def test_after_all_that_a_good_prompt_works(client):
    outcome = client.run(view_of_a_head(SMALL_HEAD, yaw_degrees=30.0))
    assert len(outcome.files("images")) == 1 and outcome.previews


def test_names_of_any_language_work(server, client):
    photo = client.upload(server.base / "input" / "portrait.png", "портрет 肖像 ü.png")
    assert photo == "портрет 肖像 ü.png"
    client.run(align(("LoadImage", {"image": photo}), more=[solid(512)], foreground_mask="@2"))
    (entry,) = client.run(save("köpfe/голова 頭")).files("heads")
    assert entry == {"filename": "голова 頭_00001_.safetensors", "subfolder": "köpfe", "type": "output"}
    file = f"{entry['subfolder']}/{entry['filename']} [output]"
    assert (
        file
        in client.get(f"/object_info/{PACK}LoadHead")[f"{PACK}LoadHead"]["input"]["required"]["file"][1][
            "options"
        ]
    )
    assert len(client.run(view_of_a_head(file)).files("images")) == 1
