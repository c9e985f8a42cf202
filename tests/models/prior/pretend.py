"""Pretend snapshots: our generators pickled as NVIDIA's training pickles theirs, every object with a source that would betray itself if run."""

from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import torch
from portrait_diffusion.models.field.triplane import EG3D, OURS, FieldConfig
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.prior.contract import average_styles
from portrait_diffusion.models.prior.eg3d import Generator, GeneratorConfig
from portrait_diffusion.models.prior.panohead import PanoHeadGenerator
from portrait_diffusion.models.prior.spherehead import SphereHeadConfig, SphereHeadGenerator

PLANES = {"channels": 4, "resolution": 32, "hidden": 8, "features": 6, "surface_density": 9.0}
SIZES = {
    "z_dim": 16,
    "w_dim": 12,
    "channel_base": 256,
    "channel_max": 8,
    "render": RenderConfig(coarse=8, fine=8, near=2.25, far=3.3),
    "super_resolution": "2X",
    "sr_channels": (6, 4),
}
CONFIGS = {
    "eg3d": GeneratorConfig(
        **SIZES, field=FieldConfig(plane_axes=EG3D, depth=0, **PLANES), raw_resolution=128
    ),
    "panohead": GeneratorConfig(
        **SIZES,
        field=FieldConfig(plane_axes=OURS, depth=3, activation="none", crop=0.1, **PLANES),
        raw_resolution=64,
        background=True,
        raw_rgb=True,
        camera_offset=True,
    ),
    "spherehead": SphereHeadConfig(
        **SIZES,
        field=FieldConfig(depth=2, activation="none", crop=0.1, spheres=True, **PLANES),
        raw_resolution=64,
        background=True,
        raw_rgb=True,
        camera_offset=True,
        map_channels=10,
        mixed_channels=7,
    ),
}
KINDS = {"eg3d": Generator, "panohead": PanoHeadGenerator, "spherehead": SphereHeadGenerator}
MATRICES = {  # as the renderer keeps them: the last one tells the families apart
    "eg3d": [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 0, 1], [0, 1, 0]],
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
    ],
    "panohead": [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 0, 1], [0, 1, 0]],
        [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
    ],
}
MATRICES["spherehead"] = MATRICES["panohead"]
PLAIN = {  # class -> its module; not persistent in EG3D
    "OSGDecoder": "training.triplane",
    "ImportanceRenderer": "training.volumetric_rendering.renderer",
    "MipRayMarcher2": "training.volumetric_rendering.ray_marcher",
    "RaySampler": "training.volumetric_rendering.ray_sampler",
    "EasyDict": "dnnlib.util",
}
NAMES = {kind.__name__: "TriPlaneGenerator" for kind in KINDS.values()} | {
    "Backbone": "Generator",
    "Mix": "Conv2dLayer",
}


def _reconstruct_persistent_obj(meta):
    raise AssertionError("the pickle was run")


def foreign_modules() -> dict[str, ModuleType]:
    """Modules that pickle finds the names in while it writes."""
    modules: dict[str, ModuleType] = {}
    places = PLAIN | {"_reconstruct_persistent_obj": "torch_utils.persistence"}
    for name, place in places.items():
        for i in range(place.count(".") + 1):
            path = ".".join(place.split(".")[: i + 1])
            modules.setdefault(path, ModuleType(path))
        bases = (dict,) if name == "EasyDict" else ()
        setattr(modules[place], name, type(name, bases, {"__module__": place}))
    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    modules["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj
    return modules


class Persistent:
    """An object as NVIDIA's persistence writes it."""

    def __init__(self, name: str, state: dict, source: str) -> None:
        self.meta = {"type": "class", "version": 6, "module_src": source, "class_name": name, "state": state}

    def __reduce__(self):
        return _reconstruct_persistent_obj, (self.meta,)


class Writer:
    """Turns our modules into what the reference's would be pickled from.

    Args:
        marker: a file that the embedded source would write.
    """

    def __init__(self, family: str, marker: Path, modules: dict[str, ModuleType]) -> None:
        self.family, self.modules = family, modules
        self.source = f"open({str(marker)!r}, 'w').write('ran')\n# as long as theirs\n" + "x = 1\n" * 2000

    def plain(self, name: str, state: dict):
        """An object of a class without persistence, in EG3D; the others' have it."""
        if self.family != "eg3d" and name != "RaySampler":
            return Persistent(name, state, self.source)
        thing = getattr(self.modules[PLAIN[name]], name)()
        thing.__dict__.update(state)
        return thing

    def state(self, module: torch.nn.Module | None, **more) -> dict:
        """An object's dictionary, torch's bookkeeping among it."""
        blank = torch.nn.Module() if module is None else module
        own = {key: value for key, value in torch.nn.Module().__dict__.items() if key.startswith("_")}
        own |= {
            "training": False,
            "_parameters": dict(blank._parameters),
            "_buffers": dict(blank._buffers),
            "_modules": {name: self.object(part) for name, part in blank._modules.items()},
        }
        return own | more

    def object(self, module: torch.nn.Module | None):
        """One of our modules as one of theirs."""
        if module is None or isinstance(module, torch.nn.Softplus):
            return module
        if isinstance(module, torch.nn.Sequential):
            thing = torch.nn.Sequential()
            thing.__dict__.update(self.state(module))
            return thing
        if type(module).__name__ == "Decoder":
            return self.plain("OSGDecoder", self.state(module))
        name = type(module).__name__
        more = {"weight_gain": np.float64(0.125), "_init_args": (), "_init_kwargs": {}}
        if name == "Mix":  # a layer of theirs has a filter even where it resamples nothing
            more["_buffers"] = {"resample_filter": torch.ones(4, 4)}
        return Persistent(NAMES.get(name, name), self.state(module, **more), self.source)


def arguments(config: GeneratorConfig, family: str) -> tuple[dict, dict]:
    """`_init_kwargs` and `rendering_kwargs` of a config, numbers as they happen to be."""
    rendering = {
        "image_resolution": 128,
        "disparity_space_sampling": False,
        "clamp_mode": "softplus",
        "superresolution_module": f"training.superresolution.SuperresolutionHybrid{config.super_resolution}",
        "c_gen_conditioning_zero": config.conditioning_zero,
        "c_scale": config.c_scale,
        "superresolution_noise_mode": config.sr_noise_mode,
        "decoder_lr_mul": 1.0,
        "sr_antialias": config.sr_antialias,
        "depth_resolution": float(config.render.coarse),
        "depth_resolution_importance": config.render.fine,
        "ray_start": config.render.near,
        "ray_end": config.render.far,
        "box_warp": 1,
        "avg_camera_radius": 2.7,
        "avg_camera_pivot": [0, 0, 0.2],
    }
    if family != "eg3d":
        rendering |= {
            "decoder_activation": config.field.activation,
            "use_torgb_raw": config.raw_rgb,
            "use_background": config.background,
            "triplane_size": config.field.resolution,
            "triplane_depth": 3 if family == "spherehead" else config.field.depth,
        }
    made = {
        "z_dim": config.z_dim,
        "w_dim": config.w_dim,
        "c_dim": config.c_dim,
        "img_resolution": 128,
        "img_channels": 3,
        "mapping_kwargs": {"num_layers": config.mapping_layers},
        "channel_base": config.channel_base,
        "channel_max": config.channel_max,
        "fused_modconv_default": "inference_only",
        "num_fp16_res": 0,
        "conv_clamp": config.conv_clamp,
        "sr_num_fp16_res": 4 if config.sr_clamp else 0,
        "sr_kwargs": {"channel_base": 32768},
    }
    return made | {"rendering_kwargs": rendering}, rendering | {"density_noise": 0}


def network(generator: Generator, family: str, writer: Writer, **changes) -> Persistent:
    """G or G_ema; changes: entries of its state."""
    made, rendering = arguments(generator.config, family)
    easy = writer.modules["dnnlib.util"].EasyDict
    thing = writer.object(generator)
    state = thing.meta["state"]
    marcher = writer.plain("MipRayMarcher2", writer.state(None))
    state["_modules"]["renderer"] = writer.plain(
        "ImportanceRenderer",
        writer.state(None, plane_axes=torch.tensor(MATRICES[family], dtype=torch.float32))
        | {"_modules": {"ray_marcher": marcher}},
    )
    if family == "spherehead":  # colours of a parsing, which nobody needs
        parsing = torch.nn.Linear(6, 20).requires_grad_(False)
        state["_modules"]["toparsing"] = Persistent("ToRGBLayer", writer.state(parsing), writer.source)
    state["_modules"]["ray_sampler"] = writer.plain("RaySampler", writer.state(None))
    state["_buffers"] = {"dataset_label_std": torch.ones(25)}
    state |= {
        "_init_kwargs": easy(made),
        "rendering_kwargs": rendering,
        "neural_rendering_resolution": generator.config.raw_resolution,
        "_last_planes": None,
    }
    state |= changes
    return thing


def make(family: str, seed: int = 0) -> Generator:
    """A small generator of a family with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return KINDS[family](CONFIGS[family]).requires_grad_(False).eval()


@torch.no_grad()
def with_matter(generator: Generator) -> Generator:
    """The same, whose mean head is matter in a third of the middle of its box: random weights leave it all haze."""
    points = torch.rand(1, 4000, 3, generator=torch.Generator().manual_seed(0)) * 0.6 - 0.3
    layer, config = generator.decoder.net[2], generator.config.field

    def raw() -> torch.Tensor:
        return generator.field(generator.planes(average_styles(generator))).raw_density(points)

    scale = 20 / raw().std()
    layer.weight[0] *= scale
    layer.bias[0] *= scale
    layer.bias[0] += config.surface_density + 1 - raw().quantile(0.67)
    return generator


def write_snapshot(
    path: Path, generator: Generator, family: str, marker: Path, protocol: int = 4, **changes
) -> None:
    """A whole snapshot; the other networks have other weights."""
    modules = foreign_modules()
    writer = Writer(family, marker, modules)
    other = torch.nn.ModuleDict({"b4": torch.nn.ModuleDict({"fc": generator.backbone.mapping})})
    content = {
        "training_set_kwargs": {
            "class_name": "training.dataset.ImageFolderDataset",
            "xflip": True,
            "max_size": 10,
        },
        "G": network(copy.deepcopy(generator), family, writer),
        "D": Persistent("DualDiscriminator", writer.state(other), writer.source),
        "G_ema": network(generator, family, writer, **changes),
        "augment_pipe": None,
    }
    with mock.patch.dict(sys.modules, modules):
        path.write_bytes(pickle.dumps(content, protocol))
