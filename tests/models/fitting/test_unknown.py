"""What a photo does not tell moves nothing, and a portrait that tells all is fitted as it always was."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.fitting.completion import code_of, completed, first_guess
from portrait_diffusion.models.fitting.inversion import InversionConfig, first_styles, invert
from portrait_diffusion.models.fitting.photo_losses import (
    crop_loss,
    held_surface,
    photo_target,
    picture_target,
    ray_loss,
)
from portrait_diffusion.models.head import load_head, save_head
from torch.testing import assert_close

from .. import small

pytestmark = pytest.mark.usefixtures("coarse_surveys")

SAMPLING = RenderConfig(coarse=8, fine=8, white_back=True)
STEPS = InversionConfig(
    latent_steps=3,
    tuning_steps=3,
    detail_steps=3,
    sweep_steps=3,
    size=32,
    rays=64,
    coarse=8,
    fine=8,
    crop_every=2,
    crop=16,
)


def top(size=32, rows=14):
    """[1, size, size]: 1 in the upper rows."""
    return (torch.arange(size)[:, None] < rows).float().expand(size, size)[None].clone()


def test_no_unknown_pixel_is_drawn():
    reference = replace(small.portrait(), unknown=top())
    target = photo_target(reference, 32)
    assert float(target.weight.view(32, 32)[:14].max()) == 0 < float(target.weight.view(32, 32)[14:].min())
    told = photo_target(small.portrait(), 32).weight.view(32, 32)[14:]
    assert torch.equal(target.weight.view(32, 32)[14:], told)


def test_what_the_photo_shows_where_it_is_unknown_does_not_matter():
    """Neither to the rays nor to the picture, nor to their gradients."""
    net, unknown = small.generator(), top()
    spoilt = small.portrait()
    spoilt = replace(spoilt, image=torch.where(unknown > 0, 0.123, spoilt.image), unknown=unknown)
    plain = replace(small.portrait(), unknown=unknown)
    latents = net.mapping(torch.randn(1, 6, generator=torch.Generator().manual_seed(0)))
    gradients = []
    for reference in (plain, spoilt):
        planes = net.planes(latents).requires_grad_()
        field = net.field(planes, latents)
        draws = torch.Generator().manual_seed(1)
        loss = ray_loss(field, photo_target(reference, 16), SAMPLING, 64, draws)
        picture = picture_target(reference, net)
        loss = loss + crop_loss(net, field, latents, picture, SAMPLING, 16, draws, None, 0.0)
        gradients.append(torch.autograd.grad(loss, planes)[0])
    # Super-resolved pixels and shrunk ones mix with neighbours a pixel beyond the border.
    assert_close(gradients[0], gradients[1], atol=2e-3 * float(gradients[0].abs().max()), rtol=0)


def test_rays_are_drawn_again_and_again_where_little_is_known():
    reference = replace(small.portrait(), unknown=top(rows=31))
    net = small.generator()
    latents = net.mapping(torch.zeros(1, 6) + 1)
    field = net.field(net.planes(latents), latents)
    loss = ray_loss(field, photo_target(reference, 32), SAMPLING, 128, torch.Generator().manual_seed(0))
    assert bool(loss.isfinite())


def test_surface_behind_the_unknown_is_held():
    head = small.head()
    told, untold = (
        held_surface(head.field(), replace(small.portrait(), unknown=unknown), SAMPLING)
        for unknown in (None, torch.ones(1, 32, 32))
    )
    assert torch.equal(told.points, untold.points)
    if len(told.points):
        assert float(untold.colour.min()) == 1 == float(untold.shape.min())


def fitted(reference):
    return invert(
        small.generator(), small.encoder(), reference, STEPS, generator=torch.Generator().manual_seed(0)
    )


def test_nothing_unknown_is_bit_for_bit_as_without_a_mask():
    plain, zeros = fitted(small.portrait()), fitted(replace(small.portrait(), unknown=torch.zeros(1, 32, 32)))
    assert torch.equal(plain.planes, zeros.planes) and torch.equal(plain.latents, zeros.latents)


def test_the_encoder_sees_its_own_head_in_the_unknown():
    net, look = small.generator(), small.encoder()
    reference = replace(small.portrait(), unknown=top())
    spoilt = replace(reference, image=torch.where(reference.unknown > 0, 0.9, reference.image))
    assert torch.equal(code_of(net, look, reference), code_of(net, look, spoilt))
    whole = small.portrait()
    assert torch.equal(code_of(net, look, whole), look(whole.on_white()[None])[0])
    assert first_styles(net, look, reference, STEPS, torch.Generator().manual_seed(0))[0].shape[0] == 1


def test_the_first_guess_has_the_person_s_colour():
    reference = replace(small.portrait(64), unknown=top(64, 30))
    guess = first_guess(reference)
    inside = guess.amin(0) < 0.999
    colour = guess[:, inside].mean(1)
    near = (reference.mask[0] > 0.5) & (torch.arange(64)[:, None] < 34) & (reference.unknown[0] < 0.5)
    assert_close(colour, reference.image[:, near].mean(1), atol=0.05, rtol=0)
    with pytest.raises(ValueError, match="expected a portrait with something unknown"):
        first_guess(small.portrait())


def test_a_head_fills_its_own_portrait():
    head = small.head()
    assert completed(head) is head
    partial = replace(head, reference=replace(small.portrait(), unknown=top()))
    whole = completed(partial).reference
    view = head.render(whole.camera[None], 32, normals=False)
    assert_close(whole.image[:, :14], view.rgb[0, :, :14])
    assert torch.equal(whole.image[:, 14:], small.portrait().image[:, 14:])
    assert torch.equal(whole.mask[:, 14:], small.portrait().mask[:, 14:])


def test_a_saved_head_keeps_what_is_unknown_and_an_old_one_has_nothing(tmp_path):
    head = small.head()
    save_head(replace(head, reference=replace(small.portrait(), unknown=top())), tmp_path / "cut.safetensors")
    save_head(head, tmp_path / "whole.safetensors")
    assert torch.equal(load_head(tmp_path / "cut.safetensors").reference.unknown, top())
    assert load_head(tmp_path / "whole.safetensors").reference.unknown is None
