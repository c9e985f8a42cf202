"""What ComfyUI and its frontend get of the pack: inputs, outputs, help, templates, and values that fit in every shipped file."""

import io
import json
import urllib.parse
import urllib.request

import pytest
from PIL import Image

from .graphs import PACK, ROOT

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
        "face",
    ],
    "PortraitDiffusionInvertPortrait": [
        "prior",
        "aligned",
        "preset",
        "seed",
        "latent_steps",
        "tuning_steps",
        "start",
    ],
    "PortraitDiffusionFeedForwardHead": ["prior", "aligned"],
    "PortraitDiffusionFitHeadFromViews": [
        "images",
        "cameras",
        "steps",
        "resolution",
        "seed",
        "background",
        "colour",
        "masks",
        "rays",
        "start",
        "decoder",
    ],
    "PortraitDiffusionFitAvatars": [
        "folder",
        "output_folder",
        "steps",
        "resolution",
        "seed",
        "rays",
        "decoder",
    ],
    "PortraitDiffusionPortraitsToViews": ["aligned"],
    "PortraitDiffusionLoadAvatarModel": ["decoder", "base", "upsampler"],
    "PortraitDiffusionGenerateAvatar": ["avatar", "seed", "steps", "guidance", "aligned"],
    "PortraitDiffusionLoadTurboRefiner": ["refiner", "model", "vae", "prompt"],
    "PortraitDiffusionRefineViews": [
        "turbo",
        "images",
        "reference",
        "r",
        "seed",
        "window",
        "overlap",
        "loop",
        "steady",
    ],
    "PortraitDiffusionEvaluateViews": ["images", "references", "masks", "reference_masks", "clip_vision"],
    "PortraitDiffusionBakeViews": ["head", "images", "cameras", "steps", "seed", "with_photo"],
    "PortraitDiffusionProjectView": [
        "image",
        "cameras",
        "near",
        "far",
        "grazing_degrees",
        "source",
        "head",
        "depth",
        "mask",
    ],
    "PortraitDiffusionLoadViewDiffusion": [
        "model",
        "vae",
        "front",
        "side",
        "back",
        "overhead",
        "negative",
        "trained_as",
    ],
    "PortraitDiffusionLoadHPDM": ["diffusion", "branches"],
    "PortraitDiffusionLoadZero123": ["model", "clip_vision", "vae", "kind"],
    "PortraitDiffusionGenerateView": [
        "hpdm",
        "head",
        "image",
        "cameras",
        "steps",
        "guidance",
        "weight",
        "strength",
        "blend",
        "seed",
        "source",
        "size",
    ],
    "PortraitDiffusionGenerateRing": [
        "hpdm",
        "head",
        "cameras",
        "steps",
        "guidance",
        "weight",
        "strength",
        "blend",
        "seed",
        "size",
    ],
    "PortraitDiffusionRestoreGeometry": [
        "head",
        "diffusion",
        "steps",
        "seed",
        "learnt",
        "text",
        "picture_weight",
        "reference",
        "size",
        "guidance",
        "zero123",
    ],
    "PortraitDiffusionRefineHead": [
        "head",
        "hpdm",
        "preset",
        "seed",
        "iterations",
        "strategy",
        "sigma",
        "multi_step",
        "aligned",
        "cameras",
        "size",
        "guidance",
    ],
    "PortraitDiffusionCameraOrbit": [
        "count",
        "yaw_degrees",
        "yaw_step_degrees",
        "pitch_degrees",
        "size",
        "radius",
        "focal",
        "pitch_step_degrees",
    ],
    "PortraitDiffusionCameraFromLoad3D": ["camera_info", "size", "portrait_distance"],
    "PortraitDiffusionCameraToLoad3D": ["cameras", "index"],
    "PortraitDiffusionRenderViews": ["head", "cameras", "background", "samples", "memory_mb"],
    "PortraitDiffusionRenderMeshViews": [
        "mesh",
        "cameras",
        "placement",
        "turn_degrees",
        "background",
        "samples",
    ],
    "PortraitDiffusionHeadToMesh": [
        "head",
        "resolution",
        "colours",
        "texture_size",
        "target_faces",
        "surface_density",
        "photo",
    ],
    "PortraitDiffusionMeshToFile3D": ["mesh"],
    "PortraitDiffusionFile3DToMesh": ["file"],
    "PortraitDiffusionTurntable": ["mesh", "frames", "size", "fps", "pitch_degrees", "background"],
    "PortraitDiffusionMarkImages": ["images", "visible", "text", "corner", "invisible", "number", "psnr"],
    "PortraitDiffusionReadMark": ["images", "look"],
    "PortraitDiffusionSaveHead": ["head", "filename_prefix"],
    "PortraitDiffusionLoadHead": ["file"],
    "PortraitDiffusionDoctor": [],
}
OUTPUTS = {
    "PortraitDiffusionLoadHeadPrior": ["PORTRAIT_PRIOR"],
    "PortraitDiffusionAlignPortrait": ["PORTRAIT_ALIGNED", "IMAGE", "MASK"],
    "PortraitDiffusionInvertPortrait": ["PORTRAIT_HEAD"],
    "PortraitDiffusionFeedForwardHead": ["PORTRAIT_HEAD"],
    "PortraitDiffusionFitHeadFromViews": ["PORTRAIT_HEAD"],
    "PortraitDiffusionFitAvatars": ["STRING", "PORTRAIT_HEAD"],
    "PortraitDiffusionPortraitsToViews": ["IMAGE", "MASK", "PORTRAIT_CAMERAS"],
    "PortraitDiffusionLoadAvatarModel": ["PORTRAIT_AVATAR"],
    "PortraitDiffusionGenerateAvatar": ["PORTRAIT_HEAD", "IMAGE"],
    "PortraitDiffusionLoadTurboRefiner": ["PORTRAIT_TURBO"],
    "PortraitDiffusionRefineViews": ["IMAGE"],
    "PortraitDiffusionEvaluateViews": ["STRING", "IMAGE", "IMAGE"],
    "PortraitDiffusionBakeViews": ["PORTRAIT_HEAD"],
    "PortraitDiffusionProjectView": ["IMAGE", "MASK"],
    "PortraitDiffusionLoadViewDiffusion": ["PORTRAIT_DIFFUSION"],
    "PortraitDiffusionLoadHPDM": ["PORTRAIT_HPDM"],
    "PortraitDiffusionLoadZero123": ["PORTRAIT_ZERO123"],
    "PortraitDiffusionGenerateView": ["IMAGE", "IMAGE", "MASK"],
    "PortraitDiffusionGenerateRing": ["IMAGE", "IMAGE", "IMAGE"],
    "PortraitDiffusionRestoreGeometry": ["PORTRAIT_HEAD", "STRING"],
    "PortraitDiffusionRefineHead": ["PORTRAIT_HEAD", "IMAGE", "IMAGE"],
    "PortraitDiffusionCameraOrbit": ["PORTRAIT_CAMERAS"],
    "PortraitDiffusionCameraFromLoad3D": ["PORTRAIT_CAMERAS"],
    "PortraitDiffusionCameraToLoad3D": ["LOAD3D_CAMERA"],
    "PortraitDiffusionRenderViews": ["IMAGE", "MASK", "IMAGE", "IMAGE", "IMAGE"],
    "PortraitDiffusionRenderMeshViews": ["IMAGE", "MASK", "IMAGE", "IMAGE"],
    "PortraitDiffusionHeadToMesh": ["MESH", "FILE_3D_GLB", "IMAGE"],
    "PortraitDiffusionMeshToFile3D": ["FILE_3D_GLB"],
    "PortraitDiffusionFile3DToMesh": ["MESH"],
    "PortraitDiffusionTurntable": ["IMAGE", "VIDEO"],
    "PortraitDiffusionMarkImages": ["IMAGE"],
    "PortraitDiffusionReadMark": ["BOOLEAN", "INT", "FLOAT", "STRING"],
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


def served(client, path: str) -> bytes:
    with urllib.request.urlopen(client.url + urllib.parse.quote(path), timeout=60) as answer:
        return answer.read()


@pytest.fixture(scope="module")
def info(server) -> dict:
    with urllib.request.urlopen(server.url + "/object_info", timeout=60) as answer:
        return json.load(answer)


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
            assert {"min", "max", "default"} <= set(options) and options["min"] <= options[
                "default"
            ] <= options["max"], input_name
    assert (
        len(
            [
                name
                for name, (kind, options) in inputs_of(node).items()
                if is_widget(kind, options) and not options.get("advanced")
            ]
        )
        <= 6
    )


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
        right = (
            type(value) is int
            if kind == "INT"
            else isinstance(value, int | float) and not isinstance(value, bool)
        )
        return (
            ""
            if right and options.get("min", value) <= value <= options.get("max", value)
            else f"{value!r} is out of range"
        )
    return "" if isinstance(value, bool if kind == "BOOLEAN" else str) else f"{value!r} is no {kind}"


def owned_files(name: str) -> dict[str, set[str]]:
    """Class of a node -> files that its owner brings, which no list here holds."""
    workflow = json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    return {
        node["type"]: {model["name"] for model in node["properties"]["models"]}
        for node in workflow["nodes"]
        if "models" in node["properties"]
    }


@pytest.mark.parametrize(
    "path", sorted((ROOT / "workflows" / "api").glob("*.json")), ids=lambda path: path.stem
)
def test_every_value_of_an_api_graph_is_valid(path, info):
    graph = json.loads(path.read_text(encoding="utf-8"))
    owned = owned_files(path.stem)
    for key, node in graph.items():
        known = inputs_of(info[node["class_type"]])
        assert node["_meta"]["title"]
        required = [
            name
            for name in info[node["class_type"]]["input"].get("required", {})
            if name not in node["inputs"]
        ]
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
            elif value not in owned.get(node["class_type"], ()):
                assert fault(value, kind, options) == "", f"{key}.{name}"


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_value_of_a_template_is_valid(name, info):
    """Widget values lie in the order of the node's widgets; a seed has its control after it, an upload its button."""
    workflow = json.loads((ROOT / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
    links = {link[0]: link for link in workflow["links"]}
    nodes = {node["id"]: node for node in workflow["nodes"]}
    owned = owned_files(name)
    for node in workflow["nodes"]:
        if node["type"] in ("Note", "MarkdownNote", "Reroute", "PrimitiveNode"):
            continue
        known = inputs_of(info[node["type"]])
        values = list(node.get("widgets_values") or [])
        for input_name, (kind, options) in known.items():
            if not is_widget(kind, options) or not values:
                continue
            value = values.pop(0)
            if value not in owned.get(node["type"], ()):
                assert fault(value, kind, options) == "", f"{node['type']}.{input_name}"
            if options.get("control_after_generate"):
                assert values.pop(0) in ("fixed", "increment", "decrement", "randomize")
        assert all(value in ("image", None, "") for value in values) or node["type"] == "SaveVideo", (
            f"{node['type']} has values left: {values}"
        )
        for slot in node.get("inputs", []):
            if slot.get("link") is not None:
                _, source, output, target, _, kind = links[slot["link"]]
                assert target == node["id"] and info[nodes[source]["type"]]["output"][output] == kind
    api = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    assert {node["type"] for node in workflow["nodes"]} >= {node["class_type"] for node in api.values()} - {
        "SaveGLB"
    }
