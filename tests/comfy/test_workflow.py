"""The shipped workflow, and the pack's nodes among core's, through the real server."""

import io
import json
import struct

import pytest
import torch
from PIL import Image
from portrait_diffusion.models.mesh.gltf import from_glb, read_chunks

from .graphs import ALIGN, MESH, ORBIT, PACK, TURNTABLE, VIEWS, chain, number, small, view_of_a_head


def picture(client, entry) -> Image.Image:
    return Image.open(io.BytesIO(client.fetch(entry)))


# --- the shipped graph, small


@pytest.fixture(scope="module")
def done(server):
    """The shipped graph after one run with small settings: client, graph, outcome."""
    from portrait_diffusion.workflows.client import Client

    client, graph = Client(server.url), small("portrait.png")
    return client, graph, client.run(graph, workflow={"version": 0.4, "nodes": [], "links": []})


def outputs(done, name: str, key: str) -> list:
    client, graph, outcome = done
    return outcome.outputs[number(graph, name)][key]


def test_the_glb_is_a_head_that_khronos_accepts(done, gltf_issues):
    (entry,) = outputs(done, "SaveGLB", "3d")
    data = done[0].fetch(entry)
    assert gltf_issues(data) == []
    mesh = from_glb(data)
    assert len(mesh.faces) > 500 and mesh.texture.shape == (3, 128, 128)
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    assert (
        torch.all(high - low > 0.15) and torch.all(high <= 0.51) and torch.all(low >= -0.51)
    )  # scene units: a head in its box
    assert mesh.vertices[:, 1].min() >= -0.34  # shoulders are cut
    attributes = read_chunks(data)[0]["meshes"][0]["primitives"][0]["attributes"]
    assert {"POSITION", "NORMAL", "TEXCOORD_0"} == set(attributes)
    assert mesh.texture.std() > 0.02  # not one colour


def test_glb_header_is_what_the_viewer_wants(done):
    data = done[0].fetch(outputs(done, "SaveGLB", "3d")[0])
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))


def test_every_frame_of_the_video_decodes(done):
    import av

    (entry,) = outputs(done, "SaveVideo", "images")
    with av.open(io.BytesIO(done[0].fetch(entry))) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert video.streams.video[0].average_rate == 24
    assert len(frames) == 6 and {frame.shape for frame in frames} == {(64, 64, 3)}
    assert abs(frames[0].astype(int) - frames[3]).mean() > 1  # it turns


def test_the_sheet_holds_eight_views_over_their_normals(done):
    (entry,) = outputs(done, "SaveImage", "images")
    sheet = picture(done[0], entry)
    assert sheet.size == (8 * 64, 2 * 64)
    kept = {
        key: {name: part for name, part in node.items() if name != "is_changed"}
        for key, node in json.loads(sheet.info["prompt"]).items()
    }
    assert kept == done[1] and "workflow" in sheet.info  # as core's pictures do


def test_nodes_say_what_they_did(done):
    client, graph, outcome = done
    words = outcome.words()
    assert "dB inside the mask" in words[number(graph, "InvertPortrait")]
    assert (
        "faces" in words[number(graph, "HeadToMesh")]
        and "128 pixel texture" in words[number(graph, "HeadToMesh")]
    )


def test_previews_arrive(done):
    sizes = {Image.open(io.BytesIO(data)).size for data in done[2].previews}
    assert len(done[2].previews) >= 4 and {(96, 96), (64, 64)} <= sizes


def test_every_node_took_part(done):
    assert set(done[1]) - set(done[2].seconds) <= {
        "1",
        "2",
    }  # the photo and the prior may be cached from an earlier test


def test_the_saved_head_is_rendered_again(done):
    (entry,) = outputs(done, "SaveHead", "heads")
    file = f"{entry['subfolder']}/{entry['filename']} [output]"
    outcome = done[0].run(view_of_a_head(file, size=64))
    again = picture(done[0], outcome.files("images")[0])
    (sheet,) = outputs(done, "SaveImage", "images")
    before = picture(done[0], sheet).convert("RGB").crop((0, 0, 64, 64))
    difference = torch.tensor(list(again.convert("RGB").getdata()), dtype=torch.float32) - torch.tensor(
        list(before.getdata()), dtype=torch.float32
    )
    assert difference.abs().max() <= 1


def test_a_saved_head_holds_the_graph_that_made_it(done):
    data = done[0].fetch(outputs(done, "SaveHead", "heads")[0])
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert (
        json.loads(header["__metadata__"]["prompt"])["4"]["class_type"] == "PortraitDiffusionInvertPortrait"
    )


def test_nobody_sees_absolute_paths(server, done):
    assert str(server.base) not in json.dumps(done[2].outputs)
    glb = done[0].fetch(outputs(done, "SaveGLB", "3d")[0])
    assert str(server.base).encode() not in glb


# --- other nodes, and core's around them


def test_a_mesh_goes_to_a_file_and_back(client, gltf_issues):
    """MESH -> GLB -> MESH -> core's SaveGLB and our turntable, from a look-alike of another pack, too."""
    for what in ("box", "plain box"):
        outcome = client.run(
            chain(
                ("NeighbourSource", {"what": what}),
                (PACK + "MeshToFile3D", {"mesh": "@1"}),
                (PACK + "File3DToMesh", {"file": "@2"}),
                ("SaveGLB", {"mesh": "@2", "filename_prefix": "box/ours"}),
                ("SaveGLB", {"mesh": "@3", "filename_prefix": "box/core"}),
                (PACK + "Turntable", TURNTABLE | {"mesh": "@3"}),
                ("PreviewImage", {"images": "@6"}),
            )
        )
        ours, core = (client.fetch(outcome.outputs[key]["3d"][0]) for key in "45")
        assert gltf_issues(ours) == []
        for data in (ours, core):
            mesh = from_glb(data, metres_per_unit=1.0)
            assert len(mesh.faces) == 12
            assert torch.allclose(mesh.vertices.amax(0), torch.tensor([0.1, 0.15, 0.1]), atol=1e-6)
        assert len(outcome.outputs["7"]["images"]) == 2


def test_an_uploaded_glb_is_read(server, client):
    outcome = client.run(
        chain(
            ("NeighbourSource", {"what": "box"}),
            (PACK + "MeshToFile3D", {"mesh": "@1"}),
            ("SaveGLB", {"mesh": "@2", "filename_prefix": "box/up"}),
        )
    )
    (server.base / "input" / "3d").mkdir(exist_ok=True)
    (server.base / "input" / "3d" / "box.glb").write_bytes(client.fetch(outcome.outputs["3"]["3d"][0]))
    loaded = chain(
        (
            "Load3DAdvanced",
            {"model_file": "3d/box.glb", "viewport_state": {"camera_info": None}, "width": 64, "height": 64},
        ),
        (PACK + "File3DToMesh", {"file": "@1"}),
        ("SaveGLB", {"mesh": "@2", "filename_prefix": "box/down"}),
    )
    data = client.fetch(client.run(loaded).outputs["3"]["3d"][0])
    assert len(from_glb(data).faces) == 12


def test_core_s_camera_shows_the_same_view_as_our_orbit(client):
    views = VIEWS | {"head": "@1"}
    outcome = client.run(
        chain(
            (PACK + "LoadHead", {"file": "small.safetensors"}),
            (
                "CreateCameraInfo",
                {
                    "mode": "orbit",
                    "mode.yaw": 40.0,
                    "mode.pitch": 20.0,
                    "mode.distance": 4.0,
                    "target_x": 0.0,
                    "target_y": 0.0,
                    "target_z": 0.0,
                    "roll": 0.0,
                    "fov": 35.0,
                    "zoom": 1.0,
                    "camera_type": "perspective",
                },
            ),
            (PACK + "CameraFromLoad3D", {"camera_info": "@2", "size": 32, "portrait_distance": True}),
            (PACK + "CameraOrbit", ORBIT | {"yaw_degrees": 40.0, "pitch_degrees": 20.0}),
            (PACK + "CameraToLoad3D", {"cameras": "@4", "index": 0}),
            (PACK + "CameraFromLoad3D", {"camera_info": "@5", "size": 32, "portrait_distance": False}),
            (PACK + "RenderViews", views | {"cameras": "@3"}),
            (PACK + "RenderViews", views | {"cameras": "@4"}),
            (PACK + "RenderViews", views | {"cameras": "@6"}),
            ("PreviewImage", {"images": "@7"}),
            ("PreviewImage", {"images": "@8"}),
            ("PreviewImage", {"images": "@9"}),
        )
    )
    theirs, ours, back = (
        torch.tensor(
            list(picture(client, outcome.outputs[key]["images"][0]).convert("RGB").getdata()),
            dtype=torch.float32,
        )
        for key in ("10", "11", "12")
    )
    assert (theirs - ours).abs().max() <= 2 and (back - ours).abs().max() <= 2


def test_two_people_in_one_batch_give_two_heads(client):
    """A batch of several people is a list: one crop each (the inversion of each would follow)."""
    outcome = client.run(
        chain(
            ("LoadImage", {"image": "portrait.png"}),
            ("RepeatImageBatch", {"image": "@1", "amount": 2}),
            ("LoadImageMask", {"image": "mask.png", "channel": "red"}),
            (PACK + "AlignPortrait", ALIGN | {"image": "@2", "foreground_mask": "@3"}),
            (PACK + "LoadHeadPrior", {"prior": "embedded"}),
            (
                PACK + "InvertPortrait",
                {
                    "prior": "@5",
                    "aligned": "@4",
                    "preset": "quick",
                    "seed": 0,
                    "latent_steps": 1,
                    "tuning_steps": 0,
                },
            ),
            (PACK + "SaveHead", {"head": "@6", "filename_prefix": "two/head"}),
            ("PreviewImage", {"images": "@4.1"}),
        )
    )
    assert len(outcome.outputs["7"]["heads"]) == 2 and len(outcome.outputs["8"]["images"]) == 2


def test_a_head_at_once_and_its_views_baked_back(client, head_tensors):
    """Feed-forward head, its own views darkened, baked: planes move, everything else of the head stays."""
    outcome = client.run(
        chain(
            ("LoadImage", {"image": "portrait.png"}),
            ("LoadImageMask", {"image": "mask.png", "channel": "red"}),
            (PACK + "AlignPortrait", ALIGN | {"image": "@1", "foreground_mask": "@2"}),
            (PACK + "LoadHeadPrior", {"prior": "embedded"}),
            (PACK + "FeedForwardHead", {"prior": "@4", "aligned": "@3"}),
            (PACK + "CameraOrbit", ORBIT | {"count": 2, "size": 64}),
            (PACK + "RenderViews", VIEWS | {"head": "@5", "cameras": "@6"}),
            ("ImageInvert", {"image": "@7"}),
            (
                PACK + "BakeViews",
                {"head": "@5", "images": "@8", "cameras": "@6", "steps": 3, "seed": 0, "with_photo": True},
            ),
            (PACK + "SaveHead", {"head": "@5", "filename_prefix": "bake/before"}),
            (PACK + "SaveHead", {"head": "@9", "filename_prefix": "bake/after"}),
        )
    )
    assert "dB inside the mask" in outcome.words()["5"]
    before, after = (head_tensors(client.fetch(outcome.outputs[key]["heads"][0])) for key in ("10", "11"))
    assert before.keys() == after.keys()
    moved = [key for key in before if not torch.equal(before[key], after[key])]
    assert moved == ["planes"]


def test_vertex_colours_and_fewer_faces(done, gltf_issues):
    (entry,) = outputs(done, "SaveHead", "heads")
    outcome = done[0].run(
        chain(
            (PACK + "LoadHead", {"file": f"{entry['subfolder']}/{entry['filename']} [output]"}),
            (PACK + "HeadToMesh", MESH | {"head": "@1", "resolution": 48, "target_faces": 1000}),
            ("SaveGLB", {"mesh": "@2.1", "filename_prefix": "light/head"}),
            ("PreviewImage", {"images": "@2.2"}),
        )
    )
    data = done[0].fetch(outcome.outputs["3"]["3d"][0])
    mesh = from_glb(data)
    assert (
        gltf_issues(data) == []
        and mesh.texture is None
        and mesh.vertex_colors is not None
        and 100 < len(mesh.faces) <= 1000
    )


def test_the_doctor_speaks(client):
    text = client.run(chain((PACK + "Doctor", {}))).words()["1"]
    for word in (
        "python",
        "torch",
        "weights: prior.safetensors",
        "weights: encoder.safetensors",
        "weights: alignment.safetensors",
        "ComfyUI works on",
    ):
        assert word in text
    assert "missing" not in text
