"""The multi-view head file (`.safetensors`): many views of one head, with masks and exact distances.

What a file holds is in models/README.md. Files in another frame carry their own cameras. The canonical frame is reached by one similarity, point -> scale * R (point
- centre):

- R: a file whose cameras have +y above them on the whole has our axes; one with +z above is taken for Blender's world, whose
  front is -y. Where a face looks, no camera tells: these two habits are all that is known here.
- `centre` is the file's look-at point (without one: the point nearest to all optical axes) and becomes the origin.
- `scale` makes what the frontal frame shows at the look-at point (distance / focal) the canonical 2.7 / 4.2647 = 0.633
  units. A file that shows the head with other margins keeps them, and its head is then larger or smaller than ours. Its
  cameras keep their focal length and so their distance in frames: perspective cannot be changed afterwards.

Files written here say `"frame": "canonical"` in their config and are left as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..bounds import shown
from ..camera import FOCAL, RADIUS, Camera, intrinsics_from_focal
from ..checkpoint import json_entry, read_tensors
from .rendering import Views

LARGEST = 1e6  # of a config's numbers
PARAMETERS = 65536  # how many they may be
MOST_GROUPS, LONGEST_NAME = 16, 64  # groups of a head; letters
CANONICAL_EXTENT = RADIUS / FOCAL  # scene units that a frontal frame shows at the origin


@dataclass(frozen=True, kw_only=True)
class MultiView:
    """Views of one head and the cameras that see them, in the canonical frame.

    Attributes:
        views: V views; normals are zero where the file has none.
        camera: batch [V].
        frontal: index of the view nearest to the front.
        seed, parameters: of a factory head, else None; parameters [P].
        groups: what figures are told by, for instance {"hair": "long", "skin": "dark"}.
    """

    views: Views
    camera: Camera
    frontal: int
    seed: int | None = None
    parameters: Tensor | None = None
    groups: Mapping[str, str] = field(default_factory=dict)


def write_head(path: str | Path, head: MultiView) -> None:
    """Write a head whole; the errors are those of `write_views`."""
    write_views(path, head.views, head.camera, seed=head.seed, parameters=head.parameters, groups=head.groups)


def write_views(
    path: str | Path,
    views: Views,
    camera: Camera,
    *,
    seed: int | None = None,
    parameters: Tensor | None = None,
    groups: Mapping[str, str] | None = None,
) -> None:
    """Write views [V] of one head from cameras [V] that share one focal length.

    Raises:
        ValueError: for batches that differ, or cameras of several focal lengths.
    """
    from safetensors.torch import save_file

    if camera.shape != views.rgb.shape[:1]:
        raise ValueError(
            f"write_views: {list(views.rgb.shape[:1])} views came with cameras {list(camera.shape)}; pass one camera a view"
        )
    focal = camera.intrinsics[:, 0, 0]
    if not torch.allclose(focal, focal[:1].expand_as(focal), rtol=1e-5):
        raise ValueError(
            "write_views: expected cameras of one focal length, got several; write a file for each"
        )
    config = {"focal": float(focal[0]), "look_at": [0.0, 0.0, 0.0], "frame": "canonical"}
    if seed is not None:
        config["seed"] = seed
    if parameters is not None:
        config["parameters"] = parameters.tolist()
    if groups:
        config["groups"] = dict(groups)
    tensors = {
        "rgb": (views.rgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1),
        "mask": (views.mask[:, 0] > 0.5).to(torch.uint8),
        "ray_distance": views.ray_distance[:, 0].float(),
        "normal": views.normal.permute(0, 2, 3, 1).half(),
        "cam2world": camera.cam2world.float(),
    }
    save_file(
        {k: v.contiguous().cpu() for k, v in tensors.items()},
        str(path),
        metadata={"config": json.dumps(config)},
    )


def read_views(path: str | Path) -> MultiView:
    """Read a file of any V, size (square), order and frame, and bring it to the canonical frame (see above).

    Raises:
        ValueError: for a file that is not one, lacks a tensor, or has shapes or numbers that do not fit.
    """
    tensors, config = _load(path)
    focal = _focal(config, path)
    pose = tensors["cam2world"].float()
    scale = 1.0
    if config.get("frame") != "canonical":
        look_at = (
            torch.tensor(_numbers(config, "look_at", path, 3))
            if "look_at" in config
            else _meeting_point(pose)
        )
        pose, scale = to_canonical(pose, look_at, focal)
    mask = tensors["mask"][:, None].float()
    normal = tensors.get("normal")
    views = Views(
        rgb=tensors["rgb"].permute(0, 3, 1, 2).float() / 255,
        mask=mask,
        ray_distance=torch.where(mask > 0, tensors["ray_distance"][:, None].float() * scale, 0.0),
        normal=torch.zeros(tensors["rgb"].shape).permute(0, 3, 1, 2)
        if normal is None
        else normal.permute(0, 3, 1, 2).float(),
    )
    camera = Camera(pose, intrinsics_from_focal(torch.full((len(pose),), focal), like=pose))
    parameters = (
        torch.tensor(_numbers(config, "parameters", path)) if config.get("parameters") is not None else None
    )
    return MultiView(
        views=views,
        camera=camera,
        frontal=frontal_view(pose),
        seed=_seed(config, path),
        parameters=parameters,
        groups=_groups(config, path),
    )


def frontal_view(cam2world: Tensor) -> int:
    """Index of the camera of [V, 4, 4], in our axes, that stands nearest to +z as seen from the origin."""
    return int(torch.nn.functional.normalize(cam2world[:, :3, 3], dim=-1)[:, 2].argmax())


def to_canonical(cam2world: Tensor, look_at: Tensor, focal: float) -> tuple[Tensor, float]:
    """Poses [V, 4, 4] in the canonical frame, and the similarity's scale; the identity where they are in it already.

    Args:
        cam2world: [V, 4, 4] in the file's frame. look_at: [3] in the same. focal: image widths.

    Raises:
        ValueError: the frontal camera stands at its look-at point.
    """
    above = -cam2world[:, :3, 1].mean(0)
    turn = torch.eye(3)
    if float(above[2]) > float(above[1].abs()):
        turn = torch.tensor(
            [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]
        )  # from z up, front -y to y up, front +z
    pose = cam2world.clone()
    pose[:, :3, :3] = turn @ cam2world[:, :3, :3]
    pose[:, :3, 3] = (cam2world[:, :3, 3] - look_at) @ turn.T
    distance = float(pose[frontal_view(pose), :3, 3].norm())
    if not distance > 0:
        raise ValueError(
            "to_canonical: the frontal camera stands at its look-at point; the file's cameras are wrong"
        )
    scale = CANONICAL_EXTENT / (distance / focal)
    pose[:, :3, 3] *= scale
    return pose, scale


def _meeting_point(cam2world: Tensor) -> Tensor:
    """[3]: the point nearest to all optical axes, by least squares; of parallel axes, the one nearest to the origin."""
    axis = cam2world[:, :3, 2]
    across = torch.eye(3) - axis[:, :, None] * axis[:, None, :]
    return torch.linalg.lstsq(across.sum(0), (across @ cam2world[:, :3, 3:]).sum(0), driver="gelsd").solution[
        :, 0
    ]


def _numbers(config: dict, name: str, path: str | Path, count: int | None = None) -> list[float]:
    """A list of so many numbers (None: up to `PARAMETERS`) in a file's config."""
    values = config[name]
    if not isinstance(values, list) or not (
        len(values) == count or (count is None and len(values) <= PARAMETERS)
    ):
        raise ValueError(
            f"read_views: expected {name} to be {count or f'up to {PARAMETERS}'} numbers in {path}, got {shown(values)}; repair it"
        )
    return [_number(value, name, path) for value in values]


def _number(value: object, name: str, path: str | Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise ValueError(
            f"read_views: expected numbers up to {LARGEST:g} for {name} in {path}, got {shown(value)}; repair its config"
        )
    return float(value)


def _seed(config: dict, path: str | Path) -> int | None:
    """Of a factory head."""
    seed = config.get("seed")
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**63):
        raise ValueError(
            f"read_views: expected a seed from 0 to {2**63 - 1} in {path}, got {shown(seed)}; repair its config"
        )
    return seed


def _groups(config: dict, path: str | Path) -> dict[str, str]:
    """Kinds and what the head is of each; none in most files."""
    groups = config.get("groups", {})
    short = isinstance(groups, dict) and len(groups) <= MOST_GROUPS
    if not (
        short
        and all(isinstance(x, str) and 0 < len(x) <= LONGEST_NAME for pair in groups.items() for x in pair)
    ):
        raise ValueError(
            f"read_views: expected groups as a few names by name in {path}, got {shown(groups)}; repair its config"
        )
    return groups


def _focal(config: dict, path: str | Path) -> float:
    """Image widths."""
    if "focal" in config:
        focal = _number(config["focal"], "focal", path)
    elif "fov_degrees" in config:
        degrees = _number(config["fov_degrees"], "fov_degrees", path)
        focal = 0.5 / math.tan(math.radians(degrees) / 2) if degrees else math.inf
    else:
        raise ValueError(f"read_views: {path} names neither focal nor fov_degrees in its config; add one")
    if not (math.isfinite(focal) and focal > 0):
        raise ValueError(
            f"read_views: expected a positive focal length in {path}, got {focal}; repair its config"
        )
    return focal


def _load(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """The file's tensors, of shapes that fit each other, and its config."""
    try:
        tensors, metadata = read_tensors(Path(path), "multi-view head")
        config = json_entry(metadata, "config", "the file") if "config" in metadata else {}
    except (ValueError, OSError) as error:
        raise ValueError(
            f"read_views: {path} is no readable multi-view head file ({error}); write it with write_views"
        ) from error
    if not isinstance(config, dict):
        raise ValueError(
            f"read_views: expected a config of names and values in {path}, got {shown(config)}; write it with write_views"
        )
    missing = {"rgb", "mask", "ray_distance", "cam2world"} - tensors.keys()
    if missing:
        raise ValueError(
            f"read_views: {path} lacks {', '.join(sorted(missing))}; a file has rgb and mask (uint8, [V, S, S, 3] and [V, S, S]), "
            "ray_distance ([V, S, S]) and cam2world ([V, 4, 4]); write it with write_views"
        )
    shape = tensors["mask"].shape
    if len(shape) != 3 or 0 in shape or shape[1] != shape[2]:
        raise ValueError(
            f"read_views: expected mask [V, S, S] in {path}, got {list(shape)}; views are square"
        )
    shapes = {
        "rgb": (*shape, 3),
        "ray_distance": shape,
        "cam2world": (*shape[:1], 4, 4),
        "normal": (*shape, 3),
    }
    for name, axes in shapes.items():
        if name in tensors and tensors[name].shape != torch.Size(axes):
            own = list(tensors[name].shape)
            raise ValueError(
                f"read_views: expected {name} {list(axes)} beside mask {list(shape)} in {path}, got {own}; write it again"
            )
    if not bool(torch.isfinite(tensors["cam2world"].float()).all()):
        raise ValueError(f"read_views: {path} has cameras with NaN or infinity; write it again")
    return tensors, config
