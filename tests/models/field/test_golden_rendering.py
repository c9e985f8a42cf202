"""models/field/ against the reference's renderers and point queries."""

import torch
from portrait_diffusion.models.field.triplane import Decoder, TriplaneField, plane_features
from portrait_diffusion.models.field.volume_rendering import render_rays

from ...golden_fixtures import assert_near, each
from ..prior import family

TOLERANCE, DEPTH_TOLERANCE = 1e-4, 5e-4


def field_of(golden):
    """The fixture's field; its planes [B, 3, C, (D,) H, W] take gradients."""
    config, planes = golden.config, golden.given("planes")
    rendering, decoder = config["rendering_kwargs"], config["decoder"]
    crop = config.get("forward_kwargs", {}).get("triplane_crop")
    C = decoder["n_features"]
    field = family.field_config(
        config,
        rendering,
        resolution=planes.shape[-1],
        channels=C,
        features=decoder["decoder_output_dim"],
        crop=crop,
    )
    if field.depth:
        planes = planes.unflatten(2, (C, field.depth))
    net = Decoder(field).requires_grad_(False)
    net.load_state_dict(golden.state("decoder."))
    for layer in (net.net[0], net.net[2]):
        layer.rate = decoder["decoder_lr_mul"]
    return TriplaneField(planes.requires_grad_(), net, field)


def run(golden, field):
    """What the reference calls rgb (EG3D's is -1 .. 1), depth and weights_sum."""
    config = golden.config
    origins = golden.given("ray_origins")
    sampling = family.render_config(config["rendering_kwargs"], config.get("forward_kwargs"))
    draws = None if config["rand_mode"] == "det" else family.draws(golden, len(origins))
    seen = render_rays(field, origins, golden.given("ray_directions"), sampling, draws=draws)
    rgb = seen.features if config["family"] == "panohead" else seen.features * 2 - 1
    return rgb, seen.depth[..., None], seen.opacity[..., None]


@each("*_renderer_*")
def test_rays_gradients_and_points(golden):
    field = field_of(golden)
    rgb, depth, weights = run(golden, field)
    assert_near(rgb, golden.wanted("rgb"), TOLERANCE, "rgb")
    assert_near(weights, golden.wanted("weights_sum"), TOLERANCE, "weights_sum")
    assert_near(depth, golden.wanted("depth"), DEPTH_TOLERANCE, "depth")
    if golden.has("out/grad_planes"):
        loss = (rgb * golden.given("grad_rgb")).sum() + (weights * golden.given("grad_weights")).sum()
        if golden.has("in/grad_depth"):
            loss = loss + (depth * golden.given("grad_depth")).sum()
        loss.backward()
        wanted = golden.wanted("grad_planes")
        assert_near(field.planes.grad.view(wanted.shape), wanted, TOLERANCE, "grad_planes")
    if golden.has("in/points"):
        check_points(golden, field)


@torch.no_grad()
def check_points(golden, field):
    """Densities, features and each plane's own at world points."""
    points = golden.given("points")
    raw, features = field.raw(points)
    assert_near(raw[..., None], golden.wanted("points_sigma"), TOLERANCE, "points_sigma")
    assert_near(features, golden.wanted("points_rgb"), TOLERANCE, "points_rgb")
    wanted = golden.wanted("points_plane_features")
    planes = torch.stack(plane_features(field.planes, points[:, : wanted.shape[2]], field.config), 1).mT
    assert_near(planes, wanted, TOLERANCE, "points_plane_features")
