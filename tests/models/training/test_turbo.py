"""`train turbo`: its step learns, its ablations leave out what they say, its weights come back bound to their base."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.diffusion.embedded import (
    AutoencoderConfig,
    EmbeddedUNet,
    UNetConfig,
    autoencoder,
)
from portrait_diffusion.models.diffusion.schedule import stable_diffusion_schedule
from portrait_diffusion.models.diffusion.turbo import refine
from portrait_diffusion.models.diffusion.turbo_weights import load_turbo, refiner, save_turbo
from portrait_diffusion.models.metrics.perceptual import PerceptualConfig, PerceptualNetwork
from portrait_diffusion.models.prior.discriminator import Discriminator, DiscriminatorConfig
from portrait_diffusion.models.training.turbo import (
    ABLATIONS,
    Refining,
    TurboRun,
    TurboTraining,
    draw_batch,
    refine_piece,
    validate,
)
from portrait_diffusion.models.training.turbo_data import TurboData
from torch.testing import assert_close

CONFIG = TurboTraining(piece=32, rank=2, decoder_rank=2, rate=5e-3)
CPU = torch.device("cpu")


def parts(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base = EmbeddedUNet(
            UNetConfig(channels=(8, 16, 16), heads=(1, 2, 2), context=8, tokens=2),
            torch.Generator().manual_seed(seed),
        )
        vae = autoencoder(AutoencoderConfig(channels=(8, 8, 8, 8)))
        critic = Discriminator(
            DiscriminatorConfig(resolution=64, raw_resolution=32, widths=(6, 6, 6), embedding=8)
        )
    return base.requires_grad_(False), vae.requires_grad_(False), critic


def net(config=CONFIG):
    base, vae, critic = parts()
    return Refining(config, base, vae, critic, torch.Generator().manual_seed(0))


def data(heads=3):
    draws = torch.Generator().manual_seed(0)
    exact = torch.rand(heads, 3, 3, 4, 4, generator=draws).repeat_interleave(16, -1).repeat_interleave(16, -2)
    as_bytes = (exact * 255).to(torch.uint8)
    angles = torch.rand(heads, 3, generator=draws)
    return TurboData(as_bytes[:, 0], (as_bytes // 2), as_bytes, angles, angles / 4)


def training(config=CONFIG):
    eyes = PerceptualNetwork(PerceptualConfig(stem=4, channels=(6, 6, 6))).requires_grad_(False)
    return TurboRun(net(config), config, data(), data(), eyes, CPU)


@pytest.mark.whole
def test_a_few_steps_bring_the_views_nearer_to_the_truth():
    run = training(replace(CONFIG, adversary=0.0))
    before = validate(run.net, data(), CONFIG, run.eyes, CPU)
    for _ in range(40):
        run.step(0.5)
    after = validate(run.net, data(), CONFIG, run.eyes, CPU)
    assert after["refined_psnr_db"] > before["refined_psnr_db"] + 0.3
    assert after["renders_psnr_db"] == before["renders_psnr_db"]


def test_every_kind_of_step_gives_finite_losses():
    run = training(replace(CONFIG, pictures_every=2))
    terms = [run.step(progress) for progress in (0.1, 0.2, 0.6, 0.7)]
    assert (
        {"critic"} <= set(terms[0])
        and "adversary" not in terms[0]
        and "adversary" in terms[2]
        and "critic" not in terms[1]
    )
    assert all(torch.tensor(value).isfinite() for one in terms for value in one.values())


def test_only_the_reference_and_the_other_views_are_mixed_in():
    batch, full = draw_batch(data(), 2, 2, torch.Generator().manual_seed(1), CPU), net()
    other = replace(batch, reference=1 - batch.reference)
    r, noise = torch.zeros(2), torch.zeros(2, 2, 4, 8, 8)
    with torch.no_grad():
        mixed, mixed_other = (
            refine_piece(full, one, r, noise, True, (0, 0), 64)[0] for one in (batch, other)
        )
        alone, alone_other = (
            refine_piece(full, one, r, noise, False, (0, 0), 64)[0] for one in (batch, other)
        )
    assert (mixed - mixed_other).abs().max() > 1e-6
    assert_close(alone, alone_other)


def test_ablations_leave_out_one_thing_each():
    changed = {name: change(CONFIG) for name, change in ABLATIONS.items()}
    assert changed["baseline"] == CONFIG
    assert not changed["no-mixing"].mixing and changed["fixed-noise"].shares == (0.1,)
    assert changed["no-discriminator"].adversary == 0 and changed["no-pretraining"].pretraining == 0


def test_weights_come_back_and_are_bound_to_their_base(tmp_path):
    run = training()
    for _ in range(3):
        run.step(0.9)
    path, (base, vae, _) = tmp_path / "t.safetensors", parts()
    save_turbo(path, run.net.weights(), steps="3")
    turbo = refiner(load_turbo(path, base.unet, vae), base.unet, vae, stable_diffusion_schedule())
    batch = draw_batch(data(), 1, 2, torch.Generator().manual_seed(1), CPU)
    with torch.no_grad():
        ours = refine(
            turbo, batch.renders[0], batch.reference, generator=torch.Generator().manual_seed(0), r=0.0
        )
        trained, _ = refine_piece(
            run.net, batch, torch.zeros(1), torch.zeros(1, 2, 4, 8, 8), True, (0, 0), 64
        )
    assert_close(ours, (trained.clamp(-1, 1) + 1) / 2, atol=5e-3, rtol=0)  # half precision
    other, _, _ = parts(seed=1)
    with pytest.raises(ValueError, match="another base"):
        load_turbo(path, other.unet, vae)
