"""models/portrait.py: the mesh keeps to the head's own box and to the floor, the sheet shows the field, the user's VGG16 goes first."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from portrait_diffusion.models.fitting.perceptual import eyes_for
from portrait_diffusion.models.metrics.vgg import VGG16
from portrait_diffusion.models.portrait import (
    DELIVERED,
    FLOOR,
    MeshConfig,
    Weights,
    contact_sheet,
    eight_views,
    head_to_mesh,
)
from portrait_diffusion.models.prior.discriminator import Discriminator, DiscriminatorConfig

from . import small


def pillar(box_side):
    """Stands for a head: a column of radius 0.2 that runs through the whole box, and beyond it where somebody looks there."""

    def density(points):
        return 60 * torch.sigmoid(100 * (0.2 - points[..., ::2].norm(dim=-1)))

    def colour(points, normals):
        assert points.abs().max() <= box_side / 2 + 1e-6
        return torch.full_like(points, 0.5)

    config = SimpleNamespace(box_side=box_side, surface_density=30.0)
    return SimpleNamespace(
        field=lambda: SimpleNamespace(density=density), config=config, colour=colour, planes=torch.zeros(1)
    )


@pytest.mark.parametrize("box_side", [0.76, 1.0])
def test_a_mesh_ends_at_the_floor_and_at_the_box_of_its_head(box_side):
    shares = []
    mesh = head_to_mesh(pillar(box_side), MeshConfig(resolution=24, texture_size=0), callback=shares.append)
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    assert low[1].item() == pytest.approx(FLOOR, abs=1e-6)
    spacing = box_side / 24
    assert box_side / 2 - spacing < high[1].item() <= box_side / 2 + 1e-6
    torch.testing.assert_close(high[::2], torch.full((2,), 0.2), atol=2e-3, rtol=0)
    assert shares == sorted(shares) and mesh.vertex_colors is not None


def test_the_photo_joins_a_texture_where_it_is_asked_for_and_known():
    def textured(portrait, photo):
        column = pillar(0.76)
        column.reference = portrait
        config = MeshConfig(resolution=24, texture_size=64, photo=photo)
        return head_to_mesh(column, config).texture

    field = textured(None, False)
    assert torch.equal(textured(None, True), field)
    assert torch.equal(textured(small.portrait(), False), field)
    assert not torch.equal(textured(small.portrait(), True), field)
    assert DELIVERED.photo and DELIVERED.texture_size == 1024 and not MeshConfig().photo


def test_the_sheet_of_small_views_is_the_field_itself():
    head = small.head()
    size = head.generator.config.raw_resolution
    views = eight_views(head, size)
    assert views.rgb.shape == (8, 3, size, size) and contact_sheet(views).shape == (3, 2 * size, 8 * size)
    whole = eight_views(head, 2 * size)
    assert whole.rgb.shape == (8, 3, 2 * size, 2 * size)
    torch.testing.assert_close(
        torch.nn.functional.avg_pool2d(whole.opacity, 2), views.opacity, atol=0.2, rtol=0
    )


def test_inversions_hear_the_users_vgg_where_there_is_one():
    critic = Discriminator(DiscriminatorConfig(resolution=32, raw_resolution=16, widths=(6, 6, 6)))
    one, other = ((torch.full((1, 3, size, size), value) for size in (32, 16)) for value in (0.2, 0.4))
    pair = tuple(one), tuple(other)
    heard = []
    vgg = VGG16()
    vgg.register_forward_pre_hook(lambda *_: heard.append("vgg"))
    critic.from_rgb.register_forward_pre_hook(lambda *_: heard.append("critic"))
    prior = small.generator()  # of the critic's sizes
    for weights in (Weights(None, prior, None, critic), Weights(None, prior, None, critic, vgg)):
        weights.eyes().distance(*pair)
    assert heard == ["critic"] * 2 + ["vgg"] * 2
    assert Weights(None, prior, None, None).eyes().distance is None  # pixels alone
    plain = small.generator(config=replace(small.CONFIG, super_resolution="none"))  # has no pieces to compare
    assert (
        eyes_for(plain, critic, vgg).distance is None and "pixels alone" in eyes_for(plain, critic, vgg).name
    )
    larger = Discriminator(DiscriminatorConfig(resolution=64, raw_resolution=16, widths=(6, 6, 6)))
    assert (
        Weights(None, prior, None, larger).eyes().distance is None
        and "no discriminator" in Weights(None, prior, None, larger).eyes().name
    )
