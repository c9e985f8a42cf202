import math

import pytest
import torch
from portrait_diffusion.models import camera
from portrait_diffusion.models.synthetic import anatomy, head, paint, rendering, solid, splits

SEEDS = tuple(splits.VALIDATION[5:8])
SIZE = 96
YAW = torch.tensor([0.0, 0.15, 1.2, math.pi])
PITCH = torch.tensor([0.0, 0.05, 0.1, 0.3])


@pytest.fixture(scope="module", params=SEEDS)
def scene(request):
    parameters = head.sample_parameters(request.param)
    cameras = camera.orbit(YAW, PITCH)
    return parameters, cameras, rendering.render_head(parameters, cameras, SIZE)


def hit_points(cameras, views):
    """World points [V, S, S, 3] and the mask [V, S, S]."""
    origins, directions = camera.rays(cameras, SIZE, SIZE)
    return origins + views.ray_distance[:, 0, :, :, None] * directions, views.mask[:, 0] > 0


def test_shapes_and_the_background(scene):
    parameters, cameras, views = scene
    assert views.rgb.shape == views.normal.shape == (4, 3, SIZE, SIZE)
    assert views.mask.shape == views.ray_distance.shape == (4, 1, SIZE, SIZE)
    assert set(views.mask.unique().tolist()) == {0.0, 1.0}
    outside = (views.mask == 0).expand_as(views.rgb)
    assert (views.rgb[outside] == 1).all() and (views.normal[outside] == 0).all()
    assert views.rgb.min() >= 0 and views.rgb.max() <= 1
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, SIZE, SIZE)
    on_red = rendering.render_head(parameters, cameras[:1], SIZE, background=red)
    expected = views.rgb[:1] * views.mask[:1] + red * (1 - views.mask[:1])
    torch.testing.assert_close(on_red.rgb, expected)


def test_distances_end_on_the_surface(scene):
    parameters, cameras, views = scene
    points, mask = hit_points(cameras, views)
    assert solid.distance(anatomy.anatomy(parameters), points[mask].unbind(1)).abs().max() < 1e-3
    assert (points[mask] >= torch.tensor(anatomy.BOX_MIN) - 1e-3).all() and (
        points[mask] <= torch.tensor(anatomy.BOX_MAX) + 1e-3
    ).all()


def test_nothing_lies_before_the_surface_on_a_ray(scene):
    parameters, cameras, views = scene
    measures = anatomy.anatomy(parameters)
    origins, directions = (a[:, ::3, ::3].reshape(-1, 3) for a in camera.rays(cameras, SIZE, SIZE))
    t = torch.where(views.mask > 0, views.ray_distance, 3.6)[:, 0, ::3, ::3].reshape(-1)
    for part in torch.linspace(0, 1, 40)[:-1]:
        along = 2.2 + (t - 2.2) * part
        assert solid.distance(measures, (origins + along[:, None] * directions).unbind(1)).min() > -3e-3


def test_normals_are_unit_and_face_the_camera(scene):
    _, cameras, views = scene
    _, directions = camera.rays(cameras, SIZE, SIZE)
    in_camera = torch.einsum("vji,vhwj->vhwi", cameras.cam2world[:, :3, :3], directions)
    normal, mask = views.normal.permute(0, 2, 3, 1), views.mask[:, 0] > 0
    torch.testing.assert_close(normal[mask].norm(dim=-1), torch.ones(int(mask.sum())))
    facing = (normal * in_camera).sum(-1)[mask]
    assert (facing < 0.05).all() and (facing < 0).float().mean() > 0.995


def test_normals_are_those_of_the_distances(scene):
    """Twin: differences of neighbouring points, where the surface is smooth."""
    _, cameras, views = scene
    points, mask = hit_points(cameras, views)
    across, down = points[:, 1:-1, 2:] - points[:, 1:-1, :-2], points[:, 2:, 1:-1] - points[:, :-2, 1:-1]
    twin = torch.nn.functional.normalize(torch.linalg.cross(down, across), dim=-1)
    normal = torch.einsum("vij,vjhw->vhwi", cameras.cam2world[:, :3, :3], views.normal)[:, 1:-1, 1:-1]
    smooth = (torch.maximum(across.norm(dim=-1), down.norm(dim=-1)) < 0.018) & mask[:, 1:-1, 1:-1]
    for y, x in ((0, 1), (2, 1), (1, 0), (1, 2)):
        smooth &= mask[:, y : SIZE - 2 + y, x : SIZE - 2 + x]
    agreement = (twin * normal).sum(-1)[smooth]
    assert agreement.median() > 0.999 and agreement.quantile(0.1) > 0.97


def test_what_one_view_sees_another_sees_at_or_behind_its_own_surface(scene):
    _, cameras, views = scene
    points, mask = hit_points(cameras, views)
    reach = torch.where(views.mask > 0, views.ray_distance, torch.inf)
    around = -torch.nn.functional.max_pool2d(-reach, 3, 1, 1)[:, 0]  # nearest of a pixel and its neighbours
    agreeing = 0
    for source in range(4):
        for target in range(4):
            world, colour = points[source][mask[source]], views.rgb[source].permute(1, 2, 0)[mask[source]]
            image, _ = camera.project(cameras[target], world)
            inside = ((image > 0) & (image < 1)).all(-1)
            pixel = (image[inside] * SIZE).long()
            row, column = pixel[:, 1], pixel[:, 0]
            distance = (world[inside] - cameras.position[target]).norm(dim=-1)
            seen, covered = views.ray_distance[target, 0, row, column], views.mask[target, 0, row, column] > 0
            assert (around[target][row, column] < torch.inf).all()
            in_front = around[target][row, column] - distance
            assert in_front.quantile(0.999) < 4e-3 and in_front.max() < 0.01
            same = covered & ((distance - seen).abs() < 0.004)
            agreeing += int(same.sum())
            if same.sum() > 50:
                difference = (colour[inside] - views.rgb[target].permute(1, 2, 0)[row, column])[same].abs()
                assert difference.mean() < 0.03
    assert agreeing > 4 * int(mask[0].sum())


def test_colour_belongs_to_the_point_and_not_to_the_camera():
    """Without a pixel's footprint, the paint takes no camera at all; with a tiny one it is the same paint."""
    parameters = head.sample_parameters(SEEDS[0])
    measures, paints = anatomy.anatomy(parameters), paint.palette(parameters)
    points = torch.stack(list(rendering.landmarks(parameters).values()))
    normals = torch.nn.functional.normalize(points, dim=-1)
    plain = paint.colour(measures, paints, points, normals)
    filtered = paint.colour(measures, paints, points, normals, torch.full((2, len(points), 3), 1e-6))
    torch.testing.assert_close(plain, filtered, atol=5e-3, rtol=0)


def test_cones_change_nothing(scene, monkeypatch):
    parameters, cameras, views = scene
    monkeypatch.setattr(rendering, "BLOCKS", ())
    slow = rendering.render_head(parameters, cameras[:1], SIZE)
    assert (slow.mask != views.mask[:1]).float().mean() < 2e-3
    both = (slow.mask * views.mask[:1]) > 0
    difference = (slow.ray_distance - views.ray_distance[:1]).abs()[both]
    assert difference.quantile(0.98) < 1e-3 and difference.max() < 0.03


def test_views_do_not_depend_on_their_neighbours(scene):
    parameters, cameras, views = scene
    alone = rendering.render_head(parameters, cameras[2:3], SIZE)
    torch.testing.assert_close(alone.rgb, views.rgb[2:3], atol=2e-3, rtol=0)
    assert torch.equal(alone.mask, views.mask[2:3])


@pytest.mark.whole
def test_the_head_fills_half_the_frame_and_is_centred():
    front = camera.orbit(torch.zeros(1), torch.zeros(1))
    for seed in splits.VALIDATION[:12]:
        parameters = head.sample_parameters(seed)
        marks = rendering.landmarks(parameters)
        mask = rendering.render_head(parameters, front, 64).mask[0, 0]
        top = float(torch.nonzero(mask.amax(1))[0, 0]) / 64
        chin = float(camera.project(front[0], marks["chin"][None])[0][0, 1])
        assert 0.45 <= chin - top <= 0.60
        assert abs((chin + top) / 2 - 0.5) < 0.05
        assert mask[-1].sum() > 20 and mask[:8].sum() == 0 and mask[:40, :14].sum() == 0


def test_landmarks_lie_on_the_painted_face():
    front = camera.orbit(torch.zeros(1), torch.zeros(1))
    gaps = []
    for seed in splits.VALIDATION[:4]:
        parameters = head.sample_parameters(seed)
        parameters[head.PARAMETER_NAMES.index("eyes_closed")] = 0
        marks = rendering.landmarks(parameters)
        views = rendering.render_head(parameters, front, 256)
        points = torch.stack(list(marks.values()))
        assert solid.distance(anatomy.anatomy(parameters), points.unbind(1)).abs().max() < 1e-3
        image, _ = camera.project(front[0], points)
        row, column = (image[:, 1] * 256).long(), (image[:, 0] * 256).long()
        assert (views.mask[0, 0, row, column] == 1).all()
        colour = dict(zip(marks, views.rgb[0, :, row, column].T))
        assert colour["left_pupil"].max() < 0.3 and colour["right_pupil"].max() < 0.3
        assert (
            marks["right_pupil"][0] < 0 < marks["left_pupil"][0]
            and marks["right_mouth"][0] < 0 < marks["left_mouth"][0]
        )
        assert marks["nose_tip"][2] > max(float(m[2]) for name, m in marks.items() if name != "nose_tip")
        assert marks["chin"][1] < marks["left_mouth"][1] < marks["nose_tip"][1] < marks["left_pupil"][1]
        gaps.append(float(marks["left_pupil"][0] - marks["right_pupil"][0]))
    mean = rendering.landmarks(head.mean_parameters())
    assert float(mean["left_pupil"][0] - mean["right_pupil"][0]) == pytest.approx(0.09, abs=1e-6)
    assert max(gaps) < 0.1 and min(gaps) > 0.08


def test_there_is_no_face_behind():
    """From behind, the average head shows hair and little else where the face is in front: no lips, no eyes."""
    parameters = head.mean_parameters()
    views = rendering.render_head(parameters, camera.orbit(torch.tensor([0.0, math.pi]), torch.zeros(2)), 128)
    skull = slice(34, 66)
    front, back = views.rgb[:, :, skull, 52:76]
    paints = paint.palette(parameters)
    hair = torch.tensor(paints.hair)[:, None, None]
    assert (back - hair).abs().mean() < 0.15
    assert back.std() < 0.6 * front.std()


def test_cameras_need_one_batch_dimension():
    with pytest.raises(ValueError, match="cameras"):
        rendering.render_head(head.mean_parameters(), camera.orbit(0.0, 0.0), 32)


def test_odd_sizes_render():
    views = rendering.render_head(head.mean_parameters(), camera.orbit(torch.zeros(1), torch.zeros(1)), 33)
    assert 0.15 < float(views.mask.mean()) < 0.6
