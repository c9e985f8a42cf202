"""Pose in closed form, exact crops, masks, and what bad input is told."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from portrait_diffusion.models.camera import orbit, project, yaw_pitch
from portrait_diffusion.models.photo import alignment, matting
from portrait_diffusion.models.photo import pose as pose_module
from portrait_diffusion.models.photo.alignment import AlignedPortrait, ManualCrop, align, resample
from portrait_diffusion.models.photo.network import MIRRORED, six_of_68
from portrait_diffusion.models.photo.pose import Pose, fit_pose
from torch.testing import assert_close

from . import scenes

NEVER_ASKED = scenes.NEVER_ASKED
CANONICAL = torch.tensor(pose_module.CANONICAL_LANDMARKS, dtype=torch.float64)
CENTRE = torch.tensor([64.0, 64.0, 1.0], dtype=torch.float64)  # of a crop of 128 pixels
poses = st.builds(
    Pose,
    scale=st.floats(40, 4000),
    shift=st.tuples(st.floats(-100, 3000), st.floats(-100, 3000)).map(
        lambda xy: torch.tensor(xy, dtype=torch.float64)
    ),
    roll=st.floats(-3, 3),
    yaw=st.floats(-1.25, 1.25),
    pitch=st.floats(-0.7, 0.7),
)


def seen(points: torch.Tensor, pose: Pose) -> torch.Tensor:
    """World points [N, 3] in the photo that a pose describes: [N, 2] pixels."""
    image, _ = project(orbit(*torch.tensor([pose.yaw, pose.pitch], dtype=torch.float64)), points.double())
    affine = pose.crop_to_photo(1)
    return image @ affine[:, :2].T + affine[:, 2]


def face_of(pixels: torch.Tensor) -> dict:
    """Core's FACE_LANDMARKS for one face, with the six points that we read."""
    xy = np.full((478, 2), -1.0, np.float32)
    xy[list(pose_module.MEDIAPIPE_INDICES)] = pixels.numpy()
    return {
        "landmarks_xy": xy,
        "landmarks_3d": np.zeros((478, 3), np.float32),
        "bbox_xyxy": np.zeros(4),
        "transformation_matrix": np.eye(4),
    }


def manual(size: float = 1.0, **angles) -> ManualCrop:
    return ManualCrop(0.5, 0.5, size, **angles)


def disc(height: int, width: int) -> torch.Tensor:
    """[1, H, W]: 1 in the middle, as a head is."""
    y, x = torch.meshgrid(torch.arange(height) - height / 2, torch.arange(width) - width / 2, indexing="ij")
    return (torch.hypot(y, x) < 0.28 * min(height, width)).float()[None]


def by_hand(rgb, **options) -> AlignedPortrait:
    """Aligned with everything given, so that no network is asked."""
    options = {"size": 64, "mask": torch.ones(1, *rgb.shape[-2:]), "crop": manual()} | options
    return align(rgb, network=NEVER_ASKED, **options)


@pytest.fixture(scope="module")
def people() -> torch.Tensor:
    """[8, 6, 3]: symmetrical faces as different from the mean as people's are."""
    spread = torch.tensor([0.001, 0.001, 0.005, 0.006, 0.006, 0.007])[:, None]
    noise = spread * torch.randn(8, 6, 3, generator=torch.Generator().manual_seed(0))
    mirrored = noise[:, list(MIRRORED[6])] * torch.tensor([-1, 1, 1])
    return CANONICAL + (noise + mirrored) / 2**0.5


@given(poses)
@settings(max_examples=25)
def test_a_pose_is_recovered_from_what_it_shows(pose):
    found = fit_pose(seen(CANONICAL, pose), prior=0)
    assert_close(
        torch.tensor([found.yaw, found.pitch]), torch.tensor([pose.yaw, pose.pitch]), atol=1e-4, rtol=0
    )
    assert abs(math.remainder(found.roll - pose.roll, 2 * math.pi)) < 1e-4
    assert_close(found.scale, pose.scale, rtol=1e-4, atol=0)
    assert_close(found.shift, pose.shift, atol=1e-4 * pose.scale, rtol=0)


@given(poses)
@settings(max_examples=20)
def test_the_prior_is_weak(pose):
    found = fit_pose(seen(CANONICAL, pose))
    assert abs(found.yaw - pose.yaw) < math.radians(2) and abs(found.pitch - pose.pitch) < math.radians(7)
    assert abs(found.pitch) <= abs(pose.pitch) + 0.02


@given(poses, st.integers(0, 5))
@settings(max_examples=15)
def test_an_unknown_landmark_is_left_out(pose, missing):
    xy = seen(CANONICAL, pose)
    weights = torch.ones(6).index_fill(0, torch.tensor(missing), 0)
    by_weight = fit_pose(xy.index_fill(0, torch.tensor(missing), 1e4), weights)
    by_nan = fit_pose(xy.index_fill(0, torch.tensor(missing), torch.nan))
    assert_close(by_weight.crop_to_photo(1), by_nan.crop_to_photo(1))
    if missing != 2:  # all but the nose lie nearly in a plane
        assert abs(by_nan.yaw - pose.yaw) < math.radians(5) and abs(by_nan.pitch - pose.pitch) < math.radians(
            12
        )


def test_two_eyes_and_a_mouth_in_a_plane_give_no_wild_pose():
    noisy = seen(CANONICAL, Pose(500, torch.zeros(2, dtype=torch.float64), 0.1, 0.0, 0.0))
    noisy += torch.tensor(
        [[3.0, -3], [-3, 2], [torch.nan, torch.nan], [4, 1], [-2, -3], [torch.nan, torch.nan]]
    )
    found = fit_pose(noisy)
    assert abs(found.yaw) < math.radians(25) and abs(found.pitch) < math.radians(25)


def test_limits_of_the_pose_hold():
    flat = CANONICAL.index_fill(1, torch.tensor(0), 0.0)  # all on one line: a profile past the limit
    found = fit_pose(flat[:, :2] * 1000 + torch.tensor([[0.0, 0], [0, 0], [80, 0], [10, 0], [10, 0], [0, 0]]))
    assert abs(found.yaw) <= pose_module.YAW_LIMIT and abs(found.pitch) <= pose_module.PITCH_LIMIT


@given(poses, st.integers(32, 300))
@settings(max_examples=20)
def test_the_affine_is_the_pose(pose, size):
    affine = pose.crop_to_photo(size)
    places = torch.tensor([[size / 2, size / 2, 1], [0, 0, 1], [size, 0, 1]], dtype=torch.float64)
    middle, corner, other = affine @ places[0], affine @ places[1], affine @ places[2]
    assert_close(middle, pose.shift)
    assert_close(float((other - corner).norm()), pose.scale)
    assert_close(
        math.remainder(math.atan2(*(other - corner).flip(0)) - pose.roll, 2 * math.pi), 0.0, atol=1e-9, rtol=0
    )


@given(st.integers(0, 10_000), st.floats(-3, 3), st.floats(0.4, 4.0))
@settings(max_examples=20)
def test_a_dot_lands_where_the_affine_says(seed, roll, step):
    generator = torch.Generator().manual_seed(seed)
    size, height, width = 64, 180, 240
    pose = Pose(step * size, torch.tensor([120.0, 90.0], dtype=torch.float64), roll, 0.0, 0.0)
    extent = torch.tensor([width, height], dtype=torch.float64)
    dot = extent * (3 / 8 + torch.rand(2, generator=generator, dtype=torch.float64) / 4)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    radius = 2 * max(step, 1.0)
    photo = torch.exp(-((x - dot[0]) ** 2 + (y - dot[1]) ** 2) / (2 * radius**2))[None].float()
    affine = pose.crop_to_photo(size)
    crop, _ = resample(photo, affine, size)
    where = torch.linalg.solve(affine[:, :2], dot - affine[:, 2])
    if not bool((where > 12).all() and (where < size - 12).all()):
        return
    v, u = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    near = torch.hypot(u - where[0], v - where[1]) < 11
    weight = crop[0] * near
    centre = torch.stack([(weight * u).sum(), (weight * v).sum()]) / weight.sum()
    assert_close(centre.double(), where, atol=0.1, rtol=0)


def test_a_crop_of_the_photo_itself_is_the_photo():
    photo = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    aligned = by_hand(photo)
    assert_close(aligned.image, photo, atol=1e-5, rtol=0)
    assert_close(aligned.crop_to_photo, torch.eye(2, 3, dtype=torch.float64))
    assert aligned.photo_size == (64, 64) and aligned.crop_to_photo.dtype == torch.float64


def test_shrinking_does_not_alias():
    checks = ((torch.arange(1024)[:, None] + torch.arange(1024)) % 2).float().expand(3, -1, -1).contiguous()
    for angle in (0.0, 0.4):
        pose = Pose(700.0, torch.tensor([512.0, 512.0], dtype=torch.float64), angle, 0.0, 0.0)
        crop, inside = resample(checks, pose.crop_to_photo(100), 100)
        assert float((crop - 0.5).abs().max()) < 0.02 and float(inside.min()) == 1


def test_outside_the_photo_is_white_and_not_the_person():
    photo = torch.full((3, 100, 200), 0.25)
    aligned = by_hand(
        photo, crop=manual(2.0), size=64
    )  # 200 x 200 around a photo of 200 x 100: 16 rows above and below
    assert_close(aligned.image[:, :15], torch.ones(3, 15, 64))
    assert float(aligned.mask[:, :15].max()) == 0 and float(aligned.mask[:, 49:].max()) == 0
    assert_close(aligned.image[:, 18:46], torch.full((3, 28, 64), 0.25))
    assert_close(aligned.mask[:, 18:46], torch.ones(1, 28, 64))


def test_a_manual_crop_is_taken_at_its_word():
    photo = torch.rand(3, 120, 200, generator=torch.Generator().manual_seed(1))
    crop = ManualCrop(0.25, 0.4, 0.5, 0.3, -0.2)
    aligned = by_hand(photo, crop=crop, size=60)
    assert_close(aligned.image, photo[:, 18:78, 20:80], atol=1e-5, rtol=0)
    assert_close(aligned.crop_to_photo, torch.tensor([[1, 0, 20], [0, 1, 18]], dtype=torch.float64))
    assert_close(torch.stack(yaw_pitch(aligned.camera)), torch.tensor([0.3, -0.2]))
    assert aligned.camera.shape == ()


def test_the_photo_is_kept_at_its_own_resolution(monkeypatch):
    photo = torch.rand(3, 120, 200, generator=torch.Generator().manual_seed(1))
    crop = ManualCrop(0.25, 0.4, 0.5, 0.3, -0.2)
    aligned = by_hand(photo, crop=crop, size=32)
    assert aligned.photo.dtype == torch.uint8
    assert_close(aligned.finest(), photo[:, 18:78, 20:80], atol=0.5 / 255 + 1e-5, rtol=0)
    monkeypatch.setattr(alignment, "MAX_PHOTO", 48)
    assert by_hand(photo, crop=crop, size=32).photo.shape == (3, 48, 48)
    for size in (60, 64):  # as fine as the photo
        coarse = by_hand(photo, crop=crop, size=size)
        assert coarse.photo is None and torch.equal(coarse.finest(), coarse.image)


def test_the_photo_is_white_where_the_crop_is():
    alpha = disc(200, 200)
    magenta = torch.tensor([1.0, 0.0, 1.0])[:, None, None]
    fine = by_hand(0.5 * alpha + magenta * (1 - alpha), mask=None, alpha=alpha).finest()
    assert_close(fine[:, 100, 100], torch.full((3,), 0.5), atol=0.003, rtol=0)
    assert_close(fine[:, 5, 5], torch.ones(3))  # not the colour that alpha hides
    beside = by_hand(torch.full((3, 100, 200), 0.25), crop=manual(2.0)).finest()
    assert_close(beside[:, :45], torch.ones_like(beside[:, :45]))


def test_a_moved_portrait_keeps_its_photo_s_bytes():
    moved = by_hand(torch.full((3, 200, 200), 0.25)).to(torch.float64)
    assert moved.photo.dtype == torch.uint8 and moved.finest().dtype == torch.float64


@pytest.mark.parametrize("yaw, pitch, roll", [(0.0, 0.0, 0.0), (0.5, 0.1, -0.3), (-0.8, -0.2, 0.4)])
def test_core_landmarks_give_the_camera_and_level_pupils(people, yaw, pitch, roll):
    truth = Pose(300.0, torch.tensor([260.0, 210.0], dtype=torch.float64), roll, yaw, pitch)
    errors = []
    for points in people:
        face = face_of(seen(points, truth))
        aligned = align(
            torch.full((3, 400, 500), 0.5),
            network=NEVER_ASKED,
            landmarks=face,
            mask=torch.ones(1, 400, 500),
            size=128,
        )
        errors.append(torch.stack(yaw_pitch(aligned.camera)).double() - torch.tensor([yaw, pitch]))
        assert_close(aligned.crop_to_photo @ CENTRE, truth.shift, atol=15, rtol=0)  # 5 % of the crop
        assert_close(
            aligned.crop_to_photo[:, :2].norm() / truth.crop_to_photo(128)[:, :2].norm(),
            CENTRE[2],
            atol=0.1,
            rtol=0,
        )
        assert abs(tilt_of_pupils(points, truth, aligned)) < math.radians(4)
    assert float(torch.stack(errors).square().mean().sqrt()) < math.radians(6) and float(
        torch.stack(errors).abs().max()
    ) < math.radians(17)


def tilt_of_pupils(points: torch.Tensor, truth: Pose, aligned: AlignedPortrait) -> float:
    """Angle in the crop between the line through the pupils and where the camera has it."""
    pixels = torch.linalg.solve(
        aligned.crop_to_photo[:, :2], (seen(points[:2], truth) - aligned.crop_to_photo[:, 2]).T
    ).T
    model, _ = project(aligned.camera, CANONICAL[:2].float())
    return math.atan2(*(pixels[1] - pixels[0]).flip(0)) - math.atan2(*(model[1] - model[0]).flip(0))


def test_the_network_is_asked_last(monkeypatch):
    asked = []

    class Face:
        landmarks = seen(
            CANONICAL, Pose(150.0, torch.tensor([100.0, 90.0], dtype=torch.float64), 0.0, 0.2, 0.0)
        )
        score = 1.0
        quarter_turns = 0

        @classmethod
        def pose(cls):
            return fit_pose(cls.landmarks)

    class Networks:
        check_person = staticmethod(matting.check_person)

        @staticmethod
        def find_people(rgb, network):
            asked.append(("face", tuple(rgb.shape), network))
            return [Face]

        @staticmethod
        def matte(image, network, camera, *, inside, rivals):
            asked.append(("mask", tuple(image.shape), network))
            return matting.Matte(torch.full((1, 64, 64), 0.75), None, 1.0)

    monkeypatch.setattr(alignment, "detection", Networks)
    monkeypatch.setattr(alignment, "matting", Networks)
    aligned = align(torch.full((3, 180, 200), 0.5), network=NEVER_ASKED, size=64)
    assert asked == [("face", (3, 180, 200), NEVER_ASKED), ("mask", (3, 64, 64), NEVER_ASKED)]
    assert abs(float(yaw_pitch(aligned.camera)[0]) - 0.2) < 0.03
    assert_close(aligned.mask[:, 20:40, 20:40], torch.full((1, 20, 20), 0.75))


@pytest.mark.parametrize("size, crop_size", [((100, 100), 1.0), ((150, 100), 1.0), ((100, 130), 1.4)])
def test_an_inverted_mask_is_turned_round(size, crop_size):
    photo, mask = torch.full((3, *size), 0.5), disc(*size)
    right = by_hand(photo, mask=mask, crop=manual(crop_size))
    turned = by_hand(photo, mask=1 - mask, crop=manual(crop_size))
    assert float(right.mask[0, 32, 32]) == 1 and float(right.mask[0, 3, 3]) == 0
    assert_close(turned.mask, right.mask, atol=0.02, rtol=0)


def test_a_mask_of_everything_stays():
    assert float(by_hand(torch.full((3, 64, 64), 0.5)).mask.min()) == 1


def test_alpha_is_the_mask_and_hidden_colours_stay_hidden():
    alpha = disc(200, 200)
    magenta = torch.tensor([1.0, 0.0, 1.0])[:, None, None]
    photo = 0.5 * alpha + magenta * (1 - alpha)
    aligned = by_hand(photo, mask=None, alpha=alpha)
    assert float(aligned.mask[0, 32, 32]) == 1 and float(aligned.mask[0, 3, 3]) == 0
    expected = 0.5 * aligned.mask + (1 - aligned.mask)
    assert_close(aligned.on_white(), expected.expand(3, -1, -1), atol=0.03, rtol=0)
    wired = by_hand(photo, mask=torch.ones(1, 200, 200), alpha=alpha)
    assert_close(wired.mask, torch.ones(1, 64, 64))


def test_opaque_alpha_is_not_a_mask():
    photo = torch.full((3, 64, 64), 0.5)
    wired = by_hand(photo, alpha=torch.ones(1, 64, 64), mask=disc(64, 64))
    assert_close(wired.mask, disc(64, 64), atol=1e-5, rtol=0)


def test_on_white_and_moving():
    aligned = by_hand(torch.full((3, 64, 64), 0.25), mask=disc(64, 64))
    white = aligned.on_white()
    assert_close(white[:, 32, 32], torch.full((3,), 0.25))
    assert_close(white[:, 0, 0], torch.ones(3))
    double = aligned.to(torch.float64)
    assert double.image.dtype == double.mask.dtype == double.camera.cam2world.dtype == torch.float64
    assert double.crop_to_photo.dtype == aligned.to(torch.float16).crop_to_photo.dtype == torch.float64


def test_what_is_unknown_is_no_part_of_the_told_mask():
    aligned = by_hand(torch.full((3, 64, 64), 0.25), mask=disc(64, 64))
    unknown = torch.zeros(1, 64, 64)
    unknown[:, :32] = 1
    told = replace(aligned, unknown=unknown).told_mask()
    assert not told[:, :32].any()
    assert_close(told[:, 32:], aligned.mask[:, 32:])
    assert_close(replace(aligned, unknown=None).told_mask(), aligned.mask)


def spoilt(value: float) -> torch.Tensor:
    photo = torch.full((3, 64, 64), 0.5)
    photo[1, 5, 7] = value
    return photo


GOOD = torch.full((3, 64, 64), 0.5)
FACE = face_of(seen(CANONICAL, Pose(60.0, torch.tensor([32.0, 32.0], dtype=torch.float64), 0.0, 0.0, 0.0)))


@pytest.mark.parametrize(
    "rgb, options, says",
    [
        (torch.rand(3, 1, 1), {}, "at least 32x32 pixels, got 1x1"),
        (torch.rand(3, 20, 400), {}, "at least 32x32 pixels, got 400x20"),
        (torch.rand(3, 0, 0), {}, "at least 32x32 pixels"),
        (spoilt(math.nan), {}, "NaN or infinity"),
        (spoilt(math.inf), {}, "NaN or infinity"),
        (torch.rand(4, 64, 64), {}, r"\[3, H, W\]"),
        (torch.rand(1, 3, 64, 64), {}, r"\[3, H, W\]"),
        (torch.zeros(3, 64, 64, dtype=torch.uint8), {}, "uint8"),
        (GOOD, {"size": 0}, "at least 32 pixels, got 0"),
        (GOOD, {"mask": torch.zeros(1, 64, 64)}, "the person must be 1"),
        (GOOD, {"mask": torch.ones(1, 32, 64)}, "resize it to the photo"),
        (GOOD, {"mask": torch.ones(64, 64)}, "resize it to the photo"),
        (GOOD, {"mask": torch.full((1, 64, 64), math.nan)}, "in the mask"),
        (GOOD, {"alpha": torch.ones(1, 32, 64)}, "expected the alpha"),
        (GOOD, {"crop": ManualCrop(4.0, 4.0, 1.0)}, "expected a person in the crop"),
        (GOOD, {"crop": None, "landmarks": {}}, "`landmarks_xy`, got the keys none"),
        (GOOD, {"crop": None, "landmarks": {"frames": [[FACE]]}}, "got the keys frames"),
        (GOOD, {"crop": None, "landmarks": [FACE]}, "got a list"),
        (
            GOOD,
            {"crop": None, "landmarks": {"landmarks_xy": np.zeros((468, 2))}},
            r"\[478, 2\], got \[468, 2\]",
        ),
        (GOOD, {"crop": None, "landmarks": {"landmarks_xy": "eyes"}}, "expected numbers"),
        (GOOD, {"crop": None, "landmarks": {"landmarks_xy": np.full((478, 2), np.nan)}}, "NaN or infinity"),
        (GOOD, {"crop": None, "landmarks": {"landmarks_xy": np.zeros((478, 2))}}, "all in one place"),
    ],
)
def test_bad_input_is_told_in_one_sentence(rgb, options, says):
    with pytest.raises(ValueError, match=says) as caught:
        by_hand(rgb, **options)
    assert (
        "expected" in str(caught.value)
        and "got" in str(caught.value)
        and ";" in str(caught.value)
        and "\n" not in str(caught.value)
    )


@pytest.mark.parametrize("values", [(0.5, 0.5, 0.0), (math.nan, 0.5, 1.0), (0.5, 0.5, 1.0, math.inf)])
def test_a_manual_crop_without_extent_is_refused(values):
    with pytest.raises(ValueError, match="expected finite numbers and a size above 0"):
        ManualCrop(*values)


def test_a_pose_needs_landmarks():
    with pytest.raises(ValueError, match="at least 3 known landmarks, got 2"):
        fit_pose(torch.tensor([[0.0, 0], [1, 0]] + [[math.nan, 0]] * 4))
    with pytest.raises(ValueError, match=r"expected landmarks \[6, 2\], got \[5, 2\]"):
        fit_pose(torch.zeros(5, 2))


def test_the_photo_is_not_touched():
    photo = torch.rand(3, 80, 80, generator=torch.Generator().manual_seed(3)) * 1.5
    before = photo.clone()
    aligned = by_hand(photo, size=64)
    assert torch.equal(photo, before) and float(aligned.image.max()) <= 1 and float(aligned.image.min()) >= 0


@given(poses)
@settings(max_examples=20)
def test_sixty_eight_points_say_the_same_as_they_were_seen_from(pose):
    shape = pose_module.SIXTY_EIGHT
    found = fit_pose(seen(shape.points, pose), shape=shape, prior=0.0)
    assert found.scale == pytest.approx(pose.scale, rel=1e-3)
    assert_close(
        torch.tensor([found.yaw, found.pitch]), torch.tensor([pose.yaw, pose.pitch]), atol=1e-3, rtol=0
    )


def test_the_68_points_are_symmetrical_and_in_the_frame_of_the_pupils():
    points, order = pose_module.SIXTY_EIGHT.points, list(MIRRORED[68])
    assert_close(points[order] * torch.tensor([-1.0, 1.0, 1.0]).double(), points)
    off = (six_of_68(points) - CANONICAL).norm(dim=-1)
    assert off[2:].max() < 0.001 and off[:2].max() < 0.008  # an eye's outline lies behind its cornea
    assert sorted(order) == list(range(68)) and [order[i] for i in order] == list(range(68))
