"""The portrait in a head's file."""

from __future__ import annotations

import torch
from torch import Tensor

from .bounds import shown
from .camera import Camera
from .checkpoint import json_entry
from .photo.alignment import MAX_PHOTO, AlignedPortrait

REFERENCE = {
    "image": (3, None, None),
    "mask": (1, None, None),
    "cam2world": (4, 4),
    "intrinsics": (3, 3),
    "crop_to_photo": (2, 3),
}
PHOTO = 2**20  # pixels along a photo's side; files hold fewer
RIGID = 0.01  # how far a saved camera's axes may be from unit length and right angles


def below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors [...] under a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def check_tensor(value: Tensor | None, what: str, shape: tuple[int, ...], name: str) -> None:
    """That a head file's tensor [...] has this shape and may hold fractions.

    Raises:
        ValueError: it has not.
    """
    if value is None or tuple(value.shape) != shape or not value.is_floating_point():
        content = (
            "none" if value is None else f"{list(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
        )
        raise ValueError(
            f"head file: expected {what} {list(shape)} of floats, got {content} in {name}; save the head again"
        )


def tensors_of(reference: AlignedPortrait) -> dict[str, Tensor]:
    """What a head file holds of its portrait: image [3, S, S], mask and, where there is one, unknown [1, S, S], camera, crop [2, 3],
    the fine photo [3, P, P] where there is one."""
    tensors = {
        "reference.image": reference.image,
        "reference.mask": reference.mask,
        "reference.cam2world": reference.camera.cam2world,
        "reference.intrinsics": reference.camera.intrinsics,
        "reference.crop_to_photo": reference.crop_to_photo,
    }
    if reference.unknown is not None:
        tensors["reference.unknown"] = reference.unknown
    if reference.photo is not None:
        tensors["reference.photo"] = reference.photo
    return tensors


def reference_from(tensors: dict[str, Tensor], metadata: dict[str, str], name: str) -> AlignedPortrait | None:
    """The portrait in a head file of tensors [...], if it has one.

    Raises:
        ValueError: parts are missing, of other shapes, or no camera.
    """
    parts = below(tensors, "reference.")
    if not parts:
        return None
    image = parts.get("image")
    side = image.shape[-1] if image is not None and image.ndim else 0
    for part, shape in REFERENCE.items():
        check_tensor(
            parts.get(part),
            f"reference.{part}",
            tuple(side if axis is None else axis for axis in shape),
            name,
        )
    if "unknown" in parts:  # heads of before there was one have none
        check_tensor(parts["unknown"], "reference.unknown", (1, side, side), name)
    entry = json_entry(metadata, "photo_size", f"head file: {name}")
    photo_size = _photo_size(entry)
    if photo_size is None or not side:
        raise ValueError(
            f"head file: expected a portrait with pixels and a photo_size of two numbers from 1 to {PHOTO}, got {side} pixels and "
            f"{shown(entry)} in {name}; save the head again"
        )
    photo = parts.pop("photo", None)  # heads of before have none
    _check_photo(photo, name)
    parts = {part: value.float() for part, value in parts.items()}
    _check_camera(parts["cam2world"], parts["intrinsics"], name)
    camera = Camera(parts["cam2world"], parts["intrinsics"])
    return AlignedPortrait(
        parts["image"],
        parts["mask"],
        camera,
        parts["crop_to_photo"],
        photo_size,
        unknown=parts.get("unknown"),
        photo=photo,
    )


def _check_photo(photo: Tensor | None, name: str) -> None:
    """Raises ValueError unless a head file's fine crop, where it has one, is bytes [3, P, P]."""
    if photo is None:
        return
    shape = list(photo.shape)
    if photo.dtype != torch.uint8 or len(shape) != 3 or shape != [3, shape[-1], shape[-1]] or not shape[-1]:
        content = f"{shape} of {str(photo.dtype).removeprefix('torch.')}"
        raise ValueError(
            f"head file: expected reference.photo [3, P, P] of uint8, got {content} in {name}; save the head again"
        )
    if shape[-1] > MAX_PHOTO:
        raise ValueError(
            f"head file: expected at most {MAX_PHOTO} pixels a side of reference.photo, got {shape[-1]} in {name}; save the head again"
        )


def _photo_size(entry: object) -> tuple[int, int] | None:
    """Pixels along the two sides of a photo, of a file's JSON; None where it is something else."""
    if not isinstance(entry, list) or len(entry) != 2:
        return None
    if not all(type(pixels) is int and 1 <= pixels <= PHOTO for pixels in entry):
        return None
    return entry[0], entry[1]


def _check_camera(cam2world: Tensor, intrinsics: Tensor, name: str) -> None:
    """Raises ValueError unless a pose [4, 4] turns and moves only, and intrinsics [3, 3] have a focal length."""
    turn, last = cam2world[:3, :3], cam2world.new_tensor([0, 0, 0, 1])
    rigid = (turn @ turn.T - torch.eye(3)).abs().max() < RIGID and (cam2world[3] - last).abs().max() < RIGID
    focal, row = intrinsics.diagonal()[:2], (intrinsics[2] - last[1:]).abs().max()
    if not rigid or focal.min() < 1e-3 or row > RIGID or intrinsics[1, 0].abs() > RIGID:
        raise ValueError(
            f"head file: expected a reference.cam2world that turns and moves and reference.intrinsics with a focal length, "
            f"got {cam2world.tolist()} and {intrinsics.tolist()} in {name}; save the head again"
        )
