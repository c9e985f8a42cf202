"""models/camera.py and the mesh room's grid against the reference's poses, rays and query points."""

import re

import torch
from portrait_diffusion.models.camera import (
    Camera,
    camera_from_label,
    eg3d_pose,
    focal_from_fov_degrees,
    intrinsics_from_focal,
    label_from_camera,
    rays,
)
from portrait_diffusion.models.field.volume_rendering import box_range
from portrait_diffusion.models.mesh.isosurface import sample_grid

from ..golden_fixtures import assert_near, each

TOLERANCE = 1e-5


@each("*camera_poses*")
def test_poses(golden):
    h, v, radius = (golden.given(name) for name in ("horizontal", "vertical", "radius"))
    assert_near(
        eg3d_pose(h, v, radius=radius, target=golden.given("lookat")),
        golden.wanted("cam2world_lookat"),
        TOLERANCE,
        "lookat",
    )
    assert_near(eg3d_pose(h, v, radius=radius), golden.wanted("cam2world_origin"), TOLERANCE, "origin")
    focal = focal_from_fov_degrees(golden.given("fov_degrees"))
    assert_near(
        intrinsics_from_focal(focal, like=focal), golden.wanted("intrinsics"), TOLERANCE, "intrinsics"
    )


@each("*ray_sampler*")
def test_rays_and_where_they_meet_the_box(golden):
    camera = Camera(golden.given("cam2world"), golden.given("intrinsics"))
    assert torch.equal(camera_from_label(label_from_camera(camera)).intrinsics, camera.intrinsics)
    sizes = [
        int(name.removeprefix("out/directions_"))
        for name in golden.tensors
        if name.startswith("out/directions_")
    ]
    for size in sizes:
        origins, directions = (x.flatten(1, 2) for x in rays(camera, size, size))
        assert_near(origins, golden.wanted(f"origins_{size}"), TOLERANCE, "origins")
        assert_near(directions, golden.wanted(f"directions_{size}"), TOLERANCE, "directions")
    origins, directions = (x.flatten(1, 2) for x in rays(camera, max(sizes), max(sizes)))
    for name in [
        key.removeprefix("out/limits_near_box") for key in golden.tensors if "limits_near_box" in key
    ]:
        near, far = box_range(origins, directions, float(name))
        misses = (far <= near)[..., None]
        for ours, theirs, miss in ((near, "near", -1.0), (far, "far", -2.0)):
            wanted = golden.wanted(f"limits_{theirs}_box{name}")
            assert torch.equal(wanted == miss, misses)
            assert_near(torch.where(misses, miss, ours[..., None]), wanted, TOLERANCE, f"limits_{theirs}")


class Asked:
    """A density that remembers where it was asked."""

    def __init__(self):
        self.points = []

    def __call__(self, points):
        self.points.append(points)
        return points[:, 0]


@each("*shape_grid*")
def test_query_points_are_the_references_without_its_shear(golden):
    for name in [
        key.removeprefix("out/samples_") for key in golden.tensors if key.startswith("out/samples_")
    ]:
        N, side = re.fullmatch(r"N(\d+)_L([\d.]+)", name).groups()
        N, side = int(N), float(side)
        spacing = side / (N - 1)
        asked = Asked()
        grid = sample_grid(asked, torch.full((3,), -side / 2), side / 2, spacing, chunk=50)
        index = torch.arange(N**3, dtype=torch.float64)
        shear = (
            torch.stack([index / N**2 % 1, index / N % 1, 0 * index], -1) * spacing
        )  # it divides without rounding down
        assert_near(
            torch.cat(asked.points)[None] + shear[None],
            golden.wanted(f"samples_{name}"),
            TOLERANCE,
            "samples",
        )
        assert_near(grid.origin, golden.wanted(f"voxel_origin_{name}").float(), TOLERANCE, "voxel_origin")
        assert_near(torch.tensor(grid.spacing), golden.wanted(f"voxel_size_{name}"), TOLERANCE, "voxel_size")
