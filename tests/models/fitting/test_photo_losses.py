"""models/fitting/photo_losses.py: pieces of a picture are pieces of the whole, and distances vanish where nothing differs."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import label_from_camera
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.fitting.perceptual import critic_distance
from portrait_diffusion.models.fitting.photo_losses import (
    crop_loss,
    field_drift,
    held_drift,
    held_surface,
    picture_target,
)
from portrait_diffusion.models.head import Head
from portrait_diffusion.models.prior.discriminator import Discriminator, DiscriminatorConfig

from ..field.test_occupancy import ball_field
from ..field.test_volume_rendering import RADIUS, Ball
from ..small import CONFIG, generator, portrait


def critic():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Discriminator(
            DiscriminatorConfig(resolution=32, raw_resolution=16, widths=(6, 6, 6), embedding=8)
        ).requires_grad_(False)


def test_the_target_has_the_generators_sizes_and_is_on_white():
    target = picture_target(portrait(), generator())
    assert (
        target.image.shape == (1, 3, 32, 32)
        and target.raw.shape == (1, 3, 16, 16)
        and target.origins.shape == (16, 16, 3)
    )
    assert (target.image[..., 0, 0] > 0.99).all() and target.image.min() >= -1


def test_a_heads_own_picture_is_no_distance_away():
    net, reference = generator(), portrait()
    latents = net.mapping(torch.randn(1, 6, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        own = net.synthesis(latents, label_from_camera(reference.camera)[None])
        blank = picture_target(reference, net)
        target = replace(blank, image=own.image, raw=own.image_raw, compared=torch.ones_like(blank.compared))

        def loss(of):
            field, eyes = net.field(net.planes(latents), latents), critic_distance(critic())
            return crop_loss(
                net, field, latents, of, net.config.render, 16, torch.Generator().manual_seed(0), eyes, 0.1
            )

        assert loss(target) < 0.1 * loss(blank)  # not 0: its rays' samples are jittered


SIZES = [
    {"raw_resolution": 16, "sr_resolution": 32},  # enlarged before
    {"raw_resolution": 24, "sr_resolution": 32},  # a raw pixel is no whole number of final ones
    {"raw_resolution": 20, "sr_resolution": 32},  # and no piece of them begins with both
    {"raw_resolution": 48, "sr_resolution": 32, "super_resolution": "4X"},  # larger than it works from
]


@pytest.mark.parametrize("white", [True, False])
@pytest.mark.parametrize("sizes", SIZES)
def test_pieces_fit_whatever_size_super_resolution_works_from(sizes, white):
    """A head's own picture over white, as it is rendered, is near; another is not."""
    config = replace(CONFIG, **sizes, render=replace(CONFIG.render, white_back=white))
    net, reference = generator(config=config), portrait()
    latents = net.mapping(torch.randn(1, 6, generator=torch.Generator().manual_seed(0)))
    planes, blank = net.planes(latents), picture_target(reference, net)
    own = Head(planes, net.decoder, config.field, reference, latents, net)
    image, raw = (
        own.render(reference.camera[None], size, normals=False).rgb * 2 - 1
        for size in (net.resolution, config.raw_resolution)
    )
    true = replace(blank, image=image, raw=raw)

    def loss(of):
        draws = torch.Generator().manual_seed(0)
        return crop_loss(
            net,
            net.field(planes, latents),
            latents,
            of,
            RenderConfig(coarse=24, fine=24),
            16,
            draws,
            None,
            0.1,
        )

    assert net.resolution == image.shape[-1] and loss(true) < 0.15 * loss(blank)


def test_a_whole_piece_is_the_whole():
    for sizes in SIZES:
        net = generator(config=replace(CONFIG, **sizes))
        R, ws = net.config.raw_resolution, torch.randn(1, 2, 8, generator=torch.Generator().manual_seed(0))
        features = torch.randn(1, 5, R, R, generator=torch.Generator().manual_seed(1))
        whole = net.super_resolve(features[:, :3], features, ws)
        assert whole.shape[-1] == net.resolution and torch.equal(
            net.super_resolve_piece(features[:, :3], features, ws), whole
        )


def test_the_critics_distance_sees_differences_and_refuses_wrong_sizes():
    distance, draws = critic_distance(critic()), torch.Generator().manual_seed(0)
    image, raw = torch.randn(1, 3, 32, 32, generator=draws), torch.randn(1, 3, 16, 16, generator=draws)
    assert distance((image, raw), (image, raw)) == 0
    assert distance((image + 0.1, raw), (image, raw)) < distance((image + 0.5, raw), (image, raw))
    piece = image[..., :16, 8:24], raw[..., :8, 4:12]
    assert distance(piece, piece) == 0
    with pytest.raises(ValueError, match="multiple of 4"):
        distance((image[..., :30, :30], raw), (image, raw))
    with pytest.raises(ValueError, match="32 pixels"):
        critic()(image[..., :16, :16], raw, torch.zeros(1, 25))


def test_what_is_held_is_the_back_within_the_silhouette_and_what_the_photo_grazes():
    sampling = RenderConfig(coarse=48, fine=48)
    held = held_surface(Ball(), portrait(56), sampling)
    points, back, seen = held.points, held.points[:, 2] < -0.1, held.points[:, 2] > 0.12
    assert (points.norm(dim=-1) - RADIUS).abs().max() < 0.015 and back.sum() > 100 and seen.sum() > 100
    within = points[:, :2].norm(dim=-1) < 0.15
    assert held.colour[back & within].all() and held.shape[back & within].all()
    assert (
        not held.colour[seen].any() and held.shape[seen].all()
    )  # what the photo sees well is its to paint, not to model
    rim = (points[:, 2] > 0) & (points[:, 2] < 0.05)
    assert held.colour[rim].mean() > 0.9 and held.shape[rim].mean() < 0.5
    half = replace(portrait(56), mask=portrait(56).mask * (torch.arange(56) < 28))
    other = held_surface(Ball(), half, sampling)
    right = other.points[:, 0] > 0.01
    assert (
        not other.shape[right].any() and other.shape[~right].any()
    )  # the photo's mask decides, not the field's outline


def test_nothing_has_drifted_from_itself():
    held, draws = (
        held_surface(Ball(), portrait(56), RenderConfig(coarse=48, fine=48)),
        torch.Generator().manual_seed(0),
    )
    field = ball_field(2)
    shape = replace(
        held, colour=torch.zeros_like(held.colour)
    )  # colours are held to what the photo carries there
    assert held_drift(field, field, shape, draws) == 0
    assert [x.item() for x in field_drift(field, field, draws)] == [0, 0]
    other = replace(field, planes=field.planes + 0.3)
    assert held_drift(other, field, held, draws) > 0.01 and field_drift(other, field, draws)[0] > 0.01
