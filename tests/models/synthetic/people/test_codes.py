"""models/synthetic/people/codes.py: what a picture shows of a person is told in numbers of about one size."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.synthetic.people import codes
from portrait_diffusion.models.synthetic.people import person as people
from portrait_diffusion.models.synthetic.people.hair import hairdo
from portrait_diffusion.models.synthetic.people.light import make_light

pytestmark = pytest.mark.whole  # minutes in all

FEW, MANY = 10, 300


@contextmanager
def plainly() -> Iterator[None]:
    """People without what codes do not ask for and what takes time: light upon surfaces, their shade, normals of hair; of four strands
    on the head, which codes know by means, shares and quantiles, there is one.
    """
    honest = hairdo.scatter
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people, "make_scene", lambda *parts: None)
        patch.setattr(people, "_eye_shade", lambda body: None)
        patch.setattr(hairdo, "hair_cloud", lambda pieces: None)
        patch.setattr(hairdo, "surface_normals", lambda cloud, strands, outward: outward)
        patch.setattr(hairdo, "scatter", lambda *place: honest(*place[:3], place[3] // 4, place[4]))
        yield


def amounts_of(seeds, model):
    """Amounts [N, AMOUNTS]."""
    with plainly():
        return torch.stack([codes.amounts(people.draw_person(seed), model) for seed in seeds])


@pytest.fixture(scope="module")
def crowd(model):
    """Amounts [MANY, AMOUNTS] of people."""
    return amounts_of(range(MANY), model)


def test_codes_are_finite_the_same_again_and_of_one_norm(crowd, model):
    amounts = crowd[:FEW]
    assert crowd.shape == (MANY, codes.AMOUNTS) and crowd.isfinite().all()
    assert torch.equal(amounts_of(range(2), model), amounts[:2])
    whole = codes.identity_codes(amounts)
    assert whole.shape == (FEW, codes.CODE_DIM) and torch.equal(whole[:, :-1], amounts)
    within = amounts.square().sum(1) < codes.CODE_DIM
    assert within.float().mean() > 0.8
    torch.testing.assert_close(whole[within].square().mean(1), torch.ones(int(within.sum())))


def test_every_number_has_a_spread_of_about_one(crowd):
    spread = crowd.std(0)
    assert 0.3 < spread.min() and spread.max() < 3


def test_people_who_look_alike_are_near(crowd, model):
    strangers = crowd[:FEW]
    with plainly():
        someone = people.draw_person(0)
    light = someone.light
    dimmer = make_light(list(light.lamps), list(light.soft), light.ambient * 0.9, light.name)
    grown = [replace(piece, strands=piece.strands + 0.001) for piece in someone.hair]
    twin = codes.amounts(replace(someone, light=dimmer, hair=tuple(grown)), model)
    away = (strangers[1:] - strangers[0]).norm(dim=1)
    assert 0 < (twin - strangers[0]).norm() < 0.2 * away.min()


def test_what_is_worn_shows_only_where_it_is_worn(person, model):
    amounts = codes.amounts(person, model)
    bare = replace(person, surfaces=tuple(s for s in person.surfaces if s.name != "button"))
    assert torch.equal(codes.amounts(bare, model), amounts)
    undressed = replace(person, surfaces=tuple(s for s in person.surfaces if s.name in codes.INNER))
    assert not torch.equal(codes.amounts(undressed, model), amounts)
    with pytest.raises(ValueError, match="roots of hair"):
        codes.amounts(replace(person, surfaces=person.surfaces[1:]), model)


def test_parameters_that_hold_no_code_are_refused():
    with pytest.raises(ValueError, match="factory 3"):
        codes.identity_codes(torch.zeros(2, 62))
