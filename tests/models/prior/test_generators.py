"""models/prior/eg3d.py, panohead.py and embedded.py: documented keys and shapes, invariants of whole generators."""

from dataclasses import asdict, replace

import pytest
import torch
from portrait_diffusion.models.camera import label_from_camera, orbit
from portrait_diffusion.models.field.volume_rendering import RenderConfig, draw
from portrait_diffusion.models.prior.eg3d import Generator
from portrait_diffusion.models.prior.embedded import embedded_config
from portrait_diffusion.models.prior.families import generator_from
from torch.testing import assert_close

from .. import small


def test_the_embedded_prior_survives_json():
    config = embedded_config()
    net = generator_from(asdict(config))
    assert net.config == config and net.resolution == 2 * config.raw_resolution
    assert net.num_ws == 2 * len(net.backbone.synthesis.resolutions) and not any(
        p.requires_grad for p in net.parameters()
    )
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
        net.synthesis(
            ws, label(0.1), draws=draw(like, net.config.render, torch.Generator().manual_seed(s))
        ).image_raw
        for s in (1, 1, 2)
    )
    assert torch.equal(a, b) and not torch.equal(a, c)


@torch.no_grad()
def test_a_background_is_seen_only_through_the_head():
    net = small.generator(
        config=replace(small.CONFIG, background=True, render=RenderConfig(coarse=8, fine=8))
    )
    ws = net.mapping(torch.randn(2, 6, generator=torch.Generator().manual_seed(1)))
    own, other = net.synthesis(ws[:1], label(0.0)), net.synthesis(ws[:1], label(0.0), ws_background=ws[1:])
    behind = [net.background(w) for w in (ws[:1], ws[1:])]
    assert_close(
        other.features - own.features, (1 - own.opacity) * (behind[1] - behind[0]), atol=1e-5, rtol=1e-4
    )
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
    unused = [
        key for key, p in net.named_parameters() if p.grad is None and not key.startswith("backbone.mapping.")
    ]
    assert all(
        "superresolution" in key and key.endswith("noise_strength") for key in unused
    )  # it has no noise


@torch.no_grad()
def test_half_weights_render_about_the_same():
    net = small.generator()
    ws = net.mapping(torch.randn(1, 6, generator=torch.Generator().manual_seed(1)))
    before = net.synthesis(ws, label(0.2)).image
    assert (net.half().synthesis(ws, label(0.2)).image - before).abs().max() < 0.03
