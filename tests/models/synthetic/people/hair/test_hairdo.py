import math

import pytest
import torch
from portrait_diffusion.models.camera import orbit, project
from portrait_diffusion.models.mesh.rasterize import rasterize
from portrait_diffusion.models.synthetic.people.body import make_body
from portrait_diffusion.models.synthetic.people.hair.covered import lie_on
from portrait_diffusion.models.synthetic.people.hair.growth import cut, cut_below, off_the_face
from portrait_diffusion.models.synthetic.people.hair.hairdo import draw_hairdo, style_names
from portrait_diffusion.models.synthetic.people.hair.ribbons import ribbons
from portrait_diffusion.models.synthetic.people.hair.skull import bend, load_skull
from portrait_diffusion.models.synthetic.people.nature import nature
from portrait_diffusion.models.synthetic.people.parts import Hair
from portrait_diffusion.models.synthetic.splits import VALIDATION

SEED = VALIDATION[5]
LOWEST = -0.40  # scene units: where all geometry ends


@pytest.fixture(scope="module")
def body(model):
    return make_body(model, nature(SEED), SEED)


@pytest.fixture(scope="module")
def hairdos(model, body):
    return {style: draw_hairdo(model, body, SEED, style) for style in style_names()}


def test_a_seed_means_the_same_hair(model, body):
    first, second = (draw_hairdo(model, body, SEED) for _ in range(2))
    assert first.style == second.style
    for a, b in zip(first.pieces, second.pieces, strict=True):
        assert torch.equal(a.strands, b.strands) and torch.equal(a.colour, b.colour)


def test_other_names_are_refused(model, body):
    with pytest.raises(ValueError, match="expected one of bald, buzz"):
        draw_hairdo(model, body, SEED, "mohawk")


def test_there_are_the_styles_promised():
    promised = "bald buzz crop curly afro bob bun ponytail fringe locs braids cornrows".split()
    assert {*promised, "side part", "swept back", "long straight", "long wavy"} <= set(style_names())


@pytest.mark.parametrize("style", style_names())
def test_numbers_are_sound(hairdos, style):
    for piece in hairdos[style].pieces:
        assert piece.strands.isfinite().all() and (piece.width > 0).all()
        assert 0 <= piece.colour.min() and piece.colour.max() <= 1
        torch.testing.assert_close(
            piece.normals.norm(dim=-1), torch.ones(piece.depth.shape), atol=1e-3, rtol=0
        )
        assert float(piece.strands[..., 1].min()) >= LOWEST


@pytest.mark.parametrize("style", [name for name in style_names() if name not in ("bald", "cornrows")])
def test_strands_begin_on_the_scalp(body, hairdos, style):
    hair = hairdos[style].pieces[0]
    scalp = body.vertices[body.scalp > 0.01]
    away = torch.cdist(hair.strands[::20, 0], scalp).amin(1)
    assert float(away.quantile(0.97)) < 1.3 * body.scale  # vertices lie up to a centimetre apart


@pytest.mark.parametrize("style", [name for name in style_names() if name != "bald"])
def test_no_strand_runs_inside_the_head(model, body, hairdos, style):
    """Against the nearest vertices' planes; a tenth of a millimetre in a hundred is not seen."""
    points = hairdos[style].pieces[0].strands[::7, 2:].reshape(-1, 3)
    skin = body.vertices[:11248]
    high = points[points[:, 1] > -0.02]
    away, nearest = torch.cdist(high, skin).min(1)
    height = ((high - skin[nearest]) * body.normals[:11248][nearest]).sum(1)
    assert float(((height < -0.25 * body.scale) & (away < 3 * body.scale)).float().mean()) < 0.02


@pytest.mark.parametrize("style", [name for name in style_names() if name != "bald"])
def test_eyes_and_mouth_stay_free(body, hairdos, style):
    """Seen from the front, no strand of the head's hair runs across what is between eyes and chin."""
    strands = hairdos[style].pieces[0].strands
    middle = body.landmarks[[36, 45, 48, 54, 30, 8]]
    low, high = middle[:, :2].amin(0), middle[:, :2].amax(0)
    x, y, z = strands.unbind(-1)
    inside = (x > low[0] + 0.01) & (x < high[0] - 0.01) & (y > low[1]) & (y < high[1]) & (z > 0.02)
    assert float(inside.any(1).float().mean()) < 0.003


def test_brows_and_lashes_sit_above_the_eyes(body, hairdos):
    pieces = {piece.name: piece for piece in hairdos["bald"].pieces}
    pupils = body.pupils[:, 1].mean()
    assert float((pieces["brows"].strands[:, 0, 1] - pupils).min()) > 0
    near = torch.cdist(pieces["lashes"].strands[:, 0], body.landmarks[36:48]).amin(1)
    assert float(near.max()) < 0.9 * body.scale


def test_the_bend_carries_the_mean_heads_skin_onto_the_persons(body):
    scalp = (body.scalp > 0.5).nonzero()[:, 0]
    carried = bend(body.rest[scalp, None], body)[:, 0]
    assert float((carried - body.vertices[scalp]).norm(dim=1).mean()) < 0.1 * body.scale


def test_distances_to_the_mean_head(model):
    skull = load_skull(model)
    distance, gradient = skull(torch.tensor([[0.0, 17.0, 0.0], [0.0, 5.0, 0.0]]))
    assert 1.5 < float(distance[0]) < 4.0 and float(distance[1]) < -4.0 and float(gradient[0, 1]) > 0.9


def test_cut_hair_ends_at_the_cut():
    fall = torch.linspace(10, -10, 12)[None, :, None] * torch.tensor([0.0, 1.0, 0.0])
    torch.testing.assert_close(cut_below(fall, torch.tensor([2.5]))[0, -1, 1], torch.tensor(2.5))
    torch.testing.assert_close(cut_below(fall, torch.tensor([-20.0])), fall)
    torch.testing.assert_close(cut(fall, torch.tensor([0.5]))[0, -1, 1], torch.tensor(0.0), atol=1e-4, rtol=0)


def test_the_face_pushes_hair_aside():
    points = torch.tensor([[1.0, 0.0, 10.5], [-2.0, 3.0, 11.0], [0.0, 13.0, 8.0], [3.0, 2.0, -5.0]])
    moved = off_the_face(points)
    assert float(moved[0, 0]) > 5 and float(moved[1, 0]) < -2
    assert torch.equal(moved[2:], points[2:])


def strand(points, width=0.02):
    strands = torch.tensor(points, dtype=torch.float32)[None]
    return Hair(
        strands=strands,
        normals=torch.tensor([0.0, 0.0, 1.0]).expand_as(strands),
        width=torch.tensor([width]),
        colour=torch.full((1, 3), 0.1),
        depth=torch.ones(strands.shape[:2]),
        tip=1.0,
    )


@pytest.mark.parametrize("angle", [0.0, 0.4, 0.8, 1.3, 2.2])
def test_ribbons_cover_what_their_triangles_cover(angle):
    """The readable twin: two triangles that face the camera."""
    end = torch.tensor([math.cos(angle), math.sin(angle), 0.1]) * 0.2
    hair, camera, size = strand([[0.0, 0.0, 0.0], end.tolist()]), orbit(0.0, 0.0), 128
    seen = ribbons(hair, camera, size, torch.full((size, size), torch.inf))
    a, b = hair.strands[0]
    aside = torch.nn.functional.normalize(torch.linalg.cross(b - a, camera.position - a), dim=0) * 0.01
    image, depth = project(camera, torch.stack([a - aside, a + aside, b - aside, b + aside]))
    face, _ = rasterize(
        torch.cat([image * size, depth[:, None]], 1), torch.tensor([[0, 1, 2], [1, 3, 2]]), size, size
    )
    ours = torch.zeros(size * size, dtype=torch.bool)
    ours[seen.sample] = True
    twin = (face >= 0).flatten()
    assert float((ours ^ twin).float().sum() / twin.sum()) < 0.2  # their ends are cut another way
    assert (seen.distance - 2.7).abs().max() < 0.05


def test_surfaces_hide_hair():
    hair, camera = strand([[0.0, -0.1, 0.0], [0.0, 0.1, 0.0]]), orbit(0.0, 0.0)
    assert len(ribbons(hair, camera, 64, torch.full((64, 64), 2.6)).sample) == 0
    assert len(ribbons(hair, camera, 64, torch.full((64, 64), 2.8)).sample) > 20


def test_hair_lies_on_a_torso():
    grid = torch.stack(
        torch.meshgrid(torch.linspace(-0.3, 0.3, 60), torch.linspace(-0.4, -0.2, 20), indexing="ij"), -1
    )
    slab = [torch.cat([grid, torch.full_like(grid[..., :1], z)], -1) for z in (-0.1, 0.1)]
    hair = strand([[0.1, y, 0.05] for y in torch.linspace(0.0, -0.38, 30).tolist()])
    laid = lie_on(hair, torch.cat(slab)).strands[0]
    assert float(laid[-8:, 2].min()) > 0.1 and torch.equal(laid[:4], hair.strands[0, :4])
