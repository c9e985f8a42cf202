import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from portrait_diffusion.models.synthetic import anatomy, head, solid

seeds = st.integers(0, 10**6)


def shell_of_the_box() -> torch.Tensor:
    """Points [N, 3] on the faces of the box that geometry must not reach, but for the floor."""
    line = torch.linspace(0, 1, 41)
    u, v = (a.flatten() for a in torch.meshgrid(line, line, indexing="ij"))
    low, high = torch.tensor(anatomy.BOX_MIN), torch.tensor(anatomy.BOX_MAX)
    faces = []
    for axis in range(3):
        for side in (0.0, 1.0):
            if axis == 1 and side == 0:
                continue
            unit = torch.stack([u, v], -1)
            faces.append(torch.cat([unit[:, :axis], torch.full_like(u, side)[:, None], unit[:, axis:]], -1))
    return low + torch.cat(faces) * (high - low)


@settings(max_examples=15)
@given(seeds)
def test_geometry_stays_in_its_box_and_ends_at_the_floor(seed):
    measures = anatomy.anatomy(head.sample_parameters(seed))
    assert solid.distance(measures, shell_of_the_box().unbind(1)).min() > 0
    x = torch.linspace(-0.3, 0.3, 121)
    floor = tuple(torch.full_like(x, v) for v in (anatomy.FLOOR, -0.05))
    just = 1e-3
    assert (solid.distance(measures, (x, floor[0] - just, floor[1])) > 0).all()
    assert (solid.distance(measures, (x[40:80], floor[0][40:80] + just, floor[1][40:80])) < 0).all()
    assert min(anatomy.BOX_MIN) >= -0.5 and max(anatomy.BOX_MAX) <= 0.5


def test_extreme_people_stay_in_the_box_too():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        corner = (torch.rand(len(head.PARAMETER_NAMES), generator=generator) > 0.5).float() * 2 - 1
        assert solid.distance(anatomy.anatomy(corner), shell_of_the_box().unbind(1)).min() > 0


@pytest.mark.whole
@settings(max_examples=10)
@given(seeds)
def test_the_surface_is_continuous_in_every_parameter(seed):
    parameters = head.sample_parameters(seed).clamp(-0.99, 0.99)
    generator = torch.Generator().manual_seed(seed)
    low, high = torch.tensor(anatomy.BOX_MIN), torch.tensor(anatomy.BOX_MAX)
    p = (low + torch.rand(4000, 3, generator=generator) * (high - low)).unbind(1)
    measures = anatomy.anatomy(parameters)
    before = solid.distance(measures, p)
    for i in range(len(parameters)):
        changed = parameters.clone()
        changed[i] += 1e-3
        after = anatomy.anatomy(changed)
        if choices(after) == choices(measures):  # another style is another surface
            assert (solid.distance(after, p) - before).abs().max() < 3e-3


def choices(measures: anatomy.Anatomy) -> list:
    """What of a head is one thing or another: styles, and whether there are glasses."""
    return [value for value in vars(measures).values() if isinstance(value, str | bool)]


def test_the_two_sides_agree_without_a_parting():
    parameters = head.mean_parameters()
    p = torch.rand(2000, 3, generator=torch.Generator().manual_seed(1)) * 0.6 - 0.3
    measures = anatomy.anatomy(parameters)
    mirrored = p * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(
        solid.distance(measures, p.unbind(1)), solid.distance(measures, mirrored.unbind(1))
    )


def test_wrong_parameters_are_refused():
    with pytest.raises(ValueError, match="one head at a time"):
        anatomy.anatomy(torch.zeros(2, len(head.PARAMETER_NAMES)))
    for bad in (1.5, float("nan")):
        with pytest.raises(ValueError, match=r"\[-1, 1\]"):
            anatomy.anatomy(torch.full((len(head.PARAMETER_NAMES),), bad))
