"""models/training/prior.py: rays come from where they say, samples surround the surface, a few steps learn."""

import math

import pytest
import torch
from portrait_diffusion.models.camera import orbit, project
from portrait_diffusion.models.field.triplane import FieldConfig, TriplaneField
from portrait_diffusion.models.prior.embedded import EmbeddedGenerator, GeneratorConfig
from portrait_diffusion.models.training.prior import PriorTraining, draw_rays, guided_edges, loss_terms, step_rate
from portrait_diffusion.models.training.renders import Renders, render_seed, view_angles

TRAINING = PriorTraining(heads=2, views=2, rays=50)


@pytest.fixture(scope="module")
def renders():
    heads = [render_seed(seed, 3, 32) for seed in (1, 2)]
    return Renders(**{key: torch.stack([head[key] for head in heads]) for key in heads[0]})


def test_views_start_in_front_and_half_of_them_stay_there():
    yaw, pitch = view_angles(5, 8)
    assert yaw[0] == pitch[0] == 0
    assert (yaw[:4].abs() <= math.pi / 3).all() and yaw.abs().max() <= math.pi


def test_drawn_rays_hit_the_surface_that_their_pixel_shows(renders):
    draws = torch.Generator().manual_seed(0)
    batch = draw_rays(renders, torch.tensor([0, 1]), TRAINING, draws, "cpu")
    hit = batch.mask[0] > 0.5
    assert hit.float().mean() > 0.6  # mostly inside the silhouette
    points = batch.origins[0] + batch.directions[0] * batch.distance[0, :, None]
    front = orbit(renders.yaw[0, :1], renders.pitch[0, :1])
    image, _ = project(front, points[hit][None])
    assert (points[hit].abs() < 0.5).all() and image.isfinite().all()
    S = renders.rgb.shape[-1]
    for view in range(3):  # rays of this view carry its pixels' colours
        camera = orbit(renders.yaw[0, view], renders.pitch[0, view])
        own = (batch.origins[0] - camera.position).norm(dim=-1) < 1e-4
        where, _ = project(camera, batch.origins[0] + batch.directions[0])
        column, row = (where[own] * S).floor().long().clamp(0, S - 1).unbind(-1)
        expected = renders.rgb[0, view][:, row, column].T.float() / 255
        assert torch.allclose(batch.rgb[0][own], expected, atol=1e-6)


def test_samples_surround_the_surface_in_order(renders):
    draws = torch.Generator().manual_seed(0)
    batch = draw_rays(renders, torch.tensor([0, 1]), TRAINING, draws, "cpu")
    edges = guided_edges(batch, TRAINING, 1.0, draws)
    assert (edges.diff(dim=-1) >= 0).all()
    hit = batch.mask > 0.5
    assert (edges[hit][:, 0] < batch.distance[hit]).all() and (edges[hit][:, -1] > batch.distance[hit]).all()


def test_a_few_steps_learn(renders):
    field = FieldConfig(channels=4, depth=2, resolution=32, hidden=16)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = EmbeddedGenerator(GeneratorConfig(z_dim=renders.parameters.shape[1], w_dim=16, channels=(16, 16, 16, 16), field=field))
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    draws, seen = torch.Generator().manual_seed(0), []
    for _ in range(60):
        batch = draw_rays(renders, torch.tensor([0, 1]), TRAINING, draws, "cpu")
        terms = loss_terms(TriplaneField(net(renders.parameters), net.decoder, field), batch, guided_edges(batch, TRAINING, 1.0, draws), torch.ones(3))
        loss = sum(terms.values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(loss.item())
    assert sum(seen[-5:]) < 0.6 * sum(seen[:5])


def test_the_rate_warms_up_and_falls():
    rates = [step_rate(step, step / 1000, PriorTraining()) for step in range(1001)]
    assert rates[0] < 0.01 * max(rates) and rates[-1] == pytest.approx(0.02 * PriorTraining().learning_rate)
