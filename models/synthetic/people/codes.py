"""Identity codes of people: what a picture of a person shows, as plain numbers of about unit spread.

As of `synthetic.codes`, for factory 3. Shape and expression are told as they are drawn; all else is measured on the finished person:
where hair ends, which colours skin and clothes have, what light falls on each side. So what does not show is not told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..codes import lift
from .body import ears
from .eyes import Eyes
from .hair.hairdo import style_names
from .hair.undercoat import Undercoat
from .harmonics import basis
from .light import Light
from .nature import Nature
from .parts import Body, Hair, Surface
from .person import Person
from .scans import SKIN, Scans
from .shape import DEVIATION, expression, identity_weights
from .streams import Draws
from .wear.outfit import GARMENTS

AMOUNTS = 185  # numbers of a code
CODE_DIM = AMOUNTS + 1
LEADING = 24  # modes of the scans that a picture of 128 pixels shows
SPREAD = 0.8  # of what is told: so that `lift` has something left to tell of most people
CHOICE = 3.4  # of a choice that is taken, so that rare ones have some spread
MOODS = {  # an expression's shape, its middle and its spread
    "mouthSmile_L": (0.2, 0.25),
    "mouthUpperUp_L": (0.1, 0.18),
    "mouthLowerDown_L": (0.03, 0.07),
    "jawOpen": (0.03, 0.04),
    "browDown_L": (0.08, 0.15),
    "browInnerUp_L": (0.1, 0.17),
    "mouthFrown_L": (0.01, 0.06),
    "mouthPucker": (0.0, 0.05),
    "eyeBlink_L": (0.1, 0.15),
    "eyeSquint_L": (0.05, 0.06),
    "eyeWide_L": (0.04, 0.08),
}
PLACES = {  # cm on the mean head, the subject's left: where skin is looked at
    "cheek": (4.6, -0.8, 9.3),
    "forehead": (1.5, 8.5, 10.2),
    "nose": (0.0, 0.6, 13.0),
    "lip": (0.3, -4.0, 11.5),
    "chin": (1.0, -6.8, 10.6),
    "socket": (2.7, 2.2, 9.2),
}
CONTRASTS = (  # of places with the cheek: middle and factor
    ("forehead", 0.03, 60.0),
    ("nose", 0.0, 80.0),
    ("lip", -0.06, 14.0),
    ("chin", -0.06, 10.0),
    ("socket", -0.02, 30.0),
)
BEARDS = ("stubble", "full", "goatee", "moustache")
INNER = ("skin", "eyes", "teeth", "gums", "chest")  # surfaces of a bare person
HARD = ("lenses", "frame", "earrings", "necklace", "button")
ON_HEAD = ("hat", "cuff", "peak", "ball", "wrap", "brim", "band", "hoop", "headband", "headscarf", "drape")
HEADWEAR = (  # alike in shape
    ("beanie",),
    ("cap",),
    ("felt", "straw", "bucket"),
    ("wrap",),
    ("headband", "hoop"),
    ("headscarf",),
)
SAMPLES = 48  # points of a surface whose colours are read
SPHERE = 192  # directions that irradiance is read at
BAND_MIDDLES = (2.7, 0.9, 0.7, 0.1, 0.1, 0.15, 0.0, -0.1, 0.0)
BAND_SPREADS = (0.9, 0.6, 0.6, 0.6, 0.3, 0.3, 0.3, 0.3, 0.3)  # of harmonics of irradiance


def amounts(person: Person, scans: Scans) -> Tensor:
    """[AMOUNTS] a person's code without its last coordinate.

    Args:
        person: of `draw_person`. scans: the model that it is drawn from.
    """
    body, coat = person.body, _coat(person)
    wear = [surface for surface in person.surfaces if surface.name not in INNER]
    numbers = [
        *shape_numbers(person.who, body, person.seed, scans),
        *skin_numbers(person, coat),
        *hair_numbers(person, coat),
        *clothes_numbers(person.names, [s for s in wear if s.name not in (*HARD, *ON_HEAD)]),
        *wear_numbers(person.names, wear),
        *light_numbers(person.light),
    ]
    if len(numbers) != AMOUNTS:  # networks that ship depend on it
        raise ValueError(f"codes: expected {AMOUNTS} numbers, got {len(numbers)}; change AMOUNTS with them")
    return SPREAD * torch.tensor(numbers, dtype=torch.float32)


def identity_codes(parameters: Tensor) -> Tensor:
    """Codes [B, CODE_DIM] of people, of mean square 1.

    Args:
        parameters: [B, P] of `people.renders`, which end with a person's `amounts`.

    Raises:
        ValueError: fewer parameters than that.
    """
    if parameters.shape[1] < AMOUNTS:
        raise ValueError(
            f"codes: expected at least {AMOUNTS} parameters a person, got {parameters.shape[1]}; render them "
            "with factory 3"
        )
    return lift(parameters[:, -AMOUNTS:])


def shape_numbers(who: Nature, body: Body, seed: int, scans: Scans) -> list[float]:
    """Modes of the scans, measures where heads are made wider than those, age and build, posture, gaze, expression."""
    weights = identity_weights(who, Draws(seed, "shape"), len(scans.identity))[:LEADING] / DEVIATION
    strengths = expression(scans, body.gaze, Draws(seed, "expression"))
    turn = body.posture
    moods = [
        (float(strengths[scans.expression_names.index(name)]) - middle) / spread
        for name, (middle, spread) in MOODS.items()
    ]
    return [
        *weights.tolist(),
        *measures(body),
        1.0 if who.male else -1.0,
        3 * (who.age - 0.4),
        2.5 * who.child,
        2 * who.weight,
        float(turn[2, 1]) / 0.08,
        float(turn[0, 2]) / 0.17,
        float(turn[1, 0]) / 0.06,
        *(angle / 0.1 for angle in body.gaze),
        *moods,
    ]


def measures(body: Body) -> list[float]:
    """Of the skull, the ears and the neck, which are warped beyond the scans: each less its middle, by its spread; scene units."""
    skin, rest = body.vertices[:SKIN], body.rest[:SKIN]
    vault = (rest[:, 1] > 6) & (rest[:, 2] < 4)
    neck = (rest[:, 1] + 11).abs() < 0.8
    ear = ears(body.rest)[:SKIN]
    land = body.landmarks
    spans = (
        (skin[:, 1].max(), 0.155, 0.012),
        (skin[vault, 0].amax(), 0.115, 0.005),
        (skin[rest[:, 1] > -2, 2].amin(), -0.17, 0.015),
        (skin[ear, 0].abs().amax(), 0.13, 0.007),
        (skin[ear, 1].amax() - skin[ear, 1].amin(), 0.124, 0.008),
        (skin[neck, 0].abs().amax(), 0.115, 0.014),
        (skin[neck, 2].amax() - skin[neck, 2].amin(), 0.18, 0.03),
        (land[8, 1], -0.155, 0.009),
        (land[12, 0] - land[4, 0], 0.161, 0.01),
        (land[30, 2], 0.15, 0.008),
        (land[54, 0] - land[48, 0], 0.075, 0.007),
        (land[66, 1] - land[62, 1], -0.004, 0.006),
    )
    return [(float(value) - middle) / spread for value, middle, spread in spans]


def skin_numbers(person: Person, coat: Undercoat) -> list[float]:
    """Colours of the cheek, and how those elsewhere differ; irises."""
    rest = person.body.rest[:SKIN]
    near = {
        name: (rest - rest.new_tensor(place)).square().sum(1).topk(12, largest=False).indices
        for name, place in PLACES.items()
    }
    colours = {name: _tones(coat(rest[index]).albedo) for name, index in near.items()}
    cheek = colours["cheek"]
    others = [(float(x) - middle) * gain for name, middle, gain in CONTRASTS for x in colours[name] - cheek]
    eyes = next((s.paint for s in person.surfaces if isinstance(s.paint, Eyes)), None)
    iris = [0.0] * 3 if eyes is None else (5 * (_srgb(eyes.iris) - 0.28)).tolist()
    pupil = 0.0 if eyes is None else (eyes.pupil - 0.21) / 0.03
    return [*(6 * (cheek - 0.62)).tolist(), *others, *iris, pupil]


def hair_numbers(person: Person, coat: Undercoat) -> list[float]:
    """The style, where the hair reaches, its waves and colours; brows; the beard."""
    pieces = [piece for piece in person.hair if piece.name == "hair"]
    shown = bool(pieces) or "headscarf" not in person.names
    styles = [CHOICE * (shown and person.names[0] == name) for name in style_names()]
    brows, beard = coat.brows, coat.beard
    strokes = [
        (brows.height - 1.08) / 0.15,
        brows.rise / 0.12,
        (brows.arch - 0.07) / 0.1,
        (brows.density - 0.88) / 0.14,
        *(5 * (_srgb(coat.brow_shade) - 0.3)).tolist(),
    ]
    kinds = [CHOICE * (beard is not None and beard.shape == name) for name in BEARDS]
    grown = [0.0] * 4 if beard is None else [0.8 * beard.length, *(5 * _srgb(coat.beard_shade)).tolist()]
    return [*styles, *strand_numbers(pieces, person.body), *strokes, *kinds, *grown]


def strand_numbers(pieces: Sequence[Hair], body: Body) -> list[float]:
    """Of the head's hair: where it ends and how far it stands off, length, waves, and its colour; zeros where there is none."""
    if not pieces:
        return [0.0] * 14
    points = torch.cat([piece.strands.flatten(0, 1) for piece in pieces])
    steps = [piece.strands.diff(dim=1).norm(dim=-1).sum(1) for piece in pieces]
    chords = [(piece.strands[:, -1] - piece.strands[:, 0]).norm(dim=-1) for piece in pieces]
    length, chord = torch.cat(steps), torch.cat(chords).clamp_min(1e-4)
    x, y, z = points.unbind(-1)
    front = y[(z > 0.06) & (x.abs() < 0.05)]
    low = (y < -0.15) & (z > 0.0)
    tones = _srgb(torch.cat([piece.colour for piece in pieces]))
    mean = tones.mean(0)
    return [
        (_low(y) + 0.1) / 0.12,
        (_low(x) - _low(-x)) / 0.008,
        (-_low(-x.abs()) - 0.14) / 0.03,
        (float(y.max() - body.vertices[:SKIN, 1].max()) - 0.025) / 0.03,
        (_low(z) + 0.17) / 0.03,
        0.0 if len(front) < 20 else (_low(front) - 0.09) / 0.03,
        60 * float((low & (x > 0)).float().mean()),
        60 * float((low & (x < 0)).float().mean()),
        (float(length.mean()) - 0.12) / 0.1,
        4 * min(1.0, float((length / chord).median()) - 1),
        *(4 * (mean - 0.3)).tolist(),
        25 * (float(tones.mean(1).std()) - 0.055),
    ]


def clothes_numbers(names: Sequence[str], cloths: Sequence[Surface]) -> list[float]:
    """The garment, and the colours of the cloth that shows most, of its pattern and of what else is worn."""
    kinds = [CHOICE * (name in names) for name in GARMENTS]
    if not cloths:
        return [*kinds, *([0.0] * 9)]
    largest = max(cloths, key=lambda s: _extent(s) + (s.name == "jacket"))
    tones = _sampled(largest)
    main = tones.mean(0)
    others = [_sampled(surface).mean(0) for surface in cloths if surface is not largest]
    other = torch.stack(others).mean(0) if others else main
    return [
        *kinds,
        *(4 * (main - 0.45)).tolist(),
        *(6 * (other - main)).tolist(),
        *(8 * tones.std(0) - 0.5).tolist(),
    ]


def wear_numbers(names: Sequence[str], wear: Sequence[Surface]) -> list[float]:
    """What is worn on the head, at the ears and around the neck, with its colours; glasses and how dark they are."""
    by_name: dict[str, list[Surface]] = {}
    for surface in wear:
        by_name.setdefault(surface.name, []).append(surface)
    on_head = [s for s in wear if s.name in ON_HEAD]
    hat = [0.0] * 3 if not on_head else (4 * _sampled(max(on_head, key=_extent)).mean(0)).tolist()
    lenses, frames = by_name.get("lenses", []), by_name.get("frame", [])
    dark = 4 * float(lenses[0].paint(_picked(lenses[0])).opacity.mean()) if lenses else 0.0
    frame = 4 * float(_sampled(frames[0]).mean()) if frames else 0.0
    return [
        *(CHOICE * (not set(kinds).isdisjoint(names)) for kinds in HEADWEAR),
        1.5 * bool(on_head),
        *hat,
        1.5 * ("glasses" in names),
        dark,
        frame,
        2.0 * ("earrings" in by_name),
        2.5 * ("necklace" in by_name),
    ]


def light_numbers(light: Light) -> list[float]:
    """Harmonics of the irradiance over pi of all light, unoccluded, 9 for each colour; and how soft its first shadow is."""
    normals = _sphere()
    total = light.sky_at(normals)
    for lamp in light.lamps:
        total = total + (normals @ lamp.direction).clamp_min(0)[:, None] * lamp.colour
    harmonics = basis(normals).T @ total * (4 * math.pi / SPHERE)  # [9, 3]
    told = harmonics / torch.tensor(BAND_SPREADS)[:, None]
    told -= torch.tensor(BAND_MIDDLES)[:, None]
    softness = (light.lamps[0].size - 0.15) / 0.1 if light.lamps else 0.0
    return [*told.flatten().tolist(), softness]


def _coat(person: Person) -> Undercoat:
    for surface in person.surfaces:
        if isinstance(surface.paint, Undercoat):
            return surface.paint
    raise ValueError(
        f"codes: expected a person whose skin has roots of hair painted on, got none among "
        f"{', '.join(s.name for s in person.surfaces)}; take one of draw_person"
    )


def _srgb(linear: Tensor) -> Tensor:
    """Linear colours [...] as pictures show them."""
    return linear.clamp(0, 1) ** (1 / 2.2)


def _tones(albedo: Tensor) -> Tensor:
    """[3] mean colour of albedo [P, 3], as pictures show it."""
    return _srgb(albedo).mean(0)


def _low(values: Tensor) -> float:
    """What 3 in 100 of values [P] lie below; of many, every so many count."""
    return float(values[:: max(1, len(values) // 20_000)].quantile(0.03))


def _picked(surface: Surface) -> Tensor:
    """[SAMPLES, 3] rest coordinates, evenly through its vertices."""
    return surface.rest[torch.linspace(0, len(surface.rest) - 1, SAMPLES).long()]


def _sampled(surface: Surface) -> Tensor:
    """[SAMPLES, 3] colours of a surface."""
    return _srgb(surface.paint(_picked(surface)).albedo)


def _extent(surface: Surface) -> float:
    """Volume of the box around a surface, scene units: which of several shows most."""
    return float((surface.vertices.amax(0) - surface.vertices.amin(0)).prod())


def _sphere() -> Tensor:
    """[SPHERE, 3] unit directions, evenly all over (Fibonacci's lattice)."""
    height = 1 - 2 * (torch.arange(SPHERE) + 0.5) / SPHERE
    turn = torch.arange(SPHERE) * (math.pi * (3 - math.sqrt(5)))
    across = (1 - height.square()).sqrt()
    return torch.stack([across * turn.cos(), height, across * turn.sin()], -1)
