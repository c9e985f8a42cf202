"""Snapshots of EG3D, PanoHead and SphereHead (.pkl): what a generator is made of, and its weights, out of the records of its pickle.

EG3D (Chan et al. 2022), PanoHead (An et al. 2023) and SphereHead (Li et al. 2024), as NVIDIA's training writes them:
`training_set_kwargs`, G, D, G_ema, `augment_pipe`.
The source text that comes with every object is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from ..bounds import shown
from ..field.triplane import EG3D, OURS, FieldConfig
from ..field.volume_rendering import RenderConfig
from ..pickles.files import PickleFile
from ..pickles.records import Record, printable
from ..pickles.tensors import StoredTensor
from .config import GeneratorConfig
from .spherehead import SphereHeadConfig
from .upscaling import UPSCALINGS

WHAT = "head prior"
SUFFIX = ".pkl"
PARTS = 50_000  # modules and tensors of a network; the largest public one has a hundredth
NAME = 256  # letters of a tensor's name
SURFACE = (
    9.0  # density per scene unit where their shape scripts cut: 10 before the softplus, which takes 1 off
)
CROP = 0.1  # scene units that PanoHead's renderer cuts off the box, which is in its source alone
BLOCK = re.compile(r"backbone\.synthesis\.b(\d{1,4})\.torgb\.weight")
SPHERES = ("ConvA", "ConvB")  # the layers that make SphereHead's planes: its class is called as PanoHead's
UNUSED = re.compile(  # what no picture of a head depends on: of training, of layers that resample nothing, of the parsing
    r"dataset_label_std|Conv[AB]\.\d\.resample_filter|toparsing\..*"
)
REMEDY = "choose a snapshot of EG3D, PanoHead or SphereHead"


def named(values: object) -> dict[str, Any]:
    """Names and values, or none."""
    return (
        {key: value for key, value in values.items() if isinstance(key, str)}
        if isinstance(values, dict)
        else {}
    )


def state_of(network: Record) -> dict[str, StoredTensor]:
    """A network's state dict (name -> [...]), in torch's order.

    Raises:
        ValueError: modules within modules without end, or names that nobody would give.
    """
    state: dict[str, StoredTensor] = {}
    waiting, parts = [("", network)], 0
    while waiting:
        prefix, module = waiting.pop()
        temporary = module.entry("_non_persistent_buffers_set")
        temporary = temporary if isinstance(temporary, set) else set()
        parameters, buffers = named(module.entry("_parameters")), named(module.entry("_buffers"))
        modules = named(module.entry("_modules"))
        parts += 1 + len(parameters) + len(buffers) + len(modules)
        if parts > PARTS or len(prefix) > NAME:
            raise ValueError(
                f"{WHAT}: expected up to {PARTS} modules and tensors, got more in a snapshot; {REMEDY}"
            )
        kept = parameters | {name: value for name, value in buffers.items() if name not in temporary}
        state |= {prefix + name: value for name, value in kept.items() if isinstance(value, StoredTensor)}
        children = [
            (f"{prefix}{name}.", value) for name, value in modules.items() if isinstance(value, Record)
        ]
        waiting += reversed(children)
    return state


def network_of(file: PickleFile, name: str) -> Record:
    """One of a snapshot's networks: "G_ema" or "D".

    Raises:
        ValueError: there is none.
    """
    network = named(file.value).get(name)
    if not isinstance(network, Record):
        raise ValueError(f"{WHAT}: expected a snapshot with {name}, but {file.path.name} has none; {REMEDY}")
    return network


def read_snapshot(path: Path) -> tuple[str, GeneratorConfig, dict[str, Tensor]]:
    """Family ("eg3d", "panohead" or "spherehead"), config and float32 weights (name -> [...]) of a snapshot's G_ema. Nothing in the file is run.

    Raises:
        ValueError: as `PickleFile`; or it is no snapshot, of another family, or of sizes that make no generator.
    """
    with PickleFile(path, WHAT) as file:
        network = network_of(file, "G_ema")
        stored = state_of(network)
        if "singsph" in network.name.lower() or "multiplane_num" in named(network.entry("rendering_kwargs")):
            raise ValueError(
                f"{WHAT}: expected EG3D, PanoHead or SphereHead, but {file.path.name} holds HyPlaneHead ({printable(network.name)}), "
                f"which this pack cannot build; {REMEDY}"
            )
        reader = Sizes(file, network, stored)
        config = reader.generator()
        state = {
            key: file.tensor(value).float() for key, value in stored.items() if not UNUSED.fullmatch(key)
        }
        rate = reader.rendering.get("decoder_lr_mul", 1)
    if not isinstance(rate, int | float):
        raise ValueError(f"{WHAT}: expected decoder_lr_mul to be a number, got {shown(rate)}; {REMEDY}")
    for key in state:
        if (
            key.startswith("decoder.net.") and rate != 1
        ):  # where the family slows its learning down, here it is part of it
            state[key] = state[key] * rate
    return reader.family, config, state


class Sizes:
    """Reads a generator's sizes off its arguments, its state and the shapes of its tensors.

    Attributes:
        rendering: the options that training left in the network, or those that it was made with. family: as `families` calls it.
        spheres: whether the planes are SphereHead's.
    """

    def __init__(self, file: PickleFile, network: Record, stored: Mapping[str, StoredTensor]) -> None:
        self.file, self.network, self.stored = file, network, stored
        self.arguments = named(network.entry("_init_kwargs"))
        self.rendering = named(network.entry("rendering_kwargs")) or named(
            self.arguments.get("rendering_kwargs")
        )
        offset = any(key.startswith("t_mapping.") for key in stored)
        self.spheres = all(f"{name}.0.weight" in stored for name in SPHERES)
        self.family = "panohead" if offset or "triplane_depth" in self.rendering else "eg3d"
        self.family = "spherehead" if self.spheres else self.family
        if not self.arguments or not self.rendering:
            raise ValueError(
                f"{WHAT}: expected a generator with its arguments, but {file.path.name} has {printable(network.name)} without; {REMEDY}"
            )

    def shape(self, key: str, axes: int) -> tuple[int, ...]:
        """Of a tensor that must be there."""
        tensor = self.stored.get(key)
        if tensor is None or len(tensor.shape) != axes:
            raise ValueError(
                f"{WHAT}: expected a tensor {key} of {axes} dimensions, but {self.file.path.name} has none; {REMEDY}"
            )
        return tensor.shape

    def generator(self) -> GeneratorConfig:
        """The whole config."""
        arguments, rendering = self.arguments, self.rendering
        mapping = named(arguments.get("mapping_kwargs"))
        module = rendering.get("superresolution_module")
        upscaling = str(module).rpartition(".")[2].removeprefix("Superresolution").removeprefix("Hybrid")
        half_layers = arguments.get("sr_num_fp16_res", 0)
        kind, more = GeneratorConfig, {}
        if self.spheres:
            mixed, rows = self.shape(f"{SPHERES[0]}.0.weight", 4)[:2]
            kind, more = SphereHeadConfig, {"map_channels": rows, "mixed_channels": mixed}
        return kind(
            **more,
            z_dim=_whole(arguments.get("z_dim")),
            w_dim=_whole(arguments.get("w_dim")),
            c_dim=_whole(arguments.get("c_dim")),
            mapping_layers=_whole(mapping.get("num_layers", 8)),
            embed_features=_whole(mapping.get("embed_features")),
            layer_features=_whole(mapping.get("layer_features")),
            channel_base=_whole(arguments.get("channel_base", 32768)),
            channel_max=_whole(arguments.get("channel_max", 512)),
            conv_clamp=arguments.get("conv_clamp"),
            field=self.field(),
            render=self.render(),
            raw_resolution=_whole(self._state("neural_rendering_resolution", 64)),
            super_resolution=upscaling if isinstance(module, str) else shown(module),
            sr_channels=self.widths(upscaling),
            sr_noise_mode=rendering.get("superresolution_noise_mode", "none"),
            sr_antialias=rendering.get("sr_antialias", True),
            sr_clamp=256.0 if isinstance(half_layers, int | float) and half_layers > 0 else None,
            conditioning_zero=rendering.get("c_gen_conditioning_zero", False),
            c_scale=rendering.get("c_scale", 0.0),  # the family's word for a label that is not looked at
            background=rendering.get("use_background", False),
            raw_rgb=rendering.get("use_torgb_raw", False),
            camera_offset="t_mapping.w_avg" in self.stored,
        )

    def field(self) -> FieldConfig:
        """How the planes are read."""
        panohead = self.family != "eg3d"
        depth = _whole(self.rendering.get("triplane_depth", 0)) if panohead else 0
        resolution = max((int(match[1]) for key in self.stored if (match := BLOCK.fullmatch(key))), default=0)
        rows = self.shape(f"backbone.synthesis.b{resolution}.torgb.weight", 4)[0]
        slices = depth if isinstance(depth, int) and depth > 0 else 1
        if self.spheres:
            rows, slices, depth = self.shape(f"{SPHERES[0]}.1.weight", 4)[0], 1, 2
        return FieldConfig(
            plane_axes=self.axes(),
            box_side=_whole(self.rendering.get("box_warp")),
            channels=rows // (3 * slices),
            depth=depth,
            resolution=resolution,
            hidden=self.shape("decoder.net.0.weight", 2)[0],
            features=self.shape("decoder.net.2.weight", 2)[0] - 1,
            activation=self.rendering.get("decoder_activation", "sigmoid") if panohead else "sigmoid",
            surface_density=SURFACE,
            crop=CROP if panohead else 0.0,
            spheres=self.spheres,
        )

    def render(self) -> RenderConfig:
        """How rays are sampled."""
        rendering = self.rendering
        near, far = (
            None if rendering.get(key) == "auto" else rendering.get(key) for key in ("ray_start", "ray_end")
        )
        return RenderConfig(
            coarse=_whole(rendering.get("depth_resolution")),
            fine=_whole(rendering.get("depth_resolution_importance")),
            near=near,
            far=far,
            disparity=rendering.get("disparity_space_sampling", False),
            white_back=rendering.get("white_back", False),
        )

    def axes(self) -> tuple[str, str, str]:
        """Which axes each plane sees: rows of matrices that the renderer keeps, or the family's."""
        renderer = named(self.network.entry("_modules")).get("renderer")
        stored = renderer.entry("plane_axes") if isinstance(renderer, Record) else None
        if self.spheres or not isinstance(stored, StoredTensor):
            return EG3D if self.family == "eg3d" else OURS
        planes = self.file.tensor(stored).float() if stored.shape == (3, 3, 3) else None
        if planes is None or not bool(((planes == 0) | (planes == 1)).all() and (planes.sum(2) == 1).all()):
            raise ValueError(
                f"{WHAT}: expected planes along the axes, but those of {self.file.path.name} lie otherwise; {REMEDY}"
            )
        first, second, third = (
            "".join("xyz"[axis] for axis in plane[:2]) for plane in planes.argmax(2).tolist()
        )
        return first, second, third

    def widths(self, upscaling: str) -> tuple[int, int] | None:
        """Channels of super-resolution, where they are not the module's own."""
        if upscaling not in UPSCALINGS:
            return None  # the config says what there is
        first, second = (self.shape(f"superresolution.block{i}.conv1.weight", 4)[0] for i in range(2))
        return None if (first, second) == UPSCALINGS[upscaling].widths else (first, second)

    def _state(self, name: str, otherwise: object) -> Any:
        value = self.network.entry(name)
        return otherwise if value is None else value


def _whole(value: Any) -> Any:
    """A number without fraction as a whole one; others as they are, for the config to refuse."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
