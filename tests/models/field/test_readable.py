"""models/field/readable.py: the reference's fixtures, and that `volume_rendering` sees the same with the same draws."""

import pytest
import torch
from portrait_diffusion.models.camera import orbit, rays
from portrait_diffusion.models.field import readable, volume_rendering
from portrait_diffusion.models.field.readable import ReadableField
from portrait_diffusion.models.field.triplane import EG3D, OURS, Decoder, FieldConfig, TriplaneField
from portrait_diffusion.models.field.volume_rendering import RenderConfig, draw
from torch.testing import assert_close

from ...golden_fixtures import assert_near, each
from ..prior import family
from .test_golden_rendering import DEPTH_TOLERANCE, TOLERANCE, field_of


@each("*_renderer_*")
def test_rays_of_the_reference(golden):
    config, field = golden.config, field_of(golden)
    field = ReadableField(field.planes, field.decoder, field.config)
    origins = golden.given("ray_origins")
    sampling = family.render_config(config["rendering_kwargs"], config.get("forward_kwargs"))
    draws = None if config["rand_mode"] == "det" else family.draws(golden, len(origins))
    seen = readable.render_rays(field, origins, golden.given("ray_directions"), sampling, draws=draws)
    rgb = seen.features if config["family"] == "panohead" else seen.features * 2 - 1
    assert_near(rgb, golden.wanted("rgb"), TOLERANCE, "rgb")
    assert_near(seen.opacity[..., None], golden.wanted("weights_sum"), TOLERANCE, "weights_sum")
    assert_near(seen.depth[..., None], golden.wanted("depth"), DEPTH_TOLERANCE, "depth")
    if golden.has("out/grad_planes"):
        loss = (rgb * golden.given("grad_rgb")).sum() + (
            seen.opacity[..., None] * golden.given("grad_weights")
        ).sum()
        if golden.has("in/grad_depth"):
            loss = loss + (seen.depth[..., None] * golden.given("grad_depth")).sum()
        loss.backward()
        wanted = golden.wanted("grad_planes")
        assert_near(field.planes.grad.view(wanted.shape), wanted, TOLERANCE, "grad_planes")


@pytest.mark.parametrize("depth, axes", [(0, EG3D), (3, OURS)])
def test_the_fast_twin_sees_the_same_with_the_same_draws(depth, axes):
    generator = torch.Generator().manual_seed(depth)
    config = FieldConfig(depth=depth, plane_axes=axes, resolution=24, hidden=16, features=5)
    planes = torch.randn(1, *config.planes_shape, generator=generator, dtype=torch.float64).requires_grad_()
    decoder = Decoder(config).double()
    with torch.no_grad():
        for p in decoder.parameters():
            p.copy_(2 * torch.randn(p.shape, generator=generator, dtype=torch.float64))
    origins, directions = (x.reshape(1, -1, 3).double() for x in rays(orbit(0.4, 0.1), 12, 12))
    sampling = RenderConfig(coarse=12, fine=10, negligible=0.0)
    draws = draw(origins, sampling, generator)
    seen, gradients = [], []
    for twin, kind in ((readable, ReadableField), (volume_rendering, TriplaneField)):
        seen.append(
            twin.render_rays(kind(planes, decoder, config), origins, directions, sampling, draws=draws)
        )
        loss = seen[-1].features.square().sum() + seen[-1].opacity.sum() + seen[-1].depth.sum()
        gradients.append(torch.autograd.grad(loss, [planes, *decoder.parameters()]))
    for ours, theirs in zip(vars(seen[1]).values(), vars(seen[0]).values(), strict=True):
        assert_close(ours, theirs)
    for ours, theirs in zip(gradients[1], gradients[0], strict=True):
        assert_close(ours, theirs)
