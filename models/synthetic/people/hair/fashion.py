"""Who wears which style."""

from __future__ import annotations

from ..parts import Body
from ..streams import Draws

MEN = {
    "bald": 0.07,
    "buzz": 0.14,
    "crop": 0.3,
    "side part": 0.2,
    "swept back": 0.12,
    "curly": 0.08,
    "long straight": 0.02,
    "long wavy": 0.03,
    "bun": 0.02,
    "ponytail": 0.02,
}
WOMEN = {
    "buzz": 0.015,
    "crop": 0.05,
    "side part": 0.02,
    "swept back": 0.03,
    "curly": 0.1,
    "bob": 0.15,
    "long straight": 0.16,
    "long wavy": 0.18,
    "bun": 0.1,
    "ponytail": 0.12,
    "fringe": 0.1,
}
COILED_MEN = {
    "buzz": 0.3,
    "crop": 0.16,
    "afro": 0.18,
    "locs": 0.12,
    "cornrows": 0.09,
    "braids": 0.04,
    "bald": 0.08,
    "curly": 0.03,
}
COILED_WOMEN = {
    "afro": 0.2,
    "braids": 0.17,
    "locs": 0.1,
    "cornrows": 0.1,
    "curly": 0.12,
    "bun": 0.08,
    "long straight": 0.07,
    "long wavy": 0.06,
    "bob": 0.06,
    "buzz": 0.04,
}


def draw_style(body: Body, draws: Draws) -> str:
    """Who wears what: by sex, origin and age.

    Returns:
        "bald", "bun", "ponytail", "locs", "braids", "cornrows", or a name in `STYLES`.
    """
    coiled = body.origin == "tropics"
    weights = dict((COILED_MEN if body.male else COILED_WOMEN) if coiled else (MEN if body.male else WOMEN))
    if body.child > 0:
        weights.pop("bald", None)
    elif body.male:
        weights["bald"] *= 0.4 + 2.5 * max(0.0, body.age - 0.3)
    if body.age > 0.7:
        for name in ("long straight", "long wavy", "fringe", "locs"):
            weights[name] = weights.get(name, 0.0) * 0.5
        weights["crop"] = weights.get("crop", 0.0) + 0.12
    return draws.choice(weights)
