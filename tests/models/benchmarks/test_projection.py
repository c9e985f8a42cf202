"""`bench projection`: what it counts, on one head and on maps with known answers."""

import pytest
import torch
from portrait_diffusion.models.benchmarks.projection import bench as projection
from portrait_diffusion.models.benchmarks.projection import noise as projection_noise
from portrait_diffusion.models.benchmarks.projection.pairs import pairs


@pytest.fixture(scope="module")
def pair():
    return pairs(90_001, 30, 128)[0]


def test_a_pair_s_figures(pair):
    found = projection.view_figures(pair)
    assert found["PSNR, co-visible, picture"] > 28 and 0.8 < found["co-visible pixels known"] < 1
    assert found["void, recall"] > 0.9 and 0.4 < found["void, precision"] < 1
    assert 0 <= found["flying pixels"] < 0.05 * found["known pixels"]


def test_cells_and_their_partners_agree_with_the_flow(pair):
    partner, moved = projection_noise.partners(pair), projection_noise.flow(pair)
    cells = projection_noise.CELLS
    rows, columns = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
    seen = partner >= 0
    assert seen.sum() > 0.1 * cells**2
    back = torch.stack(
        [columns[seen] - partner[seen] % cells, rows[seen] - partner[seen] // cells]
    )  # from the partner to here
    assert (back - moved.flatten(1)[:, partner[seen]]).abs().median() < 1  # cells


def test_noise_s_figures_know_white_noise_and_copies():
    draws, known = torch.Generator().manual_seed(0), torch.ones(16, 16, dtype=torch.bool)
    noise, place = torch.randn(64, 4, 16, 16, generator=draws), torch.arange(256).view(16, 16)
    white, doubled = projection_noise.NoiseFigures(), projection_noise.NoiseFigures()
    white.add(noise, noise, known, place)
    doubled.add(noise[..., ::2].repeat_interleave(2, -1), noise, known, place)
    of_white, of_doubled = (
        {row.metric: row.value for row in one.rows("") if row.row == ""} for one in (white, doubled)
    )
    assert abs(of_white["mean, in standard errors"]) < 4 and abs(of_white["variance"] - 1) < 0.02
    assert of_white["correlation with the same surface's cell"] == pytest.approx(1, abs=0.01)
    assert (
        abs(of_white["correlation of neighbours, across"]) < 0.02
        and abs(of_doubled["correlation of neighbours, down"]) < 0.02
    )
    assert of_doubled["correlation of neighbours, across"] == pytest.approx(
        8 / 15, abs=0.02
    )  # every second neighbour is a copy
    assert of_doubled["correlation with the same surface's cell"] == pytest.approx(0.5, abs=0.02)


def test_comfyui_s_warping_is_left_out_where_comfyui_is_not(tmp_path):
    assert projection_noise.core_warping(None) is None and projection_noise.core_warping(tmp_path) is None
