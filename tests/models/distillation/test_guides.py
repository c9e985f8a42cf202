"""Which guides a restoration has: an inpainting base, a Zero-123 with latents of its own, and what the report says of them."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.diffusion.denoiser import DiffusersDenoiser
from portrait_diffusion.models.diffusion.embedded_zero123 import shipped_zero123
from portrait_diffusion.models.diffusion.new_views import embedded_model
from portrait_diffusion.models.diffusion.schedule import stable_diffusion_schedule
from portrait_diffusion.models.diffusion.usage import SD_1
from portrait_diffusion.models.diffusion.zero123 import (
    PublicZero123,
    ViewConditioning,
    known_picture,
    told_of,
)
from portrait_diffusion.models.distillation.refinement import Refinement
from portrait_diffusion.models.distillation.restoration import Guides, Restoration, RestorationConfig

from ..diffusion import tiny
from ..diffusion.test_inpainting import inpainting_model
from ..diffusion.test_new_views import model
from .test_refinement import CONFIG as REFINING
from .test_refinement import ball_head

CONFIG = RestorationConfig(steps=3, azimuths=2, size=32, seen=32, samples=8, rays=32)


def image_tower(pictures):
    """[B, 3, S, S] -> [B, 1, 12]: what stands in CLIP's place."""
    return torch.nn.functional.adaptive_avg_pool2d(pictures, 2).flatten(1)[:, None]


def public(stable=True, size=16) -> PublicZero123:
    network = DiffusersDenoiser(tiny.unet(seed=3, in_channels=8), stable_diffusion_schedule())
    projection = tiny.seeded(lambda: ViewConditioning(tiny.WIDTH), 4)
    return PublicZero123(
        name="Stable-Zero123" if stable else "Zero123-XL",
        network=network,
        image_tower=image_tower,
        projection=projection,
        vae=tiny.vae(5),
        stable=stable,
        size=size,
    )


def stepped(guides, config=CONFIG) -> Restoration:
    run = Restoration([ball_head()], guides, config, torch.Generator().manual_seed(0))
    run.step()
    return run


def test_a_zero123_of_its_own_latents_moves_the_head():
    """Beside another base at another size, and by its weight alone."""
    both, without = stepped(Guides(model(), public())), stepped(Guides(model()))
    alone = stepped(Guides(model(), public()), replace(CONFIG, text=0.0, reference=0.0, keep=0.0))
    nobody = stepped(Guides(model()), replace(CONFIG, text=0.0, reference=0.0, keep=0.0))
    first = [run.moments["shape.weight"][0] for run in (both, without, alone, nobody)]
    assert not torch.equal(first[0], first[1]) and first[2].any() and not first[3].any()
    latent = both.patients[0].picture.latent
    assert latent.shape == (1, 4, 8, 8)  # of 16 pixels, which it knows, not of 32
    assert alone.finite.skipped == 0


def test_the_fourth_number_is_of_its_kind():
    cameras = orbit(torch.tensor([0.4]), torch.tensor([0.3]), radius=3.0)
    reference = ball_head().reference
    image = reference.on_white()[:, :16, :16]
    tokens = {}
    for stable in (True, False):
        guide = public(stable)
        picture = known_picture(guide, guide.vae, image, reference.camera)
        told, nothing = told_of(guide, picture, cameras)
        assert not nothing.tokens.any() and not nothing.concat.any()
        vector = (
            told.tokens[0, 0] - picture.embedding[0, 0]
        )  # cc_projection begins as the identity on the embedding
        assert not vector.any()
        with torch.no_grad():
            guide.projection.cc_projection.weight[0, tiny.WIDTH + 3] = 1.0
        tokens[stable] = (told_of(guide, picture, cameras)[0].tokens - told.tokens)[0, 0, 0].item()
    assert tokens[True] == pytest.approx(
        torch.pi / 2, abs=1e-4
    )  # the photo's polar angle: it is from the front
    assert tokens[False] == pytest.approx(0.3, abs=1e-4)  # 3.0 - 2.7


def test_an_image_tower_of_another_width_is_named():
    guide = replace(public(), image_tower=lambda pictures: torch.zeros(len(pictures), 1, 7))
    with pytest.raises(
        ValueError, match="expected image embeddings of 12 numbers .* got 7; wire the CLIP_VISION"
    ):
        stepped(Guides(model(), guide))


def test_an_inpainting_base_restores_and_refines():
    base = inpainting_model()
    run = stepped(Guides(base), replace(CONFIG, picture=0.0))
    assert run.moments["shape.weight"][0].any() and run.finite.skipped == 0
    refining = replace(REFINING, guidance=2.0, denoising_steps=1)
    refinement = Refinement(ball_head(), base, None, refining, torch.Generator().manual_seed(0))
    report = refinement.iteration()
    assert report is not None and all(one.target is not None for one in report.states.values())


def test_the_report_says_which_guides_were_asked():
    wired = replace(model(), usage=SD_1)
    config = RestorationConfig().for_model(SD_1)
    alone, both = Guides(wired).report(config), Guides(wired, public(size=256)).report(config)
    assert "Stable Diffusion 1.x, weight 0.1, guidance 30, 512 pixels" in alone
    assert "by the photo: nothing; wire Load Zero-123" in alone
    assert "by the photo: Stable-Zero123, weight 0.1, guidance 1.5, 256 pixels" in both
    off = Guides(wired, public()).report(replace(config, picture=0.0, text=0.0))
    assert off.count("nothing, for its weight is 0") == 2
    embedded = Guides(embedded_model(), shipped_zero123()).report(RestorationConfig())
    assert (
        "the one that ships, weight 0.1, guidance 2.5, 256 pixels" in embedded
        and "the embedded Zero-123" in embedded
    )
