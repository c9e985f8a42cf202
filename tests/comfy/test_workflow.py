"""The shipped workflow through the real server, and what the pack shows of itself there."""

import io
import json
import struct
import urllib.parse
import urllib.request

import pytest
import torch
from PIL import Image

from portrait_diffusion.models.mesh.gltf import from_glb, read_chunks

from .graphs import ALIGN, MESH, ORBIT, PACK, ROOT, SHIPPED, TURNTABLE, VIEWS, chain, number, small, view_of_a_head

FOLDER = "portrait-diffusion"
TEMPLATES = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))

# Frozen: graphs that people saved hold their widget values in this order. New inputs go to the end, and are optional.
INPUTS = {
    "PortraitDiffusionLoadHeadPrior": ["prior"],
    "PortraitDiffusionAlignPortrait": [
        "image",
        "size",
        "crop",
        "crop_x",
        "crop_y",
        "crop_size",
        "yaw_degrees",
        "pitch_degrees",
        "foreground_mask",
        "face_landmarks",
    ],
    "PortraitDiffusionInvertPortrait": ["prior", "aligned", "preset", "seed", "latent_steps", "tuning_steps"],
    "PortraitDiffusionFeedForwardHead": ["prior", "aligned"],
    "PortraitDiffusionBakeViews": ["head", "images", "cameras", "steps", "seed", "with_photo"],
    "PortraitDiffusionCameraOrbit": ["count", "yaw_degrees", "yaw_step_degrees", "pitch_degrees", "size", "radius", "focal"],
    "PortraitDiffusionCameraFromLoad3D": ["camera_info", "size", "portrait_distance"],
    "PortraitDiffusionCameraToLoad3D": ["cameras", "index"],
    "PortraitDiffusionRenderViews": ["head", "cameras", "background", "samples", "memory_mb"],
    "PortraitDiffusionHeadToMesh": ["head", "resolution", "colours", "texture_size", "target_faces", "surface_density"],
    "PortraitDiffusionMeshToFile3D": ["mesh"],
    "PortraitDiffusionFile3DToMesh": ["file"],
    "PortraitDiffusionTurntable": ["mesh", "frames", "size", "fps", "pitch_degrees", "background"],
    "PortraitDiffusionSaveHead": ["head", "filename_prefix"],
    "PortraitDiffusionLoadHead": ["file"],
    "PortraitDiffusionDoctor": [],
}
OUTPUTS = {
    "PortraitDiffusionLoadHeadPrior": ["PORTRAIT_PRIOR"],
    "PortraitDiffusionAlignPortrait": ["PORTRAIT_ALIGNED", "IMAGE", "MASK"],
    "PortraitDiffusionInvertPortrait": ["PORTRAIT_HEAD"],
    "PortraitDiffusionFeedForwardHead": ["PORTRAIT_HEAD"],
    "PortraitDiffusionBakeViews": ["PORTRAIT_HEAD"],
    "PortraitDiffusionCameraOrbit": ["PORTRAIT_CAMERAS"],
    "PortraitDiffusionCameraFromLoad3D": ["PORTRAIT_CAMERAS"],
    "PortraitDiffusionCameraToLoad3D": ["LOAD3D_CAMERA"],
    "PortraitDiffusionRenderViews": ["IMAGE", "MASK", "IMAGE", "IMAGE", "IMAGE"],
    "PortraitDiffusionHeadToMesh": ["MESH", "FILE_3D_GLB", "IMAGE"],
    "PortraitDiffusionMeshToFile3D": ["FILE_3D_GLB"],
    "PortraitDiffusionFile3DToMesh": ["MESH"],
    "PortraitDiffusionTurntable": ["IMAGE", "VIDEO"],
    "PortraitDiffusionSaveHead": [],
    "PortraitDiffusionLoadHead": ["PORTRAIT_HEAD"],
    "PortraitDiffusionDoctor": ["STRING"],
}
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR", "COMFY_DYNAMICCOMBO_V3")


def inputs_of(node: dict) -> dict[str, tuple]:
    """Input name -> (type, options), required first, as core lists them."""
    return {
        name: (spec[0], spec[1] if len(spec) > 1 else {})
        for part in ("required", "optional")
        for name, spec in node["input"].get(part, {}).items()
    }


def is_widget(kind, options: dict) -> bool:
    return (isinstance(kind, list) or kind in WIDGETS) and not options.get("forceInput")


def picture(client, entry) -> Image.Image:
    return Image.open(io.BytesIO(client.fetch(entry)))


def served(client, path: str) -> bytes:
    with urllib.request.urlopen(client.url + urllib.parse.quote(path), timeout=60) as answer:
        return answer.read()


@pytest.fixture(scope="module")
def info(server) -> dict:
    with urllib.request.urlopen(server.url + "/object_info", timeout=60) as answer:
        return json.load(answer)


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
    assert torch.all(high - low > 0.15) and torch.all(high <= 0.51) and torch.all(low >= -0.51)  # scene units: a head in its box
    assert mesh.vertices[:, 1].min() >= -0.34  # shoulders are cut
    attributes = read_chunks(data)[0]["meshes"][0]["primitives"][0]["attributes"]
    assert {"POSITION", "NORMAL", "TEXCOORD_0"} == set(attributes)
    assert mesh.texture.std() > 0.02  # not one colour


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
        key: {name: part for name, part in node.items() if name != "is_changed"} for key, node in json.loads(sheet.info["prompt"]).items()
    }
    assert kept == done[1] and "workflow" in sheet.info  # as core's pictures do


def test_nodes_say_what_they_did(done):
    client, graph, outcome = done
    words = outcome.words()
    assert "dB inside the mask" in words[number(graph, "InvertPortrait")]
    assert "faces" in words[number(graph, "HeadToMesh")] and "128 pixel texture" in words[number(graph, "HeadToMesh")]


def test_previews_arrive(done):
    sizes = {Image.open(io.BytesIO(data)).size for data in done[2].previews}
    assert len(done[2].previews) >= 4 and {(96, 96), (64, 64)} <= sizes


def test_every_node_took_part(done):
    assert set(done[1]) - set(done[2].seconds) <= {"1", "2"}  # the photo and the prior may be cached from an earlier test


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
    assert json.loads(header["__metadata__"]["prompt"])["4"]["class_type"] == "PortraitDiffusionInvertPortrait"


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
        ("Load3DAdvanced", {"model_file": "3d/box.glb", "viewport_state": {"camera_info": None}, "width": 64, "height": 64}),
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
        torch.tensor(list(picture(client, outcome.outputs[key]["images"][0]).convert("RGB").getdata()), dtype=torch.float32)
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
            (PACK + "InvertPortrait", {"prior": "@5", "aligned": "@4", "preset": "quick", "seed": 0, "latent_steps": 1, "tuning_steps": 0}),
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
            (PACK + "BakeViews", {"head": "@5", "images": "@8", "cameras": "@6", "steps": 3, "seed": 0, "with_photo": True}),
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
    assert gltf_issues(data) == [] and mesh.texture is None and mesh.vertex_colors is not None and 100 < len(mesh.faces) <= 1000


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


# --- what the frontend gets


def test_the_order_of_inputs_is_frozen(info):
    ours = {name: list(inputs_of(node)) for name, node in info.items() if name.startswith(PACK)}
    assert ours == INPUTS


def test_the_order_of_outputs_is_frozen(info):
    assert {name: info[name]["output"] for name in OUTPUTS} == OUTPUTS


@pytest.mark.parametrize("name", INPUTS)
def test_every_node_explains_itself(name, info):
    node = info[name]
    assert node["display_name"] and node["display_name"] != name
    assert node["category"] == "portrait diffusion"
    assert len(node["description"]) > 30 and node["search_aliases"]
    assert not node.get("deprecated") and not node.get("experimental")
    for input_name, (kind, options) in inputs_of(node).items():
        assert len(options.get("tooltip") or "") > 5, f"{name}.{input_name} has no tooltip"
        if kind in ("INT", "FLOAT"):
            assert {"min", "max", "default"} <= set(options) and options["min"] <= options["default"] <= options["max"], input_name
    assert len([options for _, options in inputs_of(node).values() if not options.get("advanced")]) <= 6


@pytest.mark.parametrize("name", INPUTS)
def test_every_node_has_a_help_page(name, client):
    page = served(client, f"/extensions/{FOLDER}/docs/{name}.md").decode()
    assert len(page) > 200 and page.startswith("#")
    for input_name in INPUTS[name]:
        assert input_name in page, f"{name}.md does not mention {input_name}"


def test_the_workflow_is_among_the_templates(client):
    assert "portrait_to_3d" in TEMPLATES
    assert sorted(client.get("/workflow_templates")[FOLDER]) == TEMPLATES
    for name in TEMPLATES:
        assert json.loads(served(client, f"/api/workflow_templates/{FOLDER}/{name}.json"))["nodes"]
        thumbnail = Image.open(io.BytesIO(served(client, f"/api/workflow_templates/{FOLDER}/{name}.jpg")))
        assert thumbnail.format == "JPEG" and min(thumbnail.size) >= 128


# --- values in the shipped files


def fault(value, kind, options: dict) -> str:
    """Why a widget value is not valid, or nothing."""
    choices = kind if isinstance(kind, list) else options.get("options")
    if choices is not None and kind != "COMFY_DYNAMICCOMBO_V3":
        return "" if value in choices or options.get("image_upload") else f"{value!r} is none of {choices}"
    if kind == "COMFY_DYNAMICCOMBO_V3":
        return "" if value in [choice["key"] for choice in choices] else f"{value!r} is none of its choices"
    if kind in ("INT", "FLOAT"):
        right = type(value) is int if kind == "INT" else isinstance(value, int | float) and not isinstance(value, bool)
        return "" if right and options.get("min", value) <= value <= options.get("max", value) else f"{value!r} is out of range"
    return "" if isinstance(value, bool if kind == "BOOLEAN" else str) else f"{value!r} is no {kind}"


@pytest.mark.parametrize("path", sorted((ROOT / "workflows" / "api").glob("*.json")), ids=lambda path: path.stem)
def test_every_value_of_an_api_graph_is_valid(path, info):
    graph = json.loads(path.read_text(encoding="utf-8"))
    for key, node in graph.items():
        known = inputs_of(info[node["class_type"]])
        assert node["_meta"]["title"]
        required = [name for name in info[node["class_type"]]["input"].get("required", {}) if name not in node["inputs"]]
        assert required == [], f"node {key} lacks {required}"
        for name, value in node["inputs"].items():
            if "." in name:
                continue  # below a dynamic combo
            if name not in known and value == "" and not node["class_type"].startswith(PACK):
                continue  # what a viewer of the frontend keeps for itself
            kind, options = known[name]
            if options.get("socketless"):
                continue  # likewise
            if isinstance(value, list):
                assert value[0] in graph
                produced = info[graph[value[0]]["class_type"]]["output"][value[1]]
                assert produced in kind.split(",") or kind == "*", f"{key}.{name} gets {produced}"
            else:
                assert fault(value, kind, options) == "", f"{key}.{name}"


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_value_of_a_template_is_valid(name, info):
    """Widget values lie in the order of the node's widgets; a seed has its control after it, an upload its button."""
    workflow = json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    links = {link[0]: link for link in workflow["links"]}
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for node in workflow["nodes"]:
        if node["type"] in ("Note", "MarkdownNote", "Reroute", "PrimitiveNode"):
            continue
        known = inputs_of(info[node["type"]])
        values = list(node.get("widgets_values") or [])
        for input_name, (kind, options) in known.items():
            if not is_widget(kind, options) or not values:
                continue
            assert fault(values.pop(0), kind, options) == "", f"{node['type']}.{input_name}"
            if options.get("control_after_generate"):
                assert values.pop(0) in ("fixed", "increment", "decrement", "randomize")
        assert all(value in ("image", None, "") for value in values) or node["type"] == "SaveVideo", (
            f"{node['type']} has values left: {values}"
        )
        for slot in node.get("inputs", []):
            if slot.get("link") is not None:
                _, source, output, target, _, kind = links[slot["link"]]
                assert target == node["id"] and info[nodes[source]["type"]]["output"][output] == kind
    assert {node["type"] for node in workflow["nodes"]} >= {node["class_type"] for node in json.loads(SHIPPED.read_text()).values()} - {
        "SaveGLB"
    }


def test_glb_header_is_what_the_viewer_wants(done):
    data = done[0].fetch(outputs(done, "SaveGLB", "3d")[0])
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
