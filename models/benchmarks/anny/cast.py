"""Who is drawn: bodies, faces, expressions and styles of a seed, in turn of all ages, builds, origins and both sexes."""

from __future__ import annotations

from dataclasses import dataclass

from ...synthetic.people.nature import Nature
from ...synthetic.people.streams import Draws

ORIGINS = ("caucasian", "african", "asian")
MIXED = {  # of which origins: anny's shares' lean, where skin and hair come from, range of skin tones
    "caucasian": ("north", (0.2, 1.6)),
    "african": ("tropics", (3.3, 4.9)),
    "asian": ("east", (0.6, 1.9)),
    "mixed": ("middle", (1.8, 3.3)),
}
MEN = (  # origin and hair of six in a row
    ("caucasian", "short"),
    ("african", "bald"),
    ("asian", "buzz"),
    ("mixed", "swept"),
    ("african", "short"),
    ("caucasian", "curls"),
)
WOMEN = (
    ("african", "curls"),
    ("asian", "bob"),
    ("caucasian", "bun"),
    ("mixed", "long"),
    ("caucasian", "long"),
    ("asian", "short"),
)
WEIGHTS = (0.3, 0.55, 0.8, 0.45, 0.95, 0.6)  # anny's, in turn
SHAPES = {  # of anny's local changes: the deviation of how strong one is
    "forehead-temple-incr": 0.35,
    "forehead-scale-vert-incr": 0.3,
    "forehead-trans-forward": 0.25,
    "head-scale-horiz-incr": 0.3,
    "head-scale-depth-incr": 0.25,
    "head-scale-vert-incr": 0.25,
    "head-back-scale-depth-incr": 0.3,
    "chin-height-incr": 0.3,
    "chin-width-incr": 0.35,
    "chin-prominent-incr": 0.3,
    "chin-bones-incr": 0.3,
    "nose-scale-vert-incr": 0.3,
    "nose-scale-horiz-incr": 0.35,
    "nose-hump-incr": 0.4,
    "nose-width2-incr": 0.35,
    "nose-point-up": 0.35,
    "nose-point-width-incr": 0.35,
    "nose-volume-incr": 0.3,
    "nose-flaring-incr": 0.3,
    "mouth-scale-horiz-incr": 0.25,
    "mouth-upperlip-height-incr": 0.3,
    "mouth-lowerlip-height-incr": 0.3,
    "mouth-trans-up": 0.2,
    "mouth-angles-up": 0.25,
    "eyebrows-angle-up": 0.15,
    "eyebrows-trans-up": 0.2,
    "neck-scale-horiz-incr": 0.2,
    "neck-scale-vert-incr": 0.2,
    "neck-double-incr": 0.1,
    "head-fat-incr": 0.2,
}
PAIRED = {
    "cheek-volume-incr": 0.35,
    "cheek-bones-incr": 0.35,
    "cheek-inner-incr": 0.3,
    "eye-scale-incr": 0.2,
    "eye-corner1-up": 0.3,
    "eye-corner2-up": 0.3,
    "eye-height2-incr": 0.25,
    "eye-bag-incr": 0.3,
    "ear-scale-incr": 0.3,
    "ear-wing-incr": 0.35,
    "ear-lobe-incr": 0.4,
}
SOFT = {  # what is added for women, to both sides where there are two
    "chin-width-incr": -0.3,
    "chin-bones-incr": -0.35,
    "nose-scale-horiz-incr": -0.25,
    "nose-hump-incr": -0.2,
    "mouth-upperlip-height-incr": 0.25,
    "mouth-lowerlip-height-incr": 0.2,
    "eye-scale-incr": 0.2,
    "neck-scale-horiz-incr": -0.3,
}
HEAVY = {"head-fat-incr": 0.7, "neck-double-incr": 0.6, "cheek-volume-incr": 0.5}  # at the greatest weight
MOODS = {  # of anny's facial actions, both sides where there are two, at full strength
    "calm": {},
    "smile": {"mouthSmile": 0.7, "cheekSquint": 0.5, "eyeSquint": 0.25},
    "wry": {"mouthSmileLeft": 0.6, "browOuterUpRight": 0.5, "cheekSquintLeft": 0.4},
    "stern": {"browDown": 0.6, "mouthPress": 0.4, "mouthFrown": 0.3},
    "surprised": {"browInnerUp": 0.6, "browOuterUp": 0.6, "eyeWide": 0.5},
}


@dataclass(frozen=True, kw_only=True)
class Role:
    """One person before there is a mesh.

    Attributes:
        who: as of factory 3. phenotype, local, actions: anny's numbers by name. style: of the hair. gaze: radians aside and up.
    """

    seed: int
    who: Nature
    phenotype: dict[str, float]
    local: dict[str, float]
    actions: dict[str, float]
    style: str
    mood: str
    gaze: tuple[float, float]


def draw_role(seed: int, labels: tuple[str, ...]) -> Role:
    """The person of a seed. Twelve in a row are six men and six women, of all origins; the last of twelve is a child.

    Args:
        labels: names of the local changes that the model knows.

    Raises:
        ValueError: a negative seed.
    """
    draws = Draws(seed, "anny")
    male, place = seed % 2 == 0, seed // 2 % 6
    origin, style = (MEN if male else WOMEN)[place]
    where, tones = MIXED[origin]
    child = 0.7 if seed % 12 == 11 else 0.0
    who = Nature(
        male=male,
        tone=draws.uniform(*tones),
        origin=where,
        age=0.0 if child else draws.uniform(0.0, 0.15) + 0.17 * (place * 2 + male) % 0.85,
        child=child,
        weight=2 * WEIGHTS[(place + 2 * (not male)) % 6] - 1 + draws.uniform(-0.2, 0.2),
    )
    mood = list(MOODS)[(seed * 2 + seed // 5) % len(MOODS)]
    return Role(
        seed=seed,
        who=who,
        phenotype=_phenotype(who, origin, draws),
        local=_local(labels, who, draws),
        actions=_actions(mood, draws),
        style=style,
        mood=mood,
        gaze=(draws.normal(0.0, 0.06), draws.normal(0.0, 0.03)),
    )


def _phenotype(who: Nature, origin: str, draws: Draws) -> dict[str, float]:
    """anny's large-scale numbers by name, 0 to 1; it counts from men to women, and from birth to old age."""
    mixed = origin == "mixed"
    shares = {name: draws.uniform(0.25, 0.5) if mixed else draws.uniform(0.0, 0.15) for name in ORIGINS}
    return {
        **shares,
        **({} if mixed else {origin: 1.0}),
        "gender": draws.uniform(0.0, 0.15) if who.male else draws.uniform(0.85, 1.0),
        "age": 0.42 if who.child else 0.62 + 0.36 * who.age,
        "weight": min(1.0, (1 + who.weight) / 2),
        "muscle": draws.uniform(0.35, 0.7),
        "height": draws.uniform(0.4, 0.6),
        "proportions": draws.uniform(0.5, 0.9),
        "cupsize": 0.4,
        "firmness": 0.6,
    }


def _local(labels: tuple[str, ...], who: Nature, draws: Draws) -> dict[str, float]:
    """Local changes by name: both sides of a face alike but for a little."""
    share = 0.5 if who.child else 1.0
    changes = {}
    for name, deviation in (SHAPES | PAIRED).items():
        lean = HEAVY.get(name, 0.0) * who.weight + (0.0 if who.male else SOFT.get(name, 0.0))
        both = lean + draws.normal(0.0, share * deviation)
        sides = [f"{side}-{name}" for side in "lr"]
        if sides[0] in labels:
            changes |= {side: both + draws.normal(0.0, 0.05) for side in sides}
        elif name in labels:
            changes[name] = both
    return {name: max(-1.0, min(1.0, value)) for name, value in changes.items()}


def _actions(mood: str, draws: Draws) -> dict[str, float]:
    """Facial actions of a mood; a name without a side moves both, a little unequally."""
    actions = {}
    for name, strength in MOODS[mood].items():
        amount = strength * draws.uniform(0.6, 1.0)
        one_sided = name.endswith(("Left", "Right", "InnerUp"))
        for side in ("",) if one_sided else ("Left", "Right"):
            actions[name + side] = amount * draws.uniform(0.9, 1.0)
    return actions
