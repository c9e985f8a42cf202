"""Heads with exact views: the factory's, rendered once and cached, or a folder's multi-view files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import torch

from ..camera import frontal, orbit
from ..presence import present
from ..synthetic.factories import FACTORIES, chosen_factory
from ..synthetic.multiview import MultiView, read_views, write_head
from ..synthetic.renders import cache_folder
from ..synthetic.splits import SPLITS
from .keys import code_key, content_key

SIZE = 256
FACTORY = "leave the folder out: the bench then takes the factory's"
BINS = (0, 30, 45, 60, 90, 120, 180)  # degrees of |yaw|
YAWS = (0, 30, -30, 45, -45, 60, -60, 90, -90, 120, -120, 180)
INPUTS = {
    "yaw 20": (20, 0),
    "yaw 40": (40, 0),
    "pitch 20": (0, 20),
}  # non-frontal photos, degrees of yaw and pitch


@dataclass(frozen=True)
class ExactHead:
    """Attributes: name; exact: the views that are compared; inputs: views [1] that non-frontal rows start from, by name."""

    name: str
    exact: MultiView
    inputs: dict[str, MultiView]

    @cached_property
    def key(self) -> str:
        """What figures are filed under: the name, and all numbers of all views."""
        return f"{self.name} {content_key(*(tensor for views in (self.exact, *self.inputs.values()) for tensor in tensors_of(views)))}"

    @property
    def groups(self) -> Mapping[str, str]:
        """What figures are told by: kind -> group; empty where a head tells none."""
        return self.exact.groups

    @property
    def seed(self) -> int:
        """Of a head of the factory.

        Raises:
            ValueError: it is another head.
        """
        return present(self.exact.seed, f"a head of the factory, but {self.name} has no seed", FACTORY)

    @property
    def parameters(self) -> torch.Tensor:
        """[P] of a head of the factory.

        Raises:
            ValueError: it is another head.
        """
        return present(
            self.exact.parameters, f"a head of the factory, but {self.name} has no parameters", FACTORY
        )


def tensors_of(views: MultiView) -> list[torch.Tensor]:
    """All numbers of some views: pictures [V, ...], cameras [V, ...], index and seed [2], parameters [P]."""
    pictures = [getattr(views.views, name) for name in ("rgb", "mask", "ray_distance", "normal")]
    numbers = [torch.tensor([views.frontal, -1 if views.seed is None else views.seed]), views.parameters]
    return [
        one
        for one in (*pictures, views.camera.cam2world, views.camera.intrinsics, *numbers)
        if one is not None
    ]


@cache  # of a running program, the code stays
def renders_key() -> str:
    """Of the code that renders exact views."""
    return code_key(__file__)


def factory_heads(split: str, count: int, factory: int = 2) -> list[ExactHead]:
    """The first heads of a split; made once, kept in the cache. The errors are those of `factory_head`."""
    return [factory_head(seed, factory) for seed in SPLITS[split][:count]]


def factory_head(seed: int, factory: int = 2) -> ExactHead:
    """One head of a factory; made once, kept in the cache.

    Raises:
        ValueError: of factory 3, without scans.
    """
    files = {"exact": [(yaw, 0) for yaw in YAWS], **{name: [angles] for name, angles in INPUTS.items()}}
    views = {name: exact_views(seed, angles, SIZE, factory) for name, angles in files.items()}
    return ExactHead(f"seed {seed}", views.pop("exact"), views)


def exact_views(seed: int, angles: Sequence[tuple[float, float]], size: int, factory: int = 2) -> MultiView:
    """Exact views of one head of a factory; made once, kept in the cache.

    Args:
        angles: degrees of yaw and pitch, a view each. size: pixels.

    Raises:
        ValueError: of factory 3, without scans.
    """
    maker = FACTORIES[factory]
    degrees = torch.tensor(angles, dtype=torch.float32)
    name = f"{seed}-{size}-{content_key(degrees)}"
    path = cache_folder() / f"factory-{maker.version}" / f"bench-{renders_key()}" / f"{name}.safetensors"
    if not path.is_file():
        yaw, pitch = degrees.deg2rad().unbind(1)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_head(path, maker.exact(seed, orbit(yaw, pitch), size))
    return read_views(path)


def frontal_photo(seed: int) -> torch.Tensor:
    """Picture [3, 512, 512] in 0 .. 1 of a person in front of white; of a head of factory 2 where the scans are absent."""
    return chosen_factory(None).exact(seed, frontal()[None], 512).views.rgb[0]


def folder_heads(folder: Path, count: int) -> list[ExactHead]:
    """The first multi-view files of a folder, by name; any frame, size and order of views.

    Raises:
        ValueError: an empty folder, or a file that is no multi-view head.
    """
    paths = sorted(Path(folder).glob("*.safetensors"))[:count]
    if not paths:
        raise ValueError(
            f"bench prior: expected multi-view head files (.safetensors) in {folder}, found none; name a "
            "folder with such files, as models/synthetic/multiview.py describes and writes them"
        )
    heads = []
    for path in paths:
        exact = read_views(path)
        heads.append(
            ExactHead(
                path.stem,
                exact,
                {name: view for name in INPUTS if (view := _seen_from(exact, *INPUTS[name]))},
            )
        )
    return heads


def angles_degrees(views: MultiView) -> tuple[torch.Tensor, torch.Tensor]:
    """Yaw and pitch [V] of the cameras' positions, in degrees."""
    x, y, z = views.camera.position.unbind(-1)
    return torch.atan2(x, z).rad2deg(), torch.atan2(y, torch.hypot(x, z)).rad2deg()


def views_at(exact: ExactHead, angles: Sequence[float]) -> list[int]:
    """The views whose yaws are nearest to these, in degrees."""
    yaw, _ = angles_degrees(exact.exact)
    return [int(((yaw - angle + 180) % 360 - 180).abs().argmin()) for angle in angles]


def bin_of(views: MultiView) -> list[int]:
    """The bin [V] that each view belongs to: the nearest of `BINS` to |yaw|."""
    yaw, _ = angles_degrees(views)
    return [min(BINS, key=lambda b: abs(abs(float(y)) - b)) for y in yaw]


def only(views: MultiView, index: int) -> MultiView:
    """One view of several."""
    one = slice(index, index + 1)
    pictures = type(views.views)(
        *(getattr(views.views, key)[one] for key in ("rgb", "mask", "ray_distance", "normal"))
    )
    return MultiView(
        views=pictures, camera=views.camera[one], frontal=0, seed=views.seed, parameters=views.parameters
    )


def _seen_from(views: MultiView, yaw: float, pitch: float, tolerance: float = 3.0) -> MultiView | None:
    """The view from there or from its mirror image, None where a file has none."""
    yaws, pitches = angles_degrees(views)
    away = torch.maximum((yaws.abs() - yaw).abs(), (pitches - pitch).abs())
    return only(views, int(away.argmin())) if float(away.min()) < tolerance else None
