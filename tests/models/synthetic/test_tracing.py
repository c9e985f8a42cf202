import torch
from portrait_diffusion.models.synthetic import sdf, tracing


def ball(p):
    return sdf.sphere(p, (0.0, 0.0, 0.0), 0.3)


def parallel_rays(offsets):
    origins = torch.stack([offsets, torch.zeros_like(offsets), torch.full_like(offsets, 2.0)], -1)
    return origins, torch.tensor([0.0, 0.0, -1.0]).expand(len(offsets), 3)


def test_a_ball_is_met_where_geometry_says():
    offsets = torch.linspace(-0.5, 0.5, 101)
    origins, directions = parallel_rays(offsets)
    t, hit = tracing.march(ball, origins, directions, torch.zeros(101), torch.full((101,), 4.0))
    clear = (offsets.abs() - 0.3).abs() > 1e-3
    assert torch.equal(hit[clear], (offsets.abs() < 0.3)[clear])
    inside = offsets.abs() < 0.29
    t = tracing.polish(ball, origins[inside], directions[inside], t[inside])
    torch.testing.assert_close(t, 2 - (0.09 - offsets[inside] ** 2).sqrt(), atol=2e-3, rtol=0)
    points = origins[inside] + t[:, None] * directions[inside]
    assert ball(points.unbind(1)).abs().max() < 5e-4


def test_a_cone_stops_before_any_of_its_rays_arrives():
    offsets = torch.linspace(-0.5, 0.5, 101)
    origins, directions = parallel_rays(offsets)
    slope = 0.02
    t, hit = tracing.march(
        ball, origins, directions, torch.zeros(101), torch.full((101,), 4.0), torch.full((101,), slope)
    )
    for turn in (-slope, 0.0, slope):  # rays within the cone, at its rim and on its axis
        way = torch.nn.functional.normalize(directions + torch.tensor([turn, 0.0, 0.0]), dim=-1)
        ray, met = tracing.march(ball, origins, way, torch.zeros(101), torch.full((101,), 4.0))
        assert not (met & ~hit).any()
        assert (ray[met] >= t[met] - 1e-3).all()


def test_the_box_bounds_a_ray():
    origins = torch.tensor([[0.0, 0.0, 2.0], [0.9, 0.0, 2.0], [0.0, 0.0, 0.0]])
    directions = torch.tensor([[0.0, 0.0, -1.0]]).expand(3, 3)
    near, far = tracing.through_box(origins, directions, (-0.5, -0.5, -0.5), (0.5, 0.5, 0.25))
    torch.testing.assert_close(near[[0, 2]], torch.tensor([1.75, 0.0]))
    torch.testing.assert_close(far[[0, 2]], torch.tensor([2.5, 0.5]))
    assert near[1] >= far[1]


def test_gradients_are_unit_also_in_inference_mode():
    points = torch.tensor([[0.3, 0.0, 0.0], [0.0, 0.5, 0.0]])
    with torch.inference_mode():
        normal = tracing.gradient(ball, points * 1)
    torch.testing.assert_close(normal, torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
