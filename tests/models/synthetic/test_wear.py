"""models/synthetic/hair.py and wear.py: six styles that differ as their names say, clothes and glasses that are where they are worn."""

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.synthetic import anatomy, head, solid
from portrait_diffusion.models.synthetic.rendering import render_head

NAMES = head.PARAMETER_NAMES


def person(**values):
    parameters = head.mean_parameters()
    for name, value in values.items():
        parameters[NAMES.index(name)] = value
    return parameters


def styled(style):
    return person(
        hair_style=-1 + (head.HAIR_STYLES.index(style) + 0.5) * 2 / len(head.HAIR_STYLES), hair_length=-0.9
    )


def inside(parameters, *point):
    body = anatomy.anatomy(parameters)
    return bool(solid.parts(body, tuple(torch.tensor([x]) for x in point)).hair < 0)


def test_styles_are_named_and_equally_likely():
    counts = torch.zeros(len(head.HAIR_STYLES))
    for seed in range(1200):
        counts[head.choice(float(head.sample_parameters(seed)[NAMES.index("hair_style")]), len(counts))] += 1
    assert counts.sum() == 1200 and (counts > 150).all()


def test_hair_is_where_its_style_has_it():
    top, shoulder, bun = (0.0, 0.156, -0.02), (0.095, -0.09, -0.06), (0.0, 0.105, -0.178)
    assert [s for s in head.HAIR_STYLES if inside(styled(s), *top)] == [
        "cropped",
        "curly",
        "parted",
        "long",
        "tied",
    ]
    assert [s for s in head.HAIR_STYLES if inside(styled(s), *shoulder)] == ["long"]
    assert [s for s in head.HAIR_STYLES if inside(styled(s), *bun)] == ["tied"]


@pytest.mark.parametrize("style", head.HAIR_STYLES[1:])
def test_strands_are_seen_up_close(style):
    """Fine structure on the back of the head that bald skin does not have."""
    behind = orbit(torch.tensor([3.1416]), torch.zeros(1))
    patch = (..., slice(42, 54), slice(54, 74))

    def energy(parameters):
        grey = render_head(parameters, behind, 128).rgb.mean(1, keepdim=True)
        return (grey - torch.nn.functional.avg_pool2d(grey, 5, 1, 2, count_include_pad=False))[
            patch
        ].square().mean() / grey[patch].mean().square()

    assert energy(styled(style)) > 2 * energy(styled("bald"))


def test_glasses_stand_before_the_eyes():
    bare, worn = anatomy.anatomy(person(glasses=-1.0)), anatomy.anatomy(person(glasses=1.0))
    assert solid.parts(bare, (torch.zeros(1),) * 3).glasses is None
    rim = worn.eye_x - 0.001 + worn.lens[0]
    z = torch.linspace(0.08, 0.14, 61)
    p = (torch.full_like(z, rim), torch.full_like(z, -0.003), z)
    frame = solid.parts(worn, p).glasses
    assert frame.min() < 0 and z[frame.argmin()] > 0.1


def test_expressions_move_what_they_name():
    front = orbit(torch.zeros(1), torch.zeros(1))
    mouth, eyes = (..., slice(84, 92), slice(54, 74)), (..., slice(60, 68), slice(40, 88))
    calm = render_head(person(), front, 128).rgb
    assert render_head(person(mouth_open=1.0), front, 128).rgb[mouth].min() < calm[mouth].min()
    closed = render_head(person(eyes_closed=1.0), front, 128).rgb
    assert (closed - calm)[eyes].abs().mean() > 3 * (closed - calm)[..., 100:110, 50:78].abs().mean()
    smile = anatomy.mouth_line(anatomy.anatomy(person(smile=1.0)), torch.tensor([0.0, 0.03]))
    assert smile[1] > smile[0] + 0.003
