"""Which groups of hair and skin a person is told by, so that a mean hides nobody."""

from __future__ import annotations

from .person import Person

HAIR = {  # styles that look alike from afar
    "bald": "bald or buzzed",
    "buzz": "bald or buzzed",
    "crop": "short",
    "side part": "short",
    "swept back": "short",
    "curly": "curly",
    "afro": "coiled",
    "locs": "coiled",
    "braids": "coiled",
    "cornrows": "coiled",
    "bob": "long",
    "long straight": "long",
    "long wavy": "long",
    "fringe": "long",
    "bun": "tied",
    "ponytail": "tied",
}
COVERS = {"beanie", "cap", "felt", "straw", "bucket", "wrap", "headscarf"}  # what hides most of the hair
SKIN = ((1.3, "light"), (3.0, "medium"), (6.0, "dark"))  # tones below, 0 to 5


def groups_of(person: Person) -> dict[str, str]:
    """The groups of a person of `draw_person`: "hair" and "skin"."""
    style, *worn = person.names
    hair = HAIR[style] if COVERS.isdisjoint(worn) else "covered"
    return {"hair": hair, "skin": skin_group(person.who.tone)}


def skin_group(tone: float) -> str:
    """The group of a skin's tone, 0 lightest to 5 darkest."""
    return next(name for top, name in SKIN if tone < top)
