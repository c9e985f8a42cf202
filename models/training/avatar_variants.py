"""The rows of RodinHD's table 4b that `train avatar-base --variant` trains: each differs from what ships in what its name says.

They lie in the cache and never ship; `bench rodin --generate` judges those that are there. A fair table trains all of them for as
many steps (`--steps`), "multi_scale", which is what ships by its sizes, among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..avatar.model import BASE_KIND, BaseFileConfig
from ..avatar.schedules import ScheduleConfig
from ..avatar.unet import NO_MAP, BaseConfig
from ..synthetic.renders import cache_folder

SHIPPED = "shipped"  # no row of the table: what is written into the weights
LINEAR = ScheduleConfig(kind="linear")  # Ho et al. 2020, for images of 32 and 64 pixels


def of_one_vector(network: BaseConfig) -> BaseConfig:
    """A portrait is told by one vector beside the time, as CLIP's is in Rodin: its latent, pooled."""
    return replace(
        network,
        map_sides=(),
        map_taps=(),
        map_channels=(),
        map_patches=(),
        attention_maps=(NO_MAP,) * len(network.attention),
    )


def of_one_map(network: BaseConfig) -> BaseConfig:
    """All heights attend to the coarsest map, of as many tokens as each map has."""
    return replace(
        network,
        map_sides=network.map_sides[-1:],
        map_taps=network.map_taps[-1:],
        map_channels=network.map_channels[-1:],
        map_patches=network.map_patches[-1:],
        attention_maps=(0,) * len(network.attention),
    )


def twice_as_fine(network: BaseConfig) -> BaseConfig:
    """Planes of the upsampler's size at once: one level more, and attention where it was."""
    return replace(
        network,
        size=2 * network.size,
        multipliers=(network.multipliers[0], *network.multipliers),
        blocks=(network.blocks[0], *network.blocks),
    )


def weaker(file: BaseFileConfig) -> BaseFileConfig:
    """Under the schedule of small images; what is predicted stays."""
    return replace(file, schedule=replace(LINEAR, prediction=file.schedule.prediction))


VARIANTS: dict[str, Callable[[BaseFileConfig], BaseFileConfig]] = {
    "multi_scale": lambda file: file,
    "linear": weaker,
    "token": lambda file: replace(file, network=of_one_vector(file.network)),
    "one_scale": lambda file: replace(file, network=of_one_map(file.network)),
    # the paper's row B: finer planes under the schedule of coarser ones
    "naive": lambda file: weaker(replace(file, network=twice_as_fine(file.network))),
}


def variant_path(name: str) -> Path:
    """Where `train avatar-base --variant` leaves its base model."""
    return cache_folder() / "train" / f"{BASE_KIND}_{name}.safetensors"


def checkpoint_name(name: str) -> str:
    """Of a training's local checkpoint: that of what ships, or a variant's own, which begins with no shipped weights."""
    return BASE_KIND if name == SHIPPED else f"{BASE_KIND}_{name}_checkpoint"
