"""The shipped graph made small, and small graphs of single nodes."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "workflows" / "api" / "portrait_to_3d.json"
PACK = "PortraitDiffusion"
SMALL = {
    "InvertPortrait": {"latent_steps": 2, "tuning_steps": 2},
    "CameraOrbit": {"size": 64},
    "RenderViews": {"samples": 12},
    "HeadToMesh": {"resolution": 64, "texture_size": 128},
    "Turntable": {"frames": 6, "size": 64},
}


def shipped(photo: str, **changes: dict) -> dict:
    """workflows/api/portrait_to_3d.json with a photo and with other widget values, by class name without the pack's prefix."""
    graph = json.loads(SHIPPED.read_text(encoding="utf-8"))
    for name, values in {"LoadImage": {"image": photo}, **changes}.items():
        graph[number(graph, name)]["inputs"] |= values
    return graph


def small(photo: str, **changes: dict) -> dict:
    """The shipped graph, small enough for a test; `changes` as in `shipped`."""
    return shipped(
        photo, **{name: {**SMALL.get(name, {}), **changes.get(name, {})} for name in [*SMALL, *changes]}
    )


def number(graph: dict, name: str) -> str:
    """Id of the only node of a class."""
    (found,) = [key for key, node in graph.items() if node["class_type"] in (name, PACK + name)]
    return found


def only(graph: dict, *names: str) -> dict:
    """The nodes of these classes and whatever they need."""
    wanted, queue = set(), [number(graph, name) for name in names]
    while queue:
        key = queue.pop()
        if key not in wanted:
            wanted.add(key)
            queue += [value[0] for value in graph[key]["inputs"].values() if isinstance(value, list)]
    return {key: node for key, node in graph.items() if key in wanted}


def by_hand(graph: dict, mask: str, crop_size: float = 1.0) -> dict:
    """The same with a crop set by hand and a wired mask: whatever the photo is, nothing is detected."""
    graph = json.loads(json.dumps(graph))
    graph["90"] = {
        "class_type": "LoadImageMask",
        "inputs": {"image": mask, "channel": "red"},
        "_meta": {"title": "Mask"},
    }
    graph[number(graph, "AlignPortrait")]["inputs"] |= {
        "crop": "manual",
        "crop_x": 0.5,
        "crop_y": 0.5,
        "crop_size": crop_size,
        "foreground_mask": ["90", 0],
    }
    return graph


def chain(*nodes: tuple[str, dict]) -> dict:
    """Nodes numbered from 1; an input given as "@2" or "@2.1" is output 0 or 1 of node 2."""

    def link(value):
        if not (isinstance(value, str) and value.startswith("@")):
            return value
        key, _, output = value[1:].partition(".")
        return [key, int(output or 0)]

    return {
        str(i): {
            "class_type": kind,
            "inputs": {key: link(value) for key, value in inputs.items()},
            "_meta": {"title": kind},
        }
        for i, (kind, inputs) in enumerate(nodes, 1)
    }


# Widget values of our nodes for quick graphs; core wants every one of them.
ALIGN = {
    "size": 64,
    "crop": "manual",
    "crop_x": 0.5,
    "crop_y": 0.5,
    "crop_size": 1.0,
    "yaw_degrees": 0.0,
    "pitch_degrees": 0.0,
}
ORBIT = {
    "count": 1,
    "yaw_degrees": 0.0,
    "yaw_step_degrees": 45.0,
    "pitch_degrees": 0.0,
    "size": 32,
    "radius": 2.7,
    "focal": 4.2647,
}
VIEWS = {"background": "#ffffff", "samples": 12, "memory_mb": 64}
MESH = {
    "resolution": 32,
    "colours": "vertex colours",
    "texture_size": 64,
    "target_faces": 0,
    "surface_density": 0.0,
}
REFINE = {"r": 0.1, "seed": 0, "window": 3, "overlap": 1, "loop": False, "steady": 0.0}
TURNTABLE = {"frames": 2, "size": 32, "fps": 24.0, "pitch_degrees": 0.0, "background": "#ffffff"}


def view_of_a_head(file: str, **orbit) -> dict:
    """A saved head, rendered and previewed."""
    return chain(
        (PACK + "LoadHead", {"file": file}),
        (PACK + "CameraOrbit", ORBIT | orbit),
        (PACK + "RenderViews", VIEWS | {"head": "@1", "cameras": "@2"}),
        ("PreviewImage", {"images": "@3"}),
    )
