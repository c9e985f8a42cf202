"""models/diffusion/inpainting.py: a UNet of nine channels is told where a view is void, and what is around that."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.diffusion.autoencoder import encode
from portrait_diffusion.models.diffusion.denoiser import Conditioning, DiffusersDenoiser
from portrait_diffusion.models.diffusion.inpainting import all_void, around_void, inpaints, with_void
from portrait_diffusion.models.diffusion.new_views import NewViewConfig, new_view
from portrait_diffusion.models.diffusion.schedule import stable_diffusion_schedule
from torch.testing import assert_close

from . import tiny
from .test_new_views import SIZE, ball, model


class Listening(DiffusersDenoiser):
    """Remembers what it is told."""

    def __call__(self, z, t, conditioning):
        HEARD.append(conditioning)
        return super().__call__(z, t, conditioning)


HEARD: list[Conditioning] = []


def inpainting_model():
    unet = tiny.unet(in_channels=9)
    return replace(model(), denoiser=Listening(unet, stable_diffusion_schedule()))


def test_nine_channels_are_an_inpainting_model_s():
    schedule = stable_diffusion_schedule()
    kinds = [inpaints(DiffusersDenoiser(tiny.unet(in_channels=count), schedule)) for count in (4, 8, 9)]
    assert kinds == [False, False, True] and inpainting_model().inpaints and not model().inpaints


def test_the_void_is_grey_and_marked():
    vae, images = tiny.vae(), tiny.images(2)
    known = torch.zeros(2, 1, 16, 16)
    known[:, :, :, :8] = 1
    masked = around_void(vae, images, known)
    grey = images.clone()
    grey[:, :, :, 8:] = 0.5
    assert torch.equal(masked, encode(vae, grey))
    told = with_void(tiny.conditioning(1), known[:, :, ::2, ::2], masked)
    assert told.tokens.shape[0] == 2 and told.concat.shape == (2, 5, 8, 8)
    assert not told.concat[:, 0, :, :4].any() and (told.concat[:, 0, :, 4:] == 1).all()  # 1 is to be painted
    assert torch.equal(told.concat[:, 1:], masked)
    assert with_void(tiny.conditioning(2), known, None).concat is None


def test_of_a_render_everything_may_change():
    told = all_void(tiny.conditioning(3), tiny.vae(), 16)
    assert told.concat.shape == (3, 5, 8, 8) and (told.concat[:, 0] == 1).all()
    assert_close(told.concat[0, 1:], encode(tiny.vae(), torch.full((1, 3, 16, 16), 0.5))[0])


def test_a_new_view_s_void_is_told_with_and_without_prompt(monkeypatch):
    HEARD.clear()
    cameras = orbit(torch.tensor([0.0, 0.5]), torch.zeros(2))
    coarse = ball(None, cameras, SIZE)
    driver = coarse.driving(0, coarse.rgb[0])
    config = NewViewConfig(steps=2, guidance=2.0, strength=1.0)
    view = new_view(
        inpainting_model(), None, driver, coarse, 1, generator=torch.Generator().manual_seed(0), config=config
    )
    assert view.image.shape == (3, SIZE, SIZE) and len(HEARD) == 2
    cells = view.projected.known[None, :, ::2, ::2]
    for told in HEARD:
        assert told.concat.shape == (2, 5, SIZE // 2, SIZE // 2)
        assert torch.equal(told.concat[0], told.concat[1]) and torch.equal(1 - told.concat[:1, :1], cells)
    assert 0.05 < cells.mean() < 0.95


def test_what_is_missing_beside_is_named():
    unet = inpainting_model().denoiser
    with pytest.raises(ValueError, match="takes 9 channels, got 4 of latents and 0 beside"):
        unet(torch.zeros(1, 4, 8, 8), torch.tensor([3]), tiny.conditioning(1))
