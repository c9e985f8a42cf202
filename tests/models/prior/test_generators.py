"""models/prior/eg3d.py, panohead.py and embedded.py: documented keys and shapes, invariants of whole generators."""

import math
from dataclasses import asdict, replace

import pytest
import torch
from portrait_diffusion.models.camera import label_from_camera, orbit
from portrait_diffusion.models.field.triplane import EG3D, FieldConfig
from portrait_diffusion.models.field.volume_rendering import RenderConfig, draw
from portrait_diffusion.models.prior.eg3d import UPSCALINGS, Generator, GeneratorConfig, SuperResolution
from portrait_diffusion.models.prior.embedded import embedded_config
from portrait_diffusion.models.prior.families import generator_from
from portrait_diffusion.models.prior.panohead import PanoHeadGenerator
from torch.testing import assert_close

from ...golden_fixtures import each
from .. import small
from . import family

FFHQ = GeneratorConfig(
    field=FieldConfig(plane_axes=EG3D, channels=32, depth=0, resolution=256, hidden=64, features=32),
    render=RenderConfig(near=2.25, far=3.3),
)
EASY_KHAIR = replace(
    FFHQ, field=replace(FFHQ.field, depth=3, activation="none", crop=0.1), background=True, raw_rgb=True, camera_offset=True
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
        rows |= conv_rows(f"{block}.conv0", inputs, outputs, size) | conv_rows(f"{block}.conv1", outputs, outputs, size)
        rows |= torgb_rows(f"{block}.torgb", outputs, 3) | {f"{block}.resample_filter": [4, 4]}
    return rows


def panohead_rows():
    rows = family_rows(96 * 3) | torgb_rows("torgb", 32, 3) | synthesis_rows("bcg_synthesis", 128, 32, 16384)
    return rows | mapping_rows("t_mapping", 3)


@pytest.mark.parametrize(
    ("kind", "config", "documented", "tensors", "elements"),
    [
        (Generator, FFHQ, family_rows(96), 176, 31_493_160),
        (PanoHeadGenerator, EASY_KHAIR, panohead_rows(), 295, 54_616_511),
    ],
)
def test_the_full_sizes_have_the_documented_keys_and_shapes(kind, config, documented, tensors, elements):
    ours = shapes(on_meta(kind, config))
    assert ours == documented
    assert len(ours) == tensors and sum(math.prod(shape) for shape in ours.values()) == elements


@each("*_full_*")
def test_the_full_fixtures_have_our_keys_and_shapes(golden):
    with torch.device("meta"):
        ours = shapes(family.build(golden.config))
    theirs = {key: list(shape) for key, shape in golden.config["state_shapes"].items() if key != "dataset_label_std"}
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


def test_the_embedded_prior_survives_json():
    config = embedded_config()
    net = generator_from(asdict(config))
    assert net.config == config and net.resolution == 2 * config.raw_resolution
    assert net.num_ws == 2 * len(net.backbone.synthesis.resolutions) and not any(p.requires_grad for p in net.parameters())
    with pytest.raises(ValueError, match="differs"):
        generator_from({"channels": [8, 8], "field": {}, "render": {}})
    with pytest.raises(ValueError, match="2X"):
        replace(config, super_resolution="3X")
    with pytest.raises(ValueError, match="mean_resolution"):
        small.generator(config=replace(small.CONFIG, mean_resolution=12))


def label(yaw, count=1):
    return label_from_camera(orbit(torch.full((count,), yaw), torch.zeros(count)))


@torch.no_grad()
def test_planes_fit_the_field_and_every_row_of_styles_matters():
    net = small.generator()
    ws = net.mapping(torch.randn(2, 6, generator=torch.Generator().manual_seed(1)))
    assert ws.shape == (2, net.num_ws, 8)
    planes = net.planes(ws)
    assert planes.shape == (2, *small.FIELD.planes_shape)
    moved = ws.clone()
    moved[0] += 1
    assert torch.equal(net.planes(moved)[1], planes[1]) and not torch.equal(net.planes(moved)[0], planes[0])


@torch.no_grad()
def test_a_mean_is_added_where_it_belongs_and_coarse_planes_are_where_fine_ones_come_from():
    net = small.generator()
    ws = net.mapping(torch.randn(1, 6, generator=torch.Generator().manual_seed(1)))
    before, coarse = net.planes(ws), net.planes(ws, stop=8)
    assert coarse.shape[-1] == 8
    net.mean_planes += 1
    assert_close(net.planes(ws, stop=8), coarse + 1)
    assert_close((net.planes(ws) - before)[..., 1:-1, 1:-1], torch.ones(1, 3, 4, 2, 14, 14))


@torch.no_grad()
def test_a_batch_is_its_heads_one_by_one():
    net, c = small.generator(), torch.cat([label(0.2), label(1.5)])
    ws = net.mapping(torch.randn(2, 6, generator=torch.Generator().manual_seed(1)))
    both = net.synthesis(ws, c)
    for i in range(2):
        alone = net.synthesis(ws[i : i + 1], c[i : i + 1])
        for name in ("image", "image_raw", "opacity", "features", "mask"):
            assert_close(getattr(both, name)[i : i + 1], getattr(alone, name), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_draws_repeat_with_their_generator():
    net = small.generator()
    ws = net.mapping(torch.randn(1, 6, generator=torch.Generator().manual_seed(1)))
    like = torch.zeros(1, 256, 3)
    a, b, c = (
        net.synthesis(ws, label(0.1), draws=draw(like, net.config.render, torch.Generator().manual_seed(s))).image_raw for s in (1, 1, 2)
    )
    assert torch.equal(a, b) and not torch.equal(a, c)


@torch.no_grad()
def test_a_background_is_seen_only_through_the_head():
    net = small.generator(config=replace(small.CONFIG, background=True, render=RenderConfig(coarse=8, fine=8)))
    ws = net.mapping(torch.randn(2, 6, generator=torch.Generator().manual_seed(1)))
    own, other = net.synthesis(ws[:1], label(0.0)), net.synthesis(ws[:1], label(0.0), ws_background=ws[1:])
    behind = [net.background(w) for w in (ws[:1], ws[1:])]
    assert_close(other.features - own.features, (1 - own.opacity) * (behind[1] - behind[0]), atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="draws no background"):
        Generator(small.CONFIG).synthesis(ws[:1], label(0.0), ws_background=ws[1:])


@torch.no_grad()
def test_the_whole_model_moves_its_camera_and_synthesis_does_not():
    net = small.generator(config=replace(small.CONFIG, camera_offset=True))
    z, c = torch.randn(1, 6, generator=torch.Generator().manual_seed(1)), label(0.3)
    moved = net.rendering_label(z, c)
    assert_close((moved - c)[:, [3, 7, 11]], net.offset(z))
    assert (moved != c).sum() == 3
    assert_close(net(z, c).image_raw, net.synthesis(net.mapping(z), moved).image_raw)


def test_an_image_has_gradients_in_styles_and_weights():
    net = small.generator().requires_grad_(True)
    ws = net.mapping(torch.randn(1, 6, generator=torch.Generator().manual_seed(1))).detach().requires_grad_()
    net.synthesis(ws, label(0.2)).image.square().sum().backward()
    assert ws.grad.abs().amax(-1).min() > 0
    unused = [key for key, p in net.named_parameters() if p.grad is None and not key.startswith("backbone.mapping.")]
    assert all("superresolution" in key and key.endswith("noise_strength") for key in unused)  # it has no noise


@torch.no_grad()
def test_half_weights_render_about_the_same():
    net = small.generator()
    ws = net.mapping(torch.randn(1, 6, generator=torch.Generator().manual_seed(1)))
    before = net.synthesis(ws, label(0.2)).image
    assert (net.half().synthesis(ws, label(0.2)).image - before).abs().max() < 0.03
