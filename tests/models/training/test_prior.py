"""models/training/prior*.py: rays come from where they say, samples surround the surface, pictures are placed, a few steps learn."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from portrait_diffusion.models.camera import orbit, project, rays
from portrait_diffusion.models.field.triplane import FieldConfig
from portrait_diffusion.models.prior.discriminator import Discriminator, DiscriminatorConfig
from portrait_diffusion.models.prior.embedded import embedded_config
from portrait_diffusion.models.prior.panohead import PanoHeadGenerator
from portrait_diffusion.models.synthetic.codes import CODE_DIM
from portrait_diffusion.models.synthetic.renders import Renders, render_seed, view_angles
from portrait_diffusion.models.training.prior import (
    PriorRun,
    PriorTraining,
    begin_plain,
    critic_loss,
    planes_of,
    step_rate,
    validate,
)
from portrait_diffusion.models.training.prior_pictures import draw_pictures, raw_features, super_resolved
from portrait_diffusion.models.training.prior_rays import (
    GuidedSampling,
    RayBatch,
    draw_rays,
    guided_samples,
    print_behind,
    reach_out,
    relief_loss,
    surface_normals,
)

FIELD = FieldConfig(
    box_side=0.84,
    channels=4,
    depth=2,
    resolution=32,
    hidden=16,
    features=4,
    density_shift=-4.0,
    density_scale=100.0,
)
CONFIG = replace(
    embedded_config(),
    w_dim=16,
    channel_base=512,
    channel_max=16,
    base_resolution=16,
    mean_resolution=16,
    field=FIELD,
    raw_resolution=32,
    sr_resolution=32,
    sr_channels=(8, 8),
)
CRITIC = DiscriminatorConfig(resolution=64, raw_resolution=32, widths=(8, 8, 8), embedding=8)


@pytest.fixture(scope="module")
def renders():
    heads = [render_seed(seed, 3, 64) for seed in (1, 2)]
    return Renders(**{key: torch.stack([head[key] for head in heads]) for key in heads[0]})


def networks():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PanoHeadGenerator(CONFIG), Discriminator(CRITIC)


@pytest.mark.whole
def test_validation_is_of_whole_pictures(renders):
    figures = validate(networks()[0], renders, 2, "cpu")
    assert set(figures) == {"front_psnr_db", "all_psnr_db"} and all(
        0 < value < 30 for value in figures.values()
    )


def test_views_start_in_front_and_stay_where_they_should():
    yaw, pitch = view_angles(5, 8)
    assert yaw[0] == pitch[0] == 0
    assert (yaw[:4].abs() <= math.pi / 3).all() and yaw.abs().max() <= math.pi
    assert (view_angles(5, 8, faces=True)[0].abs() <= math.pi / 3).all()


def test_drawn_rays_hit_the_surface_that_their_pixel_shows(renders):
    batch = draw_rays(renders, torch.tensor([0, 1]), 2, 60, torch.Generator().manual_seed(0), "cpu")
    hit = batch.mask[0] > 0.5
    assert hit.float().mean() > 0.6  # mostly inside the silhouette
    points = batch.origins[0] + batch.directions[0] * batch.distance[0, :, None]
    assert (points[hit].abs() < 0.42).all()
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
    batch = draw_rays(renders, torch.tensor([0, 1]), 2, 60, draws, "cpu")
    t = guided_samples(batch, GuidedSampling(), 0.84, draws)
    assert t.shape[-1] == 15 and (t.diff(dim=-1) >= 0).all()
    hit = batch.mask > 0.5
    assert (t[hit][:, 0] < batch.distance[hit]).all() and (t[hit][:, -1] > batch.distance[hit]).all()


def test_pictures_agree_with_their_rays(renders):
    generator, _ = networks()
    real = draw_pictures(renders, torch.tensor([1, 0]), generator, torch.Generator().manual_seed(3), "cpu")
    assert (
        real.image.shape == (2, 3, 64, 64)
        and real.raw.shape == (2, 3, 32, 32)
        and real.label.shape == (2, 25)
    )
    torch.testing.assert_close(F.interpolate(real.image, size=(32, 32), mode="area"), real.raw)
    hit = real.rays.mask > 0.5
    points = real.rays.origins + real.rays.directions * real.rays.distance[..., None]
    assert (points[hit].abs() < 0.42).all()
    ws, planes = planes_of(
        generator, F.normalize(torch.randn(2, CODE_DIM, generator=torch.Generator().manual_seed(0))), None
    )
    features = raw_features(generator, planes, ws, real, GuidedSampling(), torch.Generator().manual_seed(0))
    fake = super_resolved(generator, features, ws, real.label)
    assert fake.image.shape == real.image.shape and fake.raw.shape == real.raw.shape
    larger = real.rays.mask.sum(
        1
    ).argmax()  # the other picture's rays are padded with some of its background's
    far = ~(F.max_pool2d(real.rays.mask.view(2, 1, 32, 32), 9, 1, 4) > 0).expand(-1, 3, -1, -1)[larger]
    assert (fake.raw[larger][far] == 1).float().mean() > 0.95  # white where there is nothing


def test_the_gradient_penalty_is_that_of_the_real_pictures(renders):
    generator, critic = networks()
    real = draw_pictures(renders, torch.tensor([1, 0]), generator, torch.Generator().manual_seed(3), "cpu")
    free, bound = critic_loss(critic, real, real, 0.0), critic_loss(critic, real, real, 2.0)
    image, raw = real.image.clone().requires_grad_(), real.raw.clone().requires_grad_()
    slopes = torch.autograd.grad(critic(image, raw, real.label).sum(), (image, raw))
    assert (bound - free).item() == pytest.approx(sum(s.square().sum().item() / 2 for s in slopes), rel=1e-3)


@pytest.mark.whole
def test_a_few_steps_of_every_share_learn(renders):
    generator, critic = networks()
    run = PriorRun(
        renders, PriorTraining(heads=2, views=2, rays=64, warm_up=1), torch.device("cpu"), generator, critic
    )
    early = [run.step(0.1)["distance"] for _ in range(80)]
    assert sum(early[-5:]) < 0.9 * sum(early[:5])
    before = [p.clone() for p in critic.parameters()]
    losses = [run.step(0.9) for _ in range(6)]
    assert any("picture_adversary" in step for step in losses) and all(
        math.isfinite(v) for step in losses for v in step.values()
    )
    assert any(not torch.equal(a, b) for a, b in zip(before, critic.parameters(), strict=True))


def test_the_rate_warms_up_and_falls():
    rates = [step_rate(step, step / 1000, 200) for step in range(1001)]
    assert rates[0] < 0.01 and max(rates) == 1 and rates[-1] == pytest.approx(0.03)


def test_super_resolution_begins_as_a_plain_enlargement():
    generator, _ = networks()
    begin_plain(generator)
    draws = torch.Generator().manual_seed(0)
    rgb = F.interpolate(torch.rand(1, 3, 6, 6, generator=draws), (32, 32), mode="bicubic")
    features = torch.rand(1, 4, 32, 32, generator=draws)
    ws = generator.mapping(torch.randn(1, CODE_DIM, generator=torch.Generator().manual_seed(0)))
    image = generator.super_resolve(rgb, features, ws)
    assert (F.interpolate(rgb, (64, 64), mode="bilinear") - image).abs()[..., 4:-4, 4:-4].mean() < 0.05


def test_rays_that_just_miss_a_head_are_told_where_it_passes():
    mask = torch.zeros(2, 15, 15)
    mask[:, 6:9, 6:9] = 1
    distance = torch.where(mask > 0.5, 2.5, 0.0)
    distance[1, 6, 6] = 2.4
    told = reach_out(distance, mask, 2)
    assert torch.equal(told[mask > 0.5], distance[mask > 0.5])
    assert (
        told[0, 4, 4] == 2.5
        and told[1, 4, 4] == pytest.approx(2.4)
        and told[0, 3, 7] == 0
        and (told > 0).sum() == 2 * 49
    )


def test_a_fat_shell_costs_a_ray_that_just_misses_the_head():
    """Samples fall where the limb passes, so matter there is seen however thin it is."""
    origins, directions = (
        torch.tensor([[[0.0, 0, 2.7]]]).expand(1, 64, 3),
        torch.tensor([[[0.0, 0, -1]]]).expand(1, 64, 3),
    )
    empty = torch.zeros(1, 64)
    near, far = (RayBatch(origins, directions, torch.ones(1, 64, 3), empty, empty + d) for d in (2.6, 0.0))
    close, wide = (
        guided_samples(batch, GuidedSampling(), 0.84, torch.Generator().manual_seed(0))
        for batch in (near, far)
    )
    inside = [((t > 2.58) & (t < 2.7)).sum(-1).float().mean() for t in (close, wide)]
    assert inside[0] > 7 and inside[1] < 4 and (close.diff(dim=-1) >= 0).all()


def test_surface_normals_of_a_sphere_point_outwards():
    camera = orbit(torch.tensor(0.7), torch.tensor(0.3))
    origins, directions = rays(camera, 96, 96)
    along, radius = -(origins * directions).sum(-1), 0.25
    hit = radius**2 - (origins.square().sum(-1) - along**2)
    mask, points = (hit > 0).float(), origins + directions * (along - hit.clamp(min=0).sqrt())[..., None]
    normal = surface_normals(points[None], directions[None], mask[None])[0]
    known = normal.square().sum(-1) > 0
    assert 0.8 * mask.sum() < known.sum() < mask.sum()
    assert ((normal * F.normalize(points, dim=-1)).sum(-1)[known] > 0.98).all()


def test_relief_costs_what_the_slope_turns_from_the_normal():
    class Cone:
        """Density falls evenly away from the origin."""

        def raw(self, points):
            return -points.norm(dim=-1), None

    origins = torch.tensor([0.0, 0, 2.7]).expand(1, 4, 3)
    directions = F.normalize(
        torch.tensor([[[0.0, 0, -1], [0.03, 0, -1], [0, 0.03, -1], [0.02, 0.02, -1]]]), dim=-1
    )
    distance, mask = torch.full((1, 4), 2.4), torch.ones(1, 4)
    outwards = F.normalize(origins + directions * distance[..., None], dim=-1)
    batch, draws = (
        RayBatch(origins, directions, torch.ones(1, 4, 3), mask, distance, outwards),
        torch.Generator(),
    )
    assert relief_loss(Cone(), batch, 1.0, draws) < 1e-3
    assert relief_loss(Cone(), replace(batch, normal=-outwards), 1.0, draws) == pytest.approx(2, abs=1e-3)
    unknown = replace(batch, normal=-outwards * torch.tensor([0.0, 0, 0, 0])[:, None])
    assert relief_loss(Cone(), unknown, 1.0, draws) == 0


def test_a_print_of_the_face_behind_is_what_both_surfaces_are_told():
    config = FieldConfig(channels=2, depth=2, resolution=64, box_side=0.84)
    draws = torch.Generator().manual_seed(0)
    front, back = torch.randn(2, 1, 1, 2, 64, 64, generator=draws)
    near, far = config.slice_weights(
        torch.tensor([0.1, -0.1])
    )  # of the back's slice, and of the front's: [face, behind]

    def planes(at_face, behind):  # [1, 3, 2, D, 64, 64] that give the two surfaces these features
        shares = torch.stack([near, far], 1)
        slices = torch.linalg.solve(shares, torch.stack([at_face, behind]).flatten(1)).view(
            2, 1, 1, 2, 64, 64
        )
        return slices.movedim(0, 3).expand(-1, 3, -1, -1, -1, -1)

    same = print_behind(planes(front, front), config).item()
    apart = print_behind(planes(front, back), config)
    faint = print_behind(planes(front, 0.03 * front), config)
    assert same > 0.95 and apart < 0.05 and faint < 0.1
    assert print_behind(planes(front, -front), config) == pytest.approx(same)
    assert print_behind(planes(front, front + 5.0), config) == pytest.approx(
        same, abs=1e-4
    )  # shades are no face
    assert print_behind(planes(front, back)[..., 0, :, :], replace(config, depth=0)) == 0
    leaking = planes(front, back + 0.5 * front).clone().requires_grad_()
    before = print_behind(leaking, config)
    before.backward()
    assert print_behind(leaking.detach() - 20 * leaking.grad, config) < before
