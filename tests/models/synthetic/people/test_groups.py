"""models/synthetic/people/groups.py: every style and every tone belongs to a group, hats hide hair."""

from types import SimpleNamespace

import pytest
from portrait_diffusion.models.synthetic.people.groups import COVERS, HAIR, groups_of
from portrait_diffusion.models.synthetic.people.hair.hairdo import style_names


def somebody(*names, tone=1.0):
    return SimpleNamespace(names=names, who=SimpleNamespace(tone=tone))


def test_every_style_has_a_group():
    assert set(HAIR) == set(style_names())


@pytest.mark.parametrize(("tone", "skin"), [(0.0, "light"), (1.3, "medium"), (5.0, "dark")])
def test_skin_goes_by_its_tone(tone, skin):
    assert groups_of(somebody("locs", "tee", "daylight", tone=tone)) == {"hair": "coiled", "skin": skin}


def test_hats_hide_hair_and_headbands_do_not():
    assert groups_of(somebody("long wavy", "tee", "cap"))["hair"] == "covered"
    assert groups_of(somebody("long wavy", "tee", "headband"))["hair"] == "long"


def test_people_are_called_what_is_asked_for(person):
    assert COVERS.isdisjoint(style_names())
    assert set(groups_of(person)) == {"hair", "skin"}
