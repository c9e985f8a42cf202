"""A whole person of a seed: body, skin, eyes, hair, clothes and light, put together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .body import make_body
from .eyes import CENTRE, coat_normals, draw_eyes, draw_mouth, lid_shade
from .hair.hairdo import draw_hairdo
from .light import Light, draw_light
from .nature import Nature, nature
from .parts import Body, Hair, Surface
from .scans import LEFT_EYE, RIGHT_EYE, SKIN, Scans, load_scans
from .scene import Scene, make_scene
from .skin import draw_skin
from .wear.outfit import draw_wear

FACTORY_VERSION = "3"  # frozen: weights that ship were trained on it
SHOULDERS = -0.06  # scene units: what ends below is of the bust or on it: hair lies on that, not on glasses
EYE_RECESS = 0.011  # scene units from an eyeball out to its lids' outside


@dataclass(frozen=True, kw_only=True)
class Person:
    """One person.

    Attributes:
        surfaces, hair: all parts. scene: the same, ready for cameras.
        names: what was drawn: the hair's style, clothes, glasses, headwear, the light's scene.
    """

    seed: int
    who: Nature
    body: Body
    surfaces: tuple[Surface, ...]
    hair: tuple[Hair, ...]
    light: Light
    names: tuple[str, ...]
    scene: Scene


def draw_person(seed: int, scans: Path | None = None) -> Person:
    """The person of a seed. Args: scans: where the model lies, as of `scans.scans_file`.

    Raises:
        ValueError: a negative seed, or no scans.
    """
    model, who = load_scans(scans), nature(seed)
    body = make_body(model, who, seed)
    skin, *inner = bare_surfaces(model, body, who, seed)
    hairdo = draw_hairdo(model, body, seed)
    wear = draw_wear(body, model, seed, skin.paint)
    surfaces = [hairdo.over(skin), *inner, *wear.surfaces]
    clothes = [part.vertices for part in wear.surfaces if float(part.vertices[:, 1].max()) < SHOULDERS]
    hair = wear.under(hairdo.settled(torch.cat(clothes)))
    light = draw_light(seed, who.tone)
    return Person(
        seed=seed,
        who=who,
        body=body,
        surfaces=tuple(surfaces),
        hair=tuple(hair),
        light=light,
        names=(hairdo.style, *wear.names, light.name),
        scene=make_scene(surfaces, hair, light),
    )


def bare_surfaces(model: Scans, body: Body, who: Nature, seed: int) -> list[Surface]:
    """Skin, eyes, teeth and gums."""
    teeth, gums = draw_mouth(who, seed)
    parts = {
        "skin": (("M_Face", "M_BackHead"), draw_skin(who, seed)),
        "eyes": (("M_ScleraLeft", "M_ScleraRight"), draw_eyes(who, seed)),
        "teeth": (("M_Teeth",), teeth),
        "gums": (("M_GumsTongue",), gums),
    }
    return [
        Surface(
            vertices=body.vertices,
            faces=model.faces_of(*materials),
            rest=body.rest,
            paint=paint,
            name=name,
            two_sided=False,
            normals=body.normals,
            coat=coat_normals(body.rest, body.gaze) if name == "eyes" else None,
            cavity=_eye_shade(body) if name == "eyes" else None,
            recess=EYE_RECESS if name == "eyes" else 0.0,
        )
        for name, (materials, paint) in parts.items()
    ]


def _eye_shade(body: Body) -> Tensor:
    """[N] as of `lid_shade`."""
    mirrored = torch.cat([body.rest[:SKIN, :1].abs(), body.rest[:SKIN, 1:]], 1)
    lids = ((mirrored - mirrored.new_tensor(CENTRE)).norm(dim=1) < 1.8).nonzero()[:, 0]
    eyes = torch.cat([torch.arange(part.start, part.stop) for part in (LEFT_EYE, RIGHT_EYE)])
    front = eyes[body.rest[eyes, 2] > CENTRE[2]]
    return lid_shade(body.vertices, front, lids, body.scale)
