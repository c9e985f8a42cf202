"""models/fitting/finish.py: what hangs in the air is found and goes; colours that a photo tells badly come from beside."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.fitting.finish import (
    Finish,
    filled,
    finish_loss,
    finish_of,
    stray_points,
    surface_of,
    told,
)
from portrait_diffusion.models.fitting.state import ForeignState, SavedState, marked

from ..field.test_occupancy import ball_field
from ..field.test_volume_rendering import RADIUS, Ball
from .test_coverage import disc

SAMPLING = RenderConfig(coarse=16, fine=16)
ASIDE = torch.tensor([0.4, 0.4, 0.0])


class Two(Ball):
    """A small ball beside the large one."""

    def raw(self, points):
        raw, features = super().raw(points)
        return torch.maximum(raw, (0.03 - (points - ASIDE).norm(dim=-1)) / self.blur), features


def test_strays_are_points_about_the_smaller_piece_only():
    assert not len(stray_points(Ball()))
    strays = stray_points(Two())
    assert len(strays) > 20 and (strays - ASIDE).norm(dim=-1).max() < 0.07


def test_told_well_are_points_that_face_the_photo_inside_its_mask():
    reference = disc(0.15)
    front = surface_of(Ball(), reference.camera[None], 64, SAMPLING)
    normals = torch.tensor([[0.0, 0, 1], [0, 0, -1], [1, 0, 0], [0.8, 0, 0.6]])
    well, hidden = told(normals * RADIUS, normals, front, reference)
    assert well.tolist() == [True, False, False, False]  # the last lies outside the mask
    assert hidden.tolist() == [False, True, False, False]


def test_colours_that_nobody_tells_come_from_beside():
    points = torch.tensor([[0.0, 0, 0], [0.01, 0, 0], [0.2, 0, 0], [0.19, 0, 0]])
    red, blue, green = torch.eye(3)[[0, 2, 1]]
    rgb = torch.stack([red, green, blue, green])
    well, hidden = torch.tensor([True, False, False, False]), torch.tensor([False, False, True, False])
    after = filled(points, rgb, well, hidden)
    assert torch.equal(after[[0, 2]], rgb[[0, 2]])
    assert after[1, 0] > 0.99 and after[3, 2] > 0.99


def test_the_last_steps_empty_strays_and_keep_the_surface():
    field = ball_field(0)
    planes = field.planes.clone().requires_grad_()
    finish = finish_of(field, disc(0.15), None, SAMPLING, torch.Generator().manual_seed(0))
    finish = replace(finish, strays=torch.tensor([[0.05, 0.0, 0.0]]).expand(40, 3))
    before = field.density(finish.strays[None, :1]).item()
    optimiser, draws = torch.optim.Adam([planes], 0.1), torch.Generator().manual_seed(1)
    for _ in range(30):
        loss = finish_loss(replace(field, planes=planes), finish, draws)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        after = replace(field, planes=planes).density(finish.strays[None, :1]).item()
    assert before > 10 and after < 0.9 * before


def test_it_is_read_again_from_a_state_and_half_of_one_is_named():
    finish = finish_of(Ball(), disc(0.15), None, SAMPLING, torch.Generator().manual_seed(0))
    tensors = marked("inversion") | finish.tensors()
    again = Finish.of(SavedState("inversion", tensors, {}), torch.device("cpu"))
    assert again is not None and all(
        torch.equal(a, b) for a, b in zip(finish.tensors().values(), again.tensors().values(), strict=True)
    )
    assert Finish.of(SavedState("inversion", marked("inversion"), {}), torch.device("cpu")) is None
    del tensors["finish.rgb"]
    with pytest.raises(ForeignState, match="finish.rgb"):
        Finish.of(SavedState("inversion", tensors, {}), torch.device("cpu"))
