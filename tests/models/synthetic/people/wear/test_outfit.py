from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.synthetic.people import body as bodies
from portrait_diffusion.models.synthetic.people.parts import Hair
from portrait_diffusion.models.synthetic.people.scans import SKIN
from portrait_diffusion.models.synthetic.people.streams import Draws
from portrait_diffusion.models.synthetic.people.wear import bands, hats, outfit
from portrait_diffusion.models.synthetic.people.wear.bust import FLOOR, make_bust
from portrait_diffusion.models.synthetic.people.wear.curves import ring
from portrait_diffusion.models.synthetic.people.wear.fabric import Fabric, gradient
from portrait_diffusion.models.synthetic.people.wear.hard import Metal
from portrait_diffusion.models.synthetic.people.wear.patterns import PATTERNS
from portrait_diffusion.models.synthetic.people.wear.scarf import headscarf
from portrait_diffusion.models.synthetic.people.wear.skull import make_skull
from portrait_diffusion.models.synthetic.people.wear.spectacles import glasses
from portrait_diffusion.models.synthetic.people.wear.weaves import WEAVES
from portrait_diffusion.models.synthetic.splits import VALIDATION
from torch.testing import assert_close

SKIN_PAINT = Metal(colour=torch.tensor([0.5, 0.4, 0.3]))
SEEDS = VALIDATION[:3]


@pytest.fixture(scope="module", params=SEEDS)
def person(request, model):
    body = bodies.draw_body(request.param)
    return request.param, body, make_bust(body, model)


def check(part):
    """A surface that can be drawn: finite, above the floor, its paint within its ranges."""
    assert part.vertices.isfinite().all() and part.rest.isfinite().all(), part.name
    assert part.vertices[:, 1].min() >= FLOOR - 1e-6 and part.vertices.abs().max() < 0.5, part.name
    assert 0 <= int(part.faces.min()) and int(part.faces.max()) < len(part.vertices), part.name
    paint = part.paint(part.rest[::7])
    for name in ("albedo", "roughness", "specular", "scatter", "bump", "opacity"):
        assert getattr(paint, name).isfinite().all(), (part.name, name)
    assert paint.albedo.min() >= 0 and paint.albedo.max() <= 1
    assert paint.opacity.min() >= 0 and paint.opacity.max() <= 1
    assert paint.roughness.min() > 0 and paint.roughness.max() <= 1


@pytest.mark.parametrize("name", outfit.GARMENTS)
def test_every_garment_fits_every_body(person, name):
    seed, _, bust = person
    for part in outfit.GARMENTS[name][0](bust, Draws(seed, "test")):
        check(part)


@pytest.mark.parametrize("name", outfit.HATS)
def test_every_hat_lies_outside_the_skull(person, name):
    seed, body, _ = person
    worn = outfit.HATS[name][0](body, Draws(seed, "test"))
    used = body.faces.unique()
    skin = used[used < SKIN]
    for part in worn.surfaces:
        check(part)
        if part.name in ("hat", "wrap", "cuff", "headband"):
            outside = part.vertices.view(-1, hats.COLUMNS, 3)[1:-1].reshape(-1, 3)
            nearest = skin[torch.cdist(outside, body.vertices[skin]).argmin(1)]
            gap = ((outside - body.vertices[nearest]) * body.normals[nearest]).sum(1)
            assert (gap > 0).float().mean() > 0.985, (part.name, float(gap.min()))


def test_headscarves_leave_the_face_free(person):
    seed, body, bust = person
    worn = headscarf(body, bust, Draws(seed, "test"))
    for part in worn.surfaces:
        check(part)
    cloth = torch.cat([part.vertices for part in worn.surfaces])
    for mark in (30, 36, 45, 51, 57):  # nose, eyes, lips: nothing straight before them
        across = (cloth[:, :2] - body.landmarks[mark, :2]).norm(dim=1) < 0.008
        assert not (cloth[across, 2] > body.landmarks[mark, 2]).any()


@pytest.mark.parametrize("sun", [False, True])
def test_glasses_stay_off_the_face(person, sun):
    seed, body, _ = person
    frame, lenses = glasses(body, Draws(seed, "test"), sun=sun)
    check(frame)
    check(lenses)
    assert lenses.transparent and not frame.transparent
    face = body.vertices[:SKIN]
    for part in (frame, lenses):
        front = part.vertices[part.vertices[:, 2] > body.pupils[0, 2] + 0.012]
        nearest = torch.cdist(front, face).argmin(1)
        gap = ((front - face[nearest]) * body.normals[:SKIN][nearest]).sum(1)
        assert (gap > -0.001).float().mean() > 0.98, part.name
    assert_close(lenses.vertices[:, 0].mean(), torch.tensor(0.0), atol=2e-3, rtol=0)  # one before each eye


def test_a_seed_dresses_a_person_in_the_same_way_twice(model):
    body = bodies.draw_body(SEEDS[0])
    first, second = (outfit.draw_wear(body, model, SEEDS[0], SKIN_PAINT) for _ in range(2))
    assert first.names == second.names
    for one, two in zip(first.surfaces, second.surfaces, strict=True):
        assert torch.equal(one.vertices, two.vertices) and torch.equal(one.faces, two.faces)
        assert torch.equal(one.paint(one.rest[:50]).albedo, two.paint(two.rest[:50]).albedo)


def test_many_seeds_wear_many_things(model):
    names = set()
    for seed in VALIDATION[:40]:
        worn = outfit.draw_wear(bodies.draw_body(seed), model, seed, SKIN_PAINT)
        names |= set(worn.names)
    assert len(names & set(outfit.GARMENTS)) >= 8 and "glasses" in names


def strand(points):
    return Hair(
        strands=points,
        normals=torch.zeros_like(points),
        width=torch.ones(len(points)),
        colour=torch.ones(len(points), 3),
        depth=torch.ones(points.shape[:2]),
        name="hair",
    )


def test_hair_goes_below_a_hat_and_stays_elsewhere(person):
    _, body, _ = person
    skull = make_skull(body)
    rim = ring(8.5, 5.0, -1.0)
    high = skull.centre + torch.tensor([[[0.0, 0.16, 0.0], [0.0, 0.19, 0.01]]])
    low = torch.tensor([[[0.1, -0.2, 0.0], [0.1, -0.25, 0.0]]])
    tucked = skull.tuck(high, rim, 0.4)
    inner = (tucked - skull.centre).norm(dim=-1)
    assert (inner <= skull.radius.max() + 0.4 * skull.scale).all()
    assert_close(skull.tuck(tucked, rim, 0.4), tucked, atol=1e-5, rtol=0)
    assert torch.equal(skull.tuck(low, rim, 0.4), low)


def test_headscarves_hide_hair_but_not_brows(person):
    seed, body, bust = person
    scarf = headscarf(body, bust, Draws(seed, "test"))
    worn = outfit.Wear(surfaces=(), headwear=scarf, torso=torch.zeros(1, 3), names=())
    piece = strand(torch.zeros(2, 3, 3))
    brows = replace(piece, name="brows")
    assert worn.under([piece, brows]) == [brows]
    bare = outfit.Wear(surfaces=(), headwear=None, torso=torch.zeros(1, 3), names=())
    assert bare.under([piece]) == [piece]


def test_a_hoop_presses_hair_only_below_itself(person):
    seed, body, _ = person
    skull = make_skull(body)
    fabric = Fabric(colours=(torch.zeros(3), torch.zeros(3), torch.zeros(3)))
    _, tuck = bands.hoop(skull, fabric, 0.5)
    behind = skull.centre + torch.tensor([[[0.0, 0.02, -0.2]]])
    assert_close(tuck(behind), behind, atol=1e-4, rtol=0)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_mix_colours_within_range(pattern):
    rest = torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) * 40 - 20
    black, white = torch.zeros(3), torch.ones(3)
    for seed in range(3):
        cloth = Fabric(colours=(black, white, white), pattern=pattern, seed=seed)
        paint = cloth.paint(rest)
        assert paint.albedo.min() >= 0 and paint.albedo.max() <= 1


@pytest.mark.parametrize("weave", WEAVES)
def test_weaves_have_finite_slopes(weave):
    rest = torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) * 40 - 20
    bump = Fabric(colours=(torch.ones(3), torch.ones(3), torch.ones(3)), weave=weave).bump(rest)
    assert bump.isfinite().all() and bump.norm(dim=1).median() < 3


def test_the_gradient_of_a_plane_is_its_slope():
    slope = torch.tensor([0.3, -1.2, 0.5])
    rest = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    assert_close(gradient(lambda p: p @ slope, rest, 0.05), slope.expand(20, 3), atol=1e-4, rtol=0)
