import math

import pytest
import torch
from portrait_diffusion.models.synthetic.people import body as bodies
from portrait_diffusion.models.synthetic.people.scans import SKIN
from portrait_diffusion.models.synthetic.people.wear import bust as busts
from portrait_diffusion.models.synthetic.people.wear.curves import away, ring, scoop, vee
from portrait_diffusion.models.synthetic.people.wear.cut import cloth_piece, tube
from portrait_diffusion.models.synthetic.people.wear.hard import Metal
from portrait_diffusion.models.synthetic.people.wear.neck import COLUMNS
from portrait_diffusion.models.synthetic.splits import VALIDATION
from torch.testing import assert_close

PAINT = Metal(colour=torch.tensor([0.5, 0.4, 0.3]))


@pytest.fixture(scope="module", params=VALIDATION[:5])
def body(request, model):
    return bodies.draw_body(request.param)


@pytest.fixture(scope="module")
def bust(body, model):
    return busts.make_bust(body, model)


def test_shoulders_begin_on_the_scans_edge_without_a_gap(bust, body, model):
    faces = model.weld[model.faces[(model.faces < SKIN).all(1)]]
    sides = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(1).values
    pairs, count = torch.unique(sides, dim=0, return_counts=True)
    edge = pairs[count == 1].unique()
    edge = body.vertices[edge[body.rest[edge, 1] < -12]]
    chest = busts.bare_chest(bust, body, model, PAINT)
    apart = (edge[:, None] - chest.vertices[None, :COLUMNS]).norm(dim=-1).amin(1)
    assert len(edge) == 54 and apart.max() < 1e-6
    # points between the edge's vertices lie on its straight pieces
    row = bust.points[bust.loop]
    assert_close(row[1::2], (row[::2] + row[::2].roll(-1, 0)) / 2, atol=1e-6, rtol=0)


def test_shoulders_end_at_the_floor_closed(bust, body, model):
    chest = busts.bare_chest(bust, body, model, PAINT)
    assert chest.vertices.isfinite().all() and chest.vertices[:, 1].min() == pytest.approx(busts.FLOOR)
    sides = torch.cat([chest.faces[:, [0, 1]], chest.faces[:, [1, 2]], chest.faces[:, [2, 0]]])
    pairs, count = torch.unique(sides.sort(1).values, dim=0, return_counts=True)
    assert int((count == 1).sum()) == COLUMNS  # open only where it meets the scan


def test_shoulders_are_wider_than_the_neck_and_run_out_of_the_frame(bust):
    widths = bust.points[..., 0].amax(1) - bust.points[..., 0].amin(1)
    assert widths[-1] > 1.8 * widths[8]
    assert widths[-1] > 0.36


def test_rows_are_the_inverse_of_arcs(bust):
    column = torch.linspace(0, COLUMNS - 1, 31)
    arc = torch.linspace(-3, 6, 31)
    row = bust.row(column, arc)
    table = bust.arc
    low, start = row.long(), column.long()
    values = torch.lerp(table[low, start], table[low + 1, start], row - low)
    after = torch.lerp(table[low, (start + 1) % COLUMNS], table[low + 1, (start + 1) % COLUMNS], row - low)
    assert_close(torch.lerp(values, after, column - start), arc, atol=1e-4, rtol=0)


def test_grid_coordinates_give_the_grid_back(bust):
    points, normals, rest = bust.at(torch.tensor([7.0, 100.0]), torch.tensor([3.0, 30.0]))
    assert_close(points, bust.points[[3, 30], [7, 100]], atol=1e-6, rtol=0)
    assert_close(rest, bust.rest[[3, 30], [7, 100]], atol=1e-4, rtol=0)
    assert_close(normals.norm(dim=-1), torch.ones(2))


def test_columns_are_found_by_angle_on_any_turn(bust):
    turn = bust.azimuth[5]
    assert_close(bust.column(turn[None]), torch.tensor([5.0]), atol=1e-3, rtol=0)
    assert_close(bust.column(turn[None] - 4 * math.pi), torch.tensor([5.0]), atol=1e-3, rtol=0)


def test_cloth_lies_outside_the_skin(bust):
    cloth = cloth_piece(bust, PAINT, "cloth", top=ring(1.3, 0.7, 0.2), near=0.3, far=0.9)
    inner = cloth.vertices.view(-1, 144, 3)[2:-2].reshape(-1, 3)
    skin = bust.points.reshape(-1, 3)
    nearest = torch.cdist(inner, skin, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
    gap = ((inner - skin[nearest]) * bust.normals.reshape(-1, 3)[nearest]).sum(1) / bust.scale
    assert (gap > 0).float().mean() > 0.99 and gap.quantile(0.5) > 0.2


def test_curves_pass_through_what_they_are_named_by():
    turn = torch.tensor([0.0, math.pi / 2, math.pi, -math.pi / 2])
    assert_close(ring(3.0, 1.0, -2.0)(turn), torch.tensor([3.0, 1.0, -2.0, 1.0]), atol=1e-5, rtol=0)
    base = ring(1.0, 1.0, 1.0)
    assert_close(vee(4.0, 40.0, base)(turn), torch.tensor([5.0, 1.0, 1.0, 1.0]), atol=1e-5, rtol=0)
    assert_close(scoop(4.0, 40.0, base)(turn[:1]), torch.tensor([5.0]), atol=1e-5, rtol=0)
    assert_close(away(torch.tensor([3 * math.pi / 2])), torch.tensor([90.0]), atol=1e-3, rtol=0)


def test_a_closed_rod_has_a_torus_volume_and_looks_outward():
    angle = torch.arange(200) * (2 * math.pi / 200)
    path = torch.stack([angle.cos(), 0 * angle, angle.sin()], 1)
    rod = tube(path, path, torch.full((200,), 0.1), PAINT, "ring", sides=48, closed=True)
    corners = rod.vertices[rod.faces]
    volume = (corners[:, 0] * torch.linalg.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert float(volume) == pytest.approx(2 * math.pi**2 * 0.1**2, rel=0.01)
