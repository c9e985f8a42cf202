"""Photographs: a folder's, or those that come with scikit-image; and the factory's frontal pictures, taken for photographs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...photo.reading import read_photo
from ..exact_heads import ExactHead
from ..keys import content_key, file_key

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
CROPS = {"whole": (0, 0, 512), "head and shoulders": (0, 84, 280), "face": (8, 134, 180)}  # top, left, side
Picture = tuple[Tensor, Tensor | None]  # rgb [3, H, W] sRGB in [0, 1], alpha [1, H, W] or None


@dataclass(frozen=True)
class Photo:
    """One photograph.

    Attributes:
        name: in tables; never the file's, which may say who it is. key: of the content.
        read: rgb [3, H, W] in [0, 1] and alpha [1, H, W] or None; raises ValueError for what is no picture.
        exact: of a head of the factory, its exact views.
    """

    name: str
    key: str
    read: Callable[[], Picture]
    exact: ExactHead | None = None


def folder_photos(folder: Path) -> list[Photo]:
    """All pictures of a folder, by name.

    Raises:
        ValueError: none there.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ValueError(
            f"bench photographs: expected pictures ({', '.join(sorted(SUFFIXES))}) in {folder}, got none; name a folder of portraits"
        )
    return [
        Photo(f"photo {i}", file_key(path), lambda path=path: read_photo(path))
        for i, path in enumerate(paths, 1)
    ]


def bundled_photos() -> list[Photo]:
    """NASA's portrait of an astronaut in scikit-image, whole and two crops of it."""
    from skimage.data import astronaut

    whole = torch.from_numpy(astronaut()).permute(2, 0, 1) / 255
    crops = [
        whole[:, top : top + side, left : left + side].contiguous() for top, left, side in CROPS.values()
    ]
    return [
        Photo(f"photo {i}", content_key(crop), lambda crop=crop: (crop, None))
        for i, crop in enumerate(crops, 1)
    ]


def as_photograph(head: ExactHead) -> Photo:
    """The frontal picture of a head of the factory, of which nothing but the picture is told."""
    rgb = head.exact.views.rgb[head.exact.frontal]
    return Photo(head.name, content_key(rgb), lambda: (rgb, None), head)
