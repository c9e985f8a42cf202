"""models/fitting/sweep.py: what hangs in the air is found and goes; all else stays."""

import math
from dataclasses import replace
from functools import cache

import pytest
import torch
from portrait_diffusion.models.fitting import sweep as sweeping
from portrait_diffusion.models.fitting.state import ForeignState, SavedState, marked
from portrait_diffusion.models.fitting.sweep import Sweep, opacity, sweep_loss, sweep_of

from ..field.test_occupancy import ball_field
from ..field.test_volume_rendering import Ball

ASIDE = torch.tensor([0.4, 0.4, 0.0])
AT_SIDE = torch.tensor([0.47, 0.4, 0.0])


class Two(Ball):
    """A small ball beside the large one."""

    def raw(self, points):
        raw, features = super().raw(points)
        return torch.maximum(raw, (0.03 - (points - ASIDE).norm(dim=-1)) / self.blur), features


@pytest.fixture(scope="module", autouse=True)
def fewer_cells():
    """As many as balls of 0.03 need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "CELLS", 104)
        yield


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


@cache
def sweep_over(kind):
    """Of a kind of field."""
    return sweep_of(kind(), draws())


def test_strays_are_points_about_the_smaller_piece_only():
    assert not len(sweep_over(Ball).strays)
    sweep = sweep_over(Two)
    assert len(sweep.strays) > 20 and (sweep.strays - ASIDE).norm(dim=-1).max() < 0.07
    assert ((sweep.points - ASIDE).norm(dim=-1) > 0.02).all()
    assert torch.equal(sweep.alpha, opacity(Two(), sweep.points)) and sweep.alpha.max() > 0.9


class Tied(Ball):
    """A small ball at the box's side, which is solid all around, as where planes fade."""

    def raw(self, points):
        raw, features = super().raw(points)
        aside = (0.03 - (points - AT_SIDE).norm(dim=-1)) / self.blur
        return torch.maximum(torch.maximum(raw, aside), (points.abs().amax(-1) - 0.499) * 1e4), features


def test_the_boxs_sides_do_not_tie_pieces_to_each_other_and_go_as_well():
    strays = sweep_of(Tied(), draws()).strays
    aside = (strays - AT_SIDE).norm(dim=-1) < 0.06
    assert aside.sum() > 5 and (strays[~aside].abs().amax(-1) > 0.45).all()
    corners = (strays.abs() > 0.49).all(-1)
    assert corners.sum() == 8 * 2**3  # a cell and its neighbours inwards


class Bridged(Two):
    """The small ball tied to the large one by a bridge too faint for a mesh."""

    def raw(self, points):
        raw, features = super().raw(points)
        along = points @ (ASIDE / ASIDE.norm())
        beside = (points - along[..., None] * (ASIDE / ASIDE.norm())).norm(dim=-1)
        bridge = (beside < 0.02) & (along > 0) & (along < ASIDE.norm())
        faint = math.log(0.5 * self.config.surface_density / self.peak)  # half of a mesh's density, roughly
        return torch.where(bridge, raw.clamp(min=faint), raw), features


def test_what_only_faint_matter_ties_goes_with_the_end_of_its_bridge():
    field = Bridged()
    half = field.density(0.85 * ASIDE[None])[0] / field.config.surface_density
    assert 0.3 < half < 0.7
    strays = sweep_of(field, draws()).strays
    assert ((strays - ASIDE).norm(dim=-1) < 0.03).sum() > 20 and (strays - ASIDE).norm(dim=-1).max() < 0.07


def test_nothing_is_lost_where_there_is_nothing_or_only_strays_are_not():
    assert sweep_loss(Ball(), sweep_over(Ball), draws(1)) == 0
    assert sweep_loss(Two(), sweep_over(Two), draws(1)) > 0.1


def test_steps_empty_strays_and_keep_the_rest():
    field, point = ball_field(0), torch.tensor([[0.05, 0.0, 0.0]])
    sweep = replace(sweep_of(field, draws()), strays=point.expand(40, 3))
    planes = field.planes.clone().requires_grad_()
    optimiser, points = torch.optim.Adam([planes], 0.3), draws(1)
    for _ in range(40):
        loss = sweep_loss(replace(field, planes=planes), sweep, points)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        moved = replace(field, planes=planes)
        assert moved.density(point[None]) < 0.7 * field.density(point[None])
        assert (opacity(moved, sweep.points) - sweep.alpha).abs().mean() < 0.1


def test_it_is_read_again_from_a_state_and_half_of_one_is_named():
    sweep = sweep_over(Two)
    tensors, device = marked("inversion") | sweep.tensors(), torch.device("cpu")
    again = Sweep.of(SavedState("inversion", tensors, {}), device)
    assert again is not None
    pairs = zip(sweep.tensors().values(), again.tensors().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert Sweep.of(SavedState("inversion", marked("inversion"), {}), device) is None
    del tensors["sweep.alpha"]
    with pytest.raises(ForeignState, match=r"sweep\.alpha"):
        Sweep.of(SavedState("inversion", tensors, {}), device)
