"""Keys, shapes and numbers of elements of the public checkpoints, on the meta device, and the configs of their arguments."""

import math
from dataclasses import fields, replace
from unittest import mock

import pytest
import torch
from portrait_diffusion.models.field.triplane import EG3D, OURS, FieldConfig
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.pickles.records import Record
from portrait_diffusion.models.pickles.tensors import Storage, StoredTensor
from portrait_diffusion.models.prior.config import GeneratorConfig
from portrait_diffusion.models.prior.eg3d import Generator, SuperResolution
from portrait_diffusion.models.prior.panohead import PanoHeadGenerator
from portrait_diffusion.models.prior.snapshots import Sizes
from portrait_diffusion.models.prior.spherehead import SphereHeadConfig, SphereHeadGenerator
from portrait_diffusion.models.prior.upscaling import UPSCALINGS

from ...golden_fixtures import each
from . import family

FFHQ = GeneratorConfig(
    field=FieldConfig(
        plane_axes=EG3D, channels=32, depth=0, resolution=256, hidden=64, features=32, surface_density=9.0
    ),
    render=RenderConfig(near=2.25, far=3.3),
)
EASY_KHAIR = replace(
    FFHQ,
    field=replace(FFHQ.field, plane_axes=OURS, depth=3, activation="none", crop=0.1),
    background=True,
    raw_rgb=True,
    camera_offset=True,
)


SPHERES = SphereHeadConfig(
    **{field.name: getattr(EASY_KHAIR, field.name) for field in fields(EASY_KHAIR)}
    | {"field": replace(EASY_KHAIR.field, depth=2, spheres=True)}
)


def shapes(net):
    return {key: list(value.shape) for key, value in net.state_dict().items()}


def on_meta(kind, config):
    with torch.device("meta"):
        return kind(config)


def channels(resolution, base=32768):
    return min(base // resolution, 512)


def synthesis_rows(prefix, top, outputs, base):
    """Names and shapes of the reference's synthesis network."""
    rows, r = {}, 4
    while r <= top:
        C = channels(r, base)
        convs = [("conv1", C)] if r == 4 else [("conv0", channels(r // 2, base)), ("conv1", C)]
        block = f"{prefix}.b{r}"
        rows |= {f"{block}.const": [C, 4, 4]} if r == 4 else {}
        rows |= {f"{block}.resample_filter": [4, 4]}
        for name, inputs in convs:
            rows |= conv_rows(f"{block}.{name}", inputs, C, r)
        rows |= torgb_rows(f"{block}.torgb", C, outputs)
        r *= 2
    return rows


def conv_rows(prefix, inputs, outputs, resolution):
    return {
        f"{prefix}.weight": [outputs, inputs, 3, 3],
        f"{prefix}.bias": [outputs],
        f"{prefix}.affine.weight": [inputs, 512],
        f"{prefix}.affine.bias": [inputs],
        f"{prefix}.noise_const": [resolution, resolution],
        f"{prefix}.noise_strength": [],
        f"{prefix}.resample_filter": [4, 4],
    }


def torgb_rows(prefix, inputs, outputs):
    return {
        f"{prefix}.weight": [outputs, inputs, 1, 1],
        f"{prefix}.bias": [outputs],
        f"{prefix}.affine.weight": [inputs, 512],
        f"{prefix}.affine.bias": [inputs],
    }


def linear_rows(prefix, inputs, outputs):
    return {f"{prefix}.weight": [outputs, inputs], f"{prefix}.bias": [outputs]}


def mapping_rows(prefix, w_dim):
    rows = linear_rows(f"{prefix}.embed", 25, w_dim) | linear_rows(f"{prefix}.fc0", 512 + w_dim, w_dim)
    return rows | linear_rows(f"{prefix}.fc1", w_dim, w_dim) | {f"{prefix}.w_avg": [w_dim]}


def family_rows(planes):
    """All rows that both families have; super-resolution 8XDC."""
    rows = mapping_rows("backbone.mapping", 512) | synthesis_rows("backbone.synthesis", 256, planes, 32768)
    rows |= linear_rows("decoder.net.0", 32, 64) | linear_rows("decoder.net.2", 64, 33)
    for i, (inputs, outputs, size) in enumerate([(32, 256, 256), (256, 128, 512)]):
        block = f"superresolution.block{i}"
        rows |= conv_rows(f"{block}.conv0", inputs, outputs, size) | conv_rows(
            f"{block}.conv1", outputs, outputs, size
        )
        rows |= torgb_rows(f"{block}.torgb", outputs, 3) | {f"{block}.resample_filter": [4, 4]}
    return rows


def panohead_rows():
    rows = family_rows(96 * 3) | torgb_rows("torgb", 32, 3) | synthesis_rows("bcg_synthesis", 128, 32, 16384)
    return rows | mapping_rows("t_mapping", 3)


def spherehead_rows():
    """A map of 512 channels, and two layers for each sphere's planes of it."""
    rows = panohead_rows() | synthesis_rows("backbone.synthesis", 256, 512, 32768)
    for name in ("ConvA", "ConvB"):
        rows |= {f"{name}.0.weight": [256, 512, 1, 1], f"{name}.1.weight": [96, 256, 1, 1]}
    return rows


FULL = {  # module, config, documented rows, tensors, elements
    "eg3d": (Generator, FFHQ, family_rows(96), 176, 31_493_160),
    "panohead": (PanoHeadGenerator, EASY_KHAIR, panohead_rows(), 295, 54_616_511),
    "spherehead": (SphereHeadGenerator, SPHERES, spherehead_rows(), 299, 55_588_831),
}


@pytest.mark.parametrize("name", FULL)
def test_the_full_sizes_have_the_documented_keys_and_shapes(name):
    kind, config, documented, tensors, elements = FULL[name]
    ours = shapes(on_meta(kind, config))
    assert ours == documented
    assert len(ours) == tensors and sum(math.prod(shape) for shape in ours.values()) == elements


RENDERING = {  # as the training scripts write them; numbers as whole ones or not, names of modules under any package
    "image_resolution": 512,
    "disparity_space_sampling": False,
    "clamp_mode": "softplus",
    "superresolution_module": "any.package.training.superresolution.SuperresolutionHybrid8XDC",
    "c_gen_conditioning_zero": False,
    "c_scale": 1,
    "superresolution_noise_mode": "none",
    "density_reg": 0.25,
    "density_reg_p_dist": 0.004,
    "reg_type": "l1",
    "decoder_lr_mul": 1.0,
    "sr_antialias": True,
    "depth_resolution": 48.0,
    "depth_resolution_importance": 48,
    "ray_start": 2.25,
    "ray_end": 3.3,
    "box_warp": 1,
    "avg_camera_radius": 2.7,
    "avg_camera_pivot": [0, 0, 0.2],
}
AROUND = {
    "density_reg": 0,
    "decoder_activation": "none",
    "use_torgb_raw": True,
    "use_background": True,
    "triplane_size": 256,
    "triplane_depth": 3,
    "trans_reg": 10,
    "density_noise": 0,
}
ARGUMENTS = {
    "z_dim": 512,
    "w_dim": 512,
    "c_dim": 25,
    "img_resolution": 512,
    "img_channels": 3,
    "mapping_kwargs": {"num_layers": 2},
    "channel_base": 32768,
    "channel_max": 512,
    "fused_modconv_default": "inference_only",
    "num_fp16_res": 0,
    "conv_clamp": None,
    "sr_num_fp16_res": 4,
    "sr_kwargs": {"channel_base": 32768, "channel_max": 512, "fused_modconv_default": "inference_only"},
}


@pytest.mark.parametrize("name", FULL)
def test_the_published_arguments_are_those_sizes(name):
    _, config, documented, _, _ = FULL[name]
    tensors = {
        key: StoredTensor(Storage({}, key, torch.float32, math.prod(shape)), 0, tuple(shape), ())
        for key, shape in documented.items()
    }
    rendering = RENDERING | ({} if name == "eg3d" else AROUND)
    state = {"_init_kwargs": ARGUMENTS, "rendering_kwargs": rendering, "neural_rendering_resolution": 64}
    sizes = Sizes(mock.Mock(), Record("TriPlaneGenerator", state=state), tensors)
    assert sizes.family == name and sizes.generator() == config


@each("*_full_*")
def test_the_full_fixtures_have_our_keys_and_shapes(golden):
    with torch.device("meta"):
        ours = shapes(family.build(golden.config))
    theirs = {
        key: list(shape) for key, shape in golden.config["state_shapes"].items() if key != "dataset_label_std"
    }
    assert ours == theirs


@pytest.mark.parametrize("name", UPSCALINGS)
def test_super_resolution_has_its_documented_sizes(name):
    net = on_meta(SuperResolution, replace(FFHQ, super_resolution=name))
    input_size, widths, output = {
        "8XDC": (128, (256, 128), 512),
        "8X": (128, (128, 64), 512),
        "4X": (128, (128, 64), 256),
        "Deepfp32": (128, (128, 64), 256),
        "2X": (64, (128, 64), 128),
    }[name]
    assert (net.input, net.resolution) == (input_size, output)
    ours = shapes(net)
    assert [ours[f"block{i}.conv1.weight"][0] for i in (0, 1)] == list(widths)
    assert ours["block1.conv1.noise_const"] == [output, output]
    assert ("resample_filter" in ours) == (name != "8XDC")
