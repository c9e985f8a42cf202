"""models/camera.py: orbits, rays and projection agree with each other and with the canonical frame."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.camera import (
    FOCAL,
    RADIUS,
    Camera,
    camera_from_label,
    eg3d_pose,
    field_of_view,
    focal_from_fov_degrees,
    frontal,
    label_from_camera,
    look_at,
    orbit,
    project,
    rays,
    yaw_pitch,
)
from torch.testing import assert_close

angles = st.tuples(st.floats(-3.1, 3.1), st.floats(-1.5, 1.5))


def test_the_frontal_camera_is_eg3ds():
    camera = frontal()
    assert_close(camera.cam2world[:3, :3], torch.diag(torch.tensor([1.0, -1.0, -1.0])))
    assert_close(camera.position, torch.tensor([0.0, 0.0, RADIUS]))
    assert_close(camera.intrinsics, torch.tensor([[FOCAL, 0, 0.5], [0, FOCAL, 0.5], [0, 0, 1]]))


def test_the_frontal_frame_shows_0_633_units_at_the_origin():
    half = RADIUS * math.tan(field_of_view(FOCAL) / 2)
    assert 2 * half == pytest.approx(0.633, abs=5e-4)
    image, _ = project(frontal(), torch.tensor([[half, half, 0.0], [-half, -half, 0.0]]))
    assert_close(image, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))


@given(angles)
def test_yaw_and_pitch_are_read_back(angle):
    yaw, pitch = yaw_pitch(orbit(*angle))
    assert yaw.item() == pytest.approx(angle[0], abs=1e-4)
    assert pitch.item() == pytest.approx(angle[1], abs=1e-4)


def test_positive_yaw_moves_to_the_subjects_left():
    assert orbit(0.5, 0.0).position[0] > 0


@given(angles)
def test_poses_are_rigid_and_look_at_the_target(angle):
    camera = orbit(*angle, target=(0.1, -0.2, 0.05))
    rotation = camera.cam2world[:3, :3]
    assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-5, rtol=0)
    assert torch.linalg.det(rotation).item() == pytest.approx(1, abs=1e-5)
    image, z = project(camera, torch.tensor([[0.1, -0.2, 0.05]]))
    assert_close(image, torch.full((1, 2), 0.5), atol=1e-5, rtol=0)
    assert z.item() == pytest.approx(RADIUS, abs=1e-5)


def test_straight_above_and_below_have_a_picture():
    for pitch in (math.pi / 2, -math.pi / 2):
        pose = orbit(0.0, torch.tensor(pitch, dtype=torch.float64)).cam2world
        assert torch.isfinite(pose).all()
        assert torch.linalg.det(pose[:3, :3]).item() == pytest.approx(1, abs=1e-6)


@given(angles)
def test_points_on_a_pixels_ray_project_back_to_its_centre(angle):
    camera = orbit(torch.tensor([angle[0]]), torch.tensor([angle[1]]))
    origins, directions = rays(camera, 5, 7)
    assert_close(directions.norm(dim=-1), torch.ones(1, 5, 7))
    image, _ = project(camera, (origins + 2.5 * directions).flatten(1, 2))
    v, u = torch.meshgrid((torch.arange(5) + 0.5) / 5, (torch.arange(7) + 0.5) / 7, indexing="ij")
    assert_close(image[0], torch.stack([u, v], -1).flatten(0, 1), atol=1e-4, rtol=0)


def test_float64_stays_float64():
    camera = orbit(torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    assert camera.cam2world.dtype == camera.intrinsics.dtype == torch.float64


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"expected cam2world \[..., 4, 4\]"):
        Camera(torch.eye(3), torch.eye(3))
    with pytest.raises(ValueError, match="expand one"):
        Camera(torch.eye(4)[None], torch.eye(3))
    with pytest.raises(ValueError, match="at least 1x1"):
        rays(frontal(), 0, 4)


def test_look_at_keeps_the_up_direction_up():
    pose = look_at(torch.tensor([1.0, 0.3, 2.0]), (0.0, 0.0, 0.0))
    assert pose[1, 1] < 0  # OpenCV's y runs down


@given(st.lists(angles, min_size=1, max_size=4))
def test_a_label_is_its_camera(chosen):
    yaw, pitch = torch.tensor(chosen).T
    camera = orbit(yaw, pitch)
    label = label_from_camera(camera)
    assert label.shape == (len(chosen), 25)
    assert_close(label[:, [3, 7, 11]], camera.position)
    back = camera_from_label(label)
    assert torch.equal(back.cam2world, camera.cam2world) and torch.equal(back.intrinsics, camera.intrinsics)
    with pytest.raises(ValueError, match="expected 25 numbers"):
        camera_from_label(label[:, :16])


@given(st.floats(-1.4, 1.4), st.floats(0.01, 3.1))
def test_eg3ds_vertical_parameter_sets_the_height_not_the_angle(yaw, vertical):
    pose = eg3d_pose(torch.tensor(math.pi / 2 + yaw), torch.tensor(vertical))
    height = 1 - 2 * vertical / math.pi
    assert_close(pose, orbit(yaw, math.asin(height)).cam2world, atol=1e-4, rtol=1e-4)


def test_eg3ds_field_of_view_is_almost_the_canonical_one():
    assert focal_from_fov_degrees(18.837).item() == pytest.approx(FOCAL, abs=2e-3)
