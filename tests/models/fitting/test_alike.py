"""models/fitting/alike.py: styles move until their head looks like another from all sides, and an inversion begins there."""

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.fitting import alike
from portrait_diffusion.models.fitting.alike import styles_alike
from portrait_diffusion.models.fitting.inversion import InversionConfig, invert
from portrait_diffusion.models.head import Head

from ..small import generator, portrait

NOTHING_MORE = InversionConfig(
    latent_steps=0, tuning_steps=0, detail_steps=0, sweep_steps=0, size=16, rays=64, coarse=8, fine=4
)


@pytest.fixture(autouse=True)
def small_looks(monkeypatch):
    monkeypatch.setattr(alike, "SIZE", 24)
    monkeypatch.setattr(alike, "RAYS", 96)
    monkeypatch.setattr(alike, "STEPS", 30)
    monkeypatch.setattr(alike, "RENDER", RenderConfig(coarse=10, fine=6))


def draws():
    return torch.Generator().manual_seed(0)


def head_of(prior, styles):
    return Head(prior.planes(styles).detach(), prior.decoder, prior.config.field)


def back_error(prior, styles, head):
    camera = orbit(torch.tensor([2.5]), torch.tensor([0.0]))
    own, other = (x.render(camera, 24, normals=False).rgb for x in (head_of(prior, styles), head))
    return (own - other).abs().mean().item()


def two(prior):
    z = torch.randn(2, prior.config.z_dim, generator=draws())
    styles = prior.mapping(z).detach() * torch.tensor([1.0, 8.0])[:, None, None]  # heads that differ
    return styles[:1], styles[1:]


def test_a_head_is_met_from_behind_too_and_the_prior_stays():
    prior = generator()
    start, other = two(prior)
    head = head_of(prior, other)
    before = {key: value.clone() for key, value in prior.state_dict().items()}
    found = styles_alike(prior, start, head, draws())
    assert found.shape == start.shape
    assert back_error(prior, found, head) < 0.7 * back_error(prior, start, head)
    assert torch.equal(found, styles_alike(prior, start, head, draws()))
    assert all(torch.equal(value, before[key]) for key, value in prior.state_dict().items())


def test_an_inversion_begins_there():
    prior = generator()
    start, other = two(prior)
    head = head_of(prior, other)
    began = invert(prior, None, portrait(), NOTHING_MORE, generator=draws(), begin=head)
    alone = invert(prior, None, portrait(), NOTHING_MORE, generator=draws())
    assert back_error(prior, began.latents, head) < back_error(prior, alone.latents, head)


def test_a_head_of_numbers_that_are_none_is_told():
    prior = generator()
    start, other = two(prior)
    head = head_of(prior, other)
    head.planes[...] = float("nan")
    with pytest.raises(ValueError, match="head to begin with of finite numbers"):
        styles_alike(prior, start, head, draws())


def test_it_is_told_and_stops_at_once():
    prior = generator()
    start, other = two(prior)
    looks = []

    def stop(done: int) -> None:
        looks.append(done)
        if done == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        invert(
            prior,
            None,
            portrait(),
            NOTHING_MORE,
            generator=draws(),
            begin=head_of(prior, other),
            approach=stop,
        )
    assert looks == [1, 2]
