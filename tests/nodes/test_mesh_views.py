"""Render Mesh Views and core's Render Splat show what our cameras see: the views from which heads are fitted."""

import math

import pytest
import torch
from portrait_diffusion.models.camera import orbit, project

from ..models.mesh.test_placing import box

SIZE = 64
SPOTS = torch.tensor([[0.12, 0.1, 0.08], [-0.1, -0.05, 0.12], [0.02, 0.15, -0.12]])  # metres
COLOURS = torch.eye(3)


@pytest.fixture(scope="module")
def cameras():
    """An orbit that begins aside and above, as Camera Orbit makes it."""
    from portrait_diffusion.nodes import cameras as node

    return node.CameraOrbit.execute(6, 30.0, 60.0, 20.0, SIZE).result[0]


def places(cameras) -> torch.Tensor:
    """Pixels [V, 3, 2] at which the spots should be."""
    return project(cameras.cameras, SPOTS / 0.7)[0] * SIZE


def centres(images: torch.Tensor) -> torch.Tensor:
    """Pixels [V, 3, 2] of the middles of what is red, green and blue in IMAGE [V, S, S, 3] on black."""
    axis = torch.arange(SIZE) + 0.5
    light = images / images.sum((1, 2), keepdim=True).clamp(min=1e-6)
    across, down = (light.sum(1) * axis[:, None]).sum(1), (light.sum(2) * axis[:, None]).sum(1)
    return torch.stack([across, down], -1)


def test_a_splat_s_turntable_is_an_orbit_of_as_many_cameras(cameras, comfyui):
    from comfy_api.latest import Types
    from comfy_extras.nodes_gaussian_splat import RenderSplat
    from portrait_diffusion.nodes.cameras import CameraToLoad3D

    axes = SPOTS * torch.tensor([1.0, -1.0, -1.0])  # from the world to the splat's own axes
    rotations = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(1, 3, 4)
    harmonics = ((COLOURS - 0.5) / 0.28209479177387814)[None, :, None]
    splat = Types.SPLAT(axes[None], torch.full((1, 3, 3), 0.008), rotations, torch.ones(1, 3, 1), harmonics)
    first = CameraToLoad3D.execute(cameras, 0).result[0]
    images = RenderSplat.execute(
        splat, SIZE, SIZE, 6, 1.0, 1.0, 0.0, 0.0, "#000000", "color", camera_info=first
    ).result[0]
    visible = images.sum((1, 2)) > 0.5  # a spot may hide another
    assert visible.float().mean() > 0.9
    assert (centres(images.float()) - places(cameras))[visible].abs().max() < 0.7


def test_a_mesh_is_seen_by_the_same_cameras(cameras):
    from portrait_diffusion.models.mesh.mesh import Mesh
    from portrait_diffusion.nodes import convert
    from portrait_diffusion.nodes.mesh_views import AS_IT_IS, RenderMeshViews

    small = box(0.01)
    parts = [
        Mesh(small.vertices + spot / 0.7, small.faces, vertex_colors=colour.expand(8, 3))
        for spot, colour in zip(SPOTS, COLOURS, strict=True)
    ]
    whole = Mesh(
        torch.cat([part.vertices for part in parts]),
        torch.cat([part.faces + 8 * i for i, part in enumerate(parts)]),
        vertex_colors=COLOURS.repeat_interleave(8, 0),
    )
    images, masks, depth, normals = RenderMeshViews.execute(
        convert.to_mesh(whole), cameras, AS_IT_IS, 0.0, "#000000", 3
    ).result
    visible = images.sum((1, 2)) > 3
    assert (centres(images) - places(cameras))[visible].abs().max() < 1
    assert masks.shape == (6, SIZE, SIZE) and depth.shape == normals.shape == images.shape
    assert (images[masks == 0] == 0).all() and (normals[masks == 0] == 1).all()


def test_a_foreign_mesh_is_put_into_the_frame(cameras):
    from portrait_diffusion.nodes import convert
    from portrait_diffusion.nodes.mesh_views import AS_IT_IS, INTO_FRAME, RenderMeshViews

    mesh = convert.to_mesh(box(40.0, (5.0, 200.0, 0.0)))
    inside = RenderMeshViews.execute(mesh, cameras, INTO_FRAME, 0.0, "#ffffff", 1).result[1]
    outside = RenderMeshViews.execute(mesh, cameras, AS_IT_IS, 0.0, "#ffffff", 1).result[1]
    assert (inside.mean((1, 2)) > 0.15).all() and inside[:, 0].max() == 0
    assert (outside.mean((1, 2)) < 0.1).all()
    turned = RenderMeshViews.execute(mesh, cameras, INTO_FRAME, 90.0, "#ffffff", 1).result[1]
    assert not torch.equal(turned, inside)


@pytest.mark.parametrize("yaw", [0.0, 1.0, 3.0, -2.5])
@pytest.mark.parametrize("pitch", [-1.2, 0.0, 0.6])
def test_the_quaternion_turns_a_viewer_s_camera_into_ours(yaw, pitch):
    from portrait_diffusion.nodes import convert

    camera = orbit(yaw, pitch)
    x, y, z, w = convert.to_load3d(camera)["quaternion"].values()
    assert math.isclose(x * x + y * y + z * z + w * w, 1, rel_tol=1e-6)
    right = torch.tensor([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)])
    back = torch.tensor([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)])
    torch.testing.assert_close(right, camera.cam2world[:3, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(back, -camera.cam2world[:3, 2], atol=1e-5, rtol=0)


def test_a_spiral_stays_within_the_poles():
    from portrait_diffusion.models.camera import yaw_pitch
    from portrait_diffusion.nodes.cameras import CameraOrbit

    wire = CameraOrbit.execute(3, 0.0, 75.0, -20.0, SIZE, pitch_step_degrees=25.0).result[0]
    pitch = yaw_pitch(wire.cameras)[1].rad2deg()
    torch.testing.assert_close(pitch, torch.tensor([-20.0, 5.0, 30.0]), atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="expected a spiral between -89 and 89 degrees"):
        CameraOrbit.execute(10, 0.0, 75.0, -20.0, SIZE, pitch_step_degrees=25.0)
