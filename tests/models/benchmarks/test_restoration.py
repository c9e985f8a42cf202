"""`bench restoration`: what is spoilt is spoilt, the front stays, and the rows compare what they say."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.benchmarks import restoration
from portrait_diffusion.models.field.triplane import FieldConfig
from portrait_diffusion.models.training import spoilt
from torch.testing import assert_close

from ..small import head as small_head


def field_at(head, points):
    with torch.no_grad():
        return head.field().raw(points)[0]


def points(seed=0, count=500):
    return (torch.rand(1, count, 3, generator=torch.Generator().manual_seed(seed)) - 0.5) * 0.6


def test_a_doubled_head_is_its_own_mirror_image():
    made, at = spoilt.spoil(small_head(), "doubled"), points()
    mirrored = at * torch.tensor([1.0, 1.0, -1.0])
    assert_close(field_at(made, at), field_at(made, mirrored), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", spoilt.KINDS)
@pytest.mark.parametrize("depth", [0, 2])
def test_the_front_half_stays_and_the_back_does_not(kind, depth):
    head = small_head()
    if depth == 0:
        head = replace(head, planes=head.planes[:, :, :, 0], config=replace(head.config, depth=0))
    made, at = spoilt.spoil(head, kind), points()
    texel = head.config.box_side / head.config.resolution
    front = at[at[..., 2] > 0.3][None]  # beyond the slices' cross-fade
    back = at[at[..., 2] < -2 * texel][None]
    assert_close(field_at(made, front), field_at(head, front), atol=1e-4, rtol=1e-4)
    assert (field_at(made, back) - field_at(head, back)).abs().mean() > 1e-3


def test_a_flattened_back_is_the_old_one_nearer():
    head = small_head()
    flat = replace(head, planes=head.planes[:, :, :, 0], config=replace(head.config, depth=0))
    planes = flat.planes.clone()
    planes[:, 0] = 0  # what does not know z
    flat = replace(flat, planes=planes)
    made, at = spoilt.spoil(flat, "flattened"), points()
    back = at[(at[..., 2] < -0.08) & (at[..., 2] > -0.2)][None]
    true = back * torch.tensor([1.0, 1.0, 1 / spoilt.AMOUNTS["flattened"]])
    error = (field_at(made, back) - field_at(flat, true)).abs().mean()
    assert error < 0.2 * (field_at(flat, back) - field_at(flat, true)).abs().mean()


def test_a_dent_is_the_surface_behind_pushed_in():
    head = small_head()
    flat = replace(head, planes=head.planes[:, :, :, 0], config=replace(head.config, depth=0))
    made = spoilt.spoil(flat, "dented")
    texel, amount = head.config.box_side / head.config.resolution, spoilt.AMOUNTS["dented"]
    planes = {name: made.planes[0, i, 0] for i, name in enumerate(spoilt.AXES)}
    z = (torch.arange(16) + 0.5) * texel - head.config.box_side / 2
    behind = int((z + 0.15).abs().argmin())  # beyond the ramp
    fall = float(torch.exp(-((z[8] / spoilt.WIDTH) ** 2)))
    row = (z[behind] - amount * fall + head.config.box_side / 2) / texel - 0.5
    low = int(row)
    true = planes_of(flat, "xz")[low, 8] * (1 - (row - low)) + planes_of(flat, "xz")[low + 1, 8] * (row - low)
    assert_close(planes["xz"][behind, 8], true, atol=1e-5, rtol=1e-4)
    assert torch.equal(planes["xy"], planes_of(flat, "xy"))


def planes_of(head, name):
    return head.planes[0, spoilt.AXES.index(name), 0]


def test_bad_input_is_named():
    head = small_head()
    with pytest.raises(ValueError, match="doubled, flattened, dented, slipped"):
        spoilt.spoil(head, "bent")
    other = replace(
        head, config=FieldConfig(channels=4, depth=2, resolution=16, plane_axes=("xy", "yz", "xz"))
    )
    with pytest.raises(ValueError, match="expected planes xy, xz, yz"):
        spoilt.spoil(other, "doubled")


def test_rows_compare_the_block_with_the_prior():
    run = restoration.RestorationBench.__new__(restoration.RestorationBench)
    run.own = {"seed 0": "doubled", "seed 1": "dented", "seed 2": "doubled"}
    figures = dict.fromkeys(restoration.UNITS, 1.0)
    run.done = {
        f"doubled: {restoration.PRIOR}": {f"seed {i}": {**figures, "depth error": 0.02} for i in range(3)},
        f"doubled: {restoration.BLOCK}": {f"seed {i}": {**figures, "depth error": 0.01} for i in range(3)},
    }
    rows = {(row.row, row.metric): row.value for row in run.rows()}
    assert rows[(f"spoilt: {restoration.BLOCK} less {restoration.PRIOR}", "depth error")] == pytest.approx(
        -0.01
    )
    assert (f"spoilt: {restoration.BLOCK} less {restoration.PRIOR}", "time") not in rows
    counts = {row.row: row.n for row in run.rows()}
    assert (counts[f"doubled: {restoration.PRIOR}"], counts[f"spoilt: {restoration.PRIOR}"]) == (3, 2)
