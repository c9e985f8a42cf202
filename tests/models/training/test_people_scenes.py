"""Factory 3's snapshots and the network that learns from them, on stand-ins for people that need no scans."""

import math

import pytest
import torch
from portrait_diffusion.models import checkpoint
from portrait_diffusion.models.photo.network import (
    AMONG_68,
    LANDMARKS,
    AlignmentConfig,
    AlignmentNetwork,
    alignment_network_from,
    six_of_68,
)
from portrait_diffusion.models.training.alignment_losses import loss_of, surface_loss
from portrait_diffusion.models.training.alignment_people import NO_FACES, ONLY_FACES, held_out_scenes
from portrait_diffusion.models.training.people_scenes import (
    PeopleStage,
    backdrops_of,
    draw_people_scenes,
    placement,
    warped,
    writing_of,
)
from portrait_diffusion.models.training.people_views import PeopleViews, first_people, view_angles
from portrait_diffusion.models.training.scenes import Dice, moved
from torch.testing import assert_close

SMALL = AlignmentConfig(size=64, channels=(4, 8, 8, 8), landmarks=68, points="68", surface=True)


@pytest.fixture(scope="module")
def stage():
    generator = torch.Generator().manual_seed(0)
    cover = torch.zeros(2, 4, 1, 96, 96, dtype=torch.uint8)
    cover[..., 24:, 30:66] = 255
    normal = torch.zeros(2, 4, 3, 96, 96, dtype=torch.int8)
    normal[:, :, 2] = -127
    angles = [view_angles(seed) for seed in (0, 1)]
    views = PeopleViews(
        colour=torch.randint(0, 256, (2, 4, 3, 96, 96), generator=generator).byte() * (cover > 0),
        cover=cover,
        depth=torch.full((2, 4, 1, 96, 96), 0.5).half(),
        normal=normal,
        places=torch.rand(2, 4, 68, 2, generator=generator) * 0.3 + 0.35,
        yaw=torch.stack([yaw for yaw, _ in angles]),
        pitch=torch.stack([pitch for _, pitch in angles]),
    )
    return PeopleStage(views, backdrops_of(3, 64, 1), writing_of(3, 64, 1))


def test_people_scenes_repeat_with_their_seed_and_stay_in_range(stage):
    first, second = (draw_people_scenes(stage, 24, torch.Generator().manual_seed(7)) for _ in range(2))
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(second, name)), name
    assert first.image.min() >= 0 and first.image.max() <= 1
    assert first.mask.min() >= 0 and first.mask.max() <= 1
    assert not first.visible[first.face == 0].any() and not first.surface[first.face == 0].any()
    learnt = first.surface.bool()
    assert_close(first.depth[learnt], torch.full_like(first.depth[learnt], 0.5), atol=2e-3, rtol=0)
    assert_close(first.normal[:, 2:][learnt], -torch.ones(int(learnt.sum())), atol=1e-3, rtol=0)


def test_what_is_drawn_lies_where_its_place_moves():
    picture = torch.zeros(8, 1, 96, 96)
    picture[:, :, 46:50, 54:58] = 1  # its middle is at (56, 48) pixels
    matrix, scale, _ = placement(Dice(8, torch.Generator().manual_seed(3)))
    drawn = warped(picture, matrix, scale, 128)
    u = (torch.arange(128) + 0.5) / 128
    total = drawn.sum((-3, -2, -1)).clamp_min(1e-6)
    x, y = (drawn * u).sum((-3, -2, -1)) / total, (drawn * u[:, None]).sum((-3, -2, -1)) / total
    place = moved(torch.tensor([[56.0, 48.0]]).expand(8, 1, 2) / 96, matrix)[:, 0]
    inside = (place > 0.15).all(-1) & (place < 0.85).all(-1)
    assert inside.any()
    assert_close(torch.stack([x, y], -1)[inside], place[inside], atol=1 / 128, rtol=0)


def test_views_look_at_faces_but_for_the_last():
    yaw, _ = view_angles(5)
    assert (yaw[:-1].abs() <= math.radians(75)).all() and yaw[-1].cos() < math.cos(math.radians(119))


def test_held_out_pictures_have_a_face_or_none(stage):
    faces = list(held_out_scenes(stage, 5, ONLY_FACES))
    others = list(held_out_scenes(stage, 5, NO_FACES))
    assert [float(scene.face) for scene in faces + others] == [1.0] * 5 + [0.0] * 5


def test_six_of_68_are_named_means():
    values = torch.arange(68.0)[:, None]
    assert len(AMONG_68) == len(LANDMARKS)
    assert six_of_68(values)[:, 0].tolist() == [38.5, 44.5, 30.0, 48.0, 54.0, 8.0]
    with pytest.raises(ValueError, match="68 points"):
        six_of_68(values[:6])


def test_new_weights_load_by_the_old_path_and_say_their_points(stage, tmp_path):
    network = AlignmentNetwork(SMALL)
    checkpoint.write(tmp_path / "new.safetensors", "alignment", SMALL, network)
    loaded = alignment_network_from(*checkpoint.read(tmp_path / "new.safetensors", "alignment"))
    assert loaded.config == SMALL
    finding = loaded(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    assert finding.mask.shape == finding.depth.shape == (2, 1, 64, 64)
    assert_close(finding.normals.norm(dim=1), torch.ones(2, 64, 64))
    assert finding.points()[0].shape == (2, 68, 2) and finding.landmarks()[0].shape == (2, 6, 2)
    assert finding.landmarks()[1].shape == (2, 6)


@pytest.mark.parametrize("wrong", [{"landmarks": 6}, {"points": "eight"}, {"points": ["68"]}, {"surface": 1}])
def test_points_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="expected 6 of six, 68 of 68"):
        AlignmentConfig(**{"landmarks": 68, "points": "68", **wrong})


def test_all_of_a_new_network_is_taught(stage):
    network = AlignmentNetwork(SMALL)
    scenes = draw_people_scenes(stage, 16, torch.Generator().manual_seed(7))
    finding = network(scenes.image)
    (loss_of(finding, scenes) + surface_loss(finding, scenes)).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_a_training_without_people_or_workers_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="expected 2 rendered people"):
        first_people(range(2), 8, [])
