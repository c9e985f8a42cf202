"""models/prior/eg3d.py and panohead.py against the reference's generators and super-resolution modules."""

import pytest
import torch
from portrait_diffusion.models.camera import camera_from_label, rays
from portrait_diffusion.models.field.triplane import FieldConfig
from portrait_diffusion.models.field.volume_rendering import render_rays
from portrait_diffusion.models.prior.eg3d import GeneratorConfig, SuperResolution
from portrait_diffusion.models.prior.panohead import PanoHeadGenerator

from ...golden_fixtures import assert_near, each
from . import family

pytestmark = pytest.mark.whole  # minutes in all

TOLERANCE, DEPTH_TOLERANCE = 1e-4, 5e-4
GENERATORS = ("*_generator*", "*_full_*")


def check(golden, ours, prefix=""):
    """Every tensor of `ours` that the fixture has under its name."""
    for name, value in ours.items():
        if golden.has(f"out/{prefix}{name}"):
            tolerance = DEPTH_TOLERANCE if name == "image_depth" else TOLERANCE
            assert_near(value, golden.wanted(prefix + name), tolerance, prefix + name)


def shown(seen, config):
    """The pictures of a synthesis, under the fixtures' names."""
    stride, feature_stride = config["image_stride"], config["feature_stride"]
    statistics = torch.stack([seen.image.mean((2, 3)), seen.image.std((2, 3))], -1)
    named = {
        "image_raw": seen.image_raw,
        "image_depth": seen.depth,
        "weights_sum": seen.opacity.flatten(2).mT,
        "image_strided": seen.image[:, :, ::stride, ::stride],
        "image_mean_std": statistics,
        "feature_image_strided": seen.features[:, :, ::feature_stride, ::feature_stride],
    }
    return named if seen.mask is None else named | {"image_mask": seen.mask}


@each(*GENERATORS)
@torch.no_grad()
def test_generators(golden):
    config, net = golden.config, family.generator(golden)
    truncation = config["truncation_psi"], config["truncation_cutoff"]
    z, c, condition = golden.given("z"), golden.given("c"), golden.given("c_cond")
    draws = family.draws(golden, len(c))
    ws = net.mapping(z, condition, *truncation)
    assert_near(ws, golden.wanted("ws"), TOLERANCE, "ws")
    planes = net.planes(ws, config.get("noise_mode", "const"))
    flat, stride = planes.flatten(1, -3), config["plane_stride"]
    check(
        golden, {"planes_strided": flat[:, :, ::stride, ::stride], "planes_abs_mean": flat.abs().mean((2, 3))}
    )
    check(golden, shown(net.synthesis(ws, c, draws=draws, planes=planes), config))
    sigma, features = net.field(planes).raw(golden.given("points"))
    check(golden, {"points_sigma": sigma[..., None], "points_rgb": features})
    sigma, _ = net.sample(golden.given("points"), net.mapping(z, condition, *truncation))
    check(golden, {"sample_sigma": sigma[..., None]})
    if golden.has("out/planes_noise_none_strided"):
        stride = config["plane_none_stride"]
        check(
            golden,
            {"planes_noise_none_strided": net.planes(ws, "none").flatten(1, -3)[:, :, ::stride, ::stride]},
        )
    if isinstance(net, PanoHeadGenerator):
        check_what_panohead_adds(golden, net)


def check_what_panohead_adds(golden, net):
    """The camera's offset, the whole model, the background and its exchange."""
    config = golden.config
    truncation = config["truncation_psi"], config["truncation_cutoff"]
    z, c = golden.given("z"), golden.given("c")
    draws = family.draws(golden, len(c))
    check(golden, {"delta_c": net.offset(z, c, *truncation), "c_new": net.rendering_label(z, c, *truncation)})
    check(golden, shown(net(z, c, *truncation, draws=draws), config), "forward_")
    ws, other = (
        net.mapping(code, golden.given("c_cond"), *truncation) for code in (z, golden.given("z_bcg"))
    )
    check(golden, {"ws_bcg": other})
    origins, directions = (
        x.flatten(1, 2) for x in rays(camera_from_label(c), *[config["neural_rendering_resolution"]] * 2)
    )
    seen = render_rays(net.field(net.planes(ws)), origins, directions, net.config.render, draws=draws)
    check(golden, {"renderer_features_first8": seen.features[:, :64, :8]})
    if not net.config.background:
        return
    stride = config["background_stride"]
    check(golden, {"background_strided": net.background(ws)[:, :, ::stride, ::stride]})
    check(golden, {"background_strided": net.background(other)[:, :, ::stride, ::stride]}, "bcg_")
    if config["bcg_outputs"]:
        check(golden, shown(net.synthesis(ws, c, draws=draws, ws_background=other), config), "bcg_")


@each("*_sr_*")
@torch.no_grad()
def test_super_resolution(golden):
    config, kwargs = golden.config, golden.config["init_kwargs"]
    net = SuperResolution(
        GeneratorConfig(
            field=FieldConfig(features=kwargs["channels"]),
            w_dim=golden.given("ws").shape[-1],
            super_resolution=config["module"].removeprefix("Superresolution").removeprefix("Hybrid"),
            sr_antialias=kwargs.get("sr_antialias", False),
            sr_clamp=256.0 if kwargs["sr_num_fp16_res"] > 0 else None,
        )
    )
    net.load_state_dict(golden.state(config["key_prefix"]))
    assert net.input == config["input_resolution"] and net.resolution == kwargs["img_resolution"]
    x, stride = golden.given("x"), config["image_stride"]
    for mode in ("none", "const"):
        image = net(x[:, :3], x, golden.given("ws"), mode)
        for name, value in (
            (f"image_{mode}_strided", image[:, :, ::stride, ::stride]),
            (f"image_{mode}_corner", image),
        ):
            if golden.has(f"out/{name}"):
                wanted = golden.wanted(name)
                assert_near(value[..., : wanted.shape[-2], : wanted.shape[-1]], wanted, 1e-5, name)
