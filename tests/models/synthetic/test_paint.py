import pytest
import torch
from portrait_diffusion.models.synthetic import anatomy, head, paint, rendering


@pytest.mark.whole
def test_every_colour_is_continuous_in_the_parameters():
    for seed in range(90_000, 90_004):
        parameters = head.sample_parameters(seed).clamp(-0.99, 0.99)
        points = torch.stack(list(rendering.landmarks(parameters).values()))
        points = torch.cat(
            [points, torch.tensor([[0.0, 0.16, 0.0], [0.0, 0.0, -0.16], [0.2, -0.3, 0.0], [0.1, 0.0, 0.0]])]
        )
        normals = torch.nn.functional.normalize(points, dim=-1)

        def colours(p):
            return paint.colour(anatomy.anatomy(p), paint.palette(p), points, normals)

        before = colours(parameters)
        for i in range(len(parameters)):
            changed = parameters.clone()
            changed[i] += 1e-4
            assert (colours(changed) - before).abs().max() < 0.02


def test_pupils_are_dark_and_lips_redder_than_skin():
    parameters = head.mean_parameters()
    measures, paints = anatomy.anatomy(parameters), paint.palette(parameters)
    marks = rendering.landmarks(parameters)
    assert paints.lips[0] - paints.lips[1] > paints.skin[0] - paints.skin[1]
    pupil = paint.colour(measures, paints, marks["left_pupil"][None], torch.tensor([[0.0, 0.0, 1.0]]))
    assert pupil.max() < 0.1


def test_light_comes_from_above_and_in_front_of_everybody():
    for seed in range(90_000, 90_020):
        x, y, z = paint.palette(head.sample_parameters(seed)).light
        assert y > 0.2 and z > 0.2
        assert abs(x * x + y * y + z * z - 1) < 1e-6


def test_parameters_move_what_they_name():
    def of(name, value):
        parameters = head.mean_parameters()
        parameters[head.PARAMETER_NAMES.index(name)] = value
        return paint.palette(parameters)

    assert sum(of("skin_darkness", 1).skin) < sum(of("skin_darkness", -1).skin)
    assert sum(of("hair_lightness", 1).hair) > sum(of("hair_lightness", -1).hair)
    assert of("eye_colour", 1).iris[2] > of("eye_colour", -1).iris[2]
    assert of("beard", -1).beard == 0 and of("beard", 1).beard == 1
    assert sum(of("clothing_lightness", 1).clothing) > sum(of("clothing_lightness", -1).clothing)
