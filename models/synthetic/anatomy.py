"""The shape of a head: measures from parameters, and signed distances of skin, eyeballs, hair, clothing and glasses.

World frame of `models/__init__.py`; lengths in scene units (0.7 m). Left and right agree but for the hair's parting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor

from . import sdf
from .head import CLOTHING_STYLES, HAIR_STYLES, PARAMETER_NAMES, choice
from .sdf import Point

FLOOR = -0.40  # every head's geometry ends here
BOX_MIN: Point = (-0.40, FLOOR, -0.24)  # all geometry lies inside, and so do the rays that are traced
BOX_MAX: Point = (0.40, 0.24, 0.18)

MOUTH_Y = -0.094
EYE_Y = 0.0


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """Measures of one head, scene units unless said otherwise."""

    skull: Point  # half axes
    forehead: float  # how far it stands forward
    jaw: float  # half width of the lower face
    jaw_y: float  # height of its angle
    chin: Point  # centre of the chin's ball
    chin_radius: Point
    cheekbone: float  # radius
    cheek: float  # radius of the soft part under it
    brow: float  # radius of the brow ridge
    brow_raise: float  # of the eyebrows, by expression
    eyebrow_arch: float
    nose_tip: Point
    nose_radius: float
    nose_root_z: float
    nostril_x: float
    lip: float  # radius of the upper lip in its middle
    lower_lip: float
    mouth_half_width: float
    smile: float  # rise of the mouth's corners
    mouth_open: float  # half the gap between the lips
    eye: float  # radius of an eyeball
    eye_x: float  # half the distance of the pupils
    eye_tilt: float  # slope of the eye's axis, outwards and up
    socket: float  # depth of the sockets
    lid: float  # how far the upper lid hangs, 0 .. 1
    eye_open: float  # 0 closed .. 1
    ear: float  # scale
    ear_tilt: float  # radians that an ear stands off the head
    hair_style: str
    hair_thickness: float  # over the skull
    hair_density: float  # 0 bald .. 1: how far the scalp shows hair's colour
    hair_bottom: float  # y at which long hair ends
    hairline: float  # y of the hairline over the forehead
    parting: float  # x of the parting
    tail: float  # 0 bun .. 1 pony tail, of tied hair
    neck: float
    shoulder: float  # half width
    shoulder_drop: float
    clothing_style: str
    glasses: bool
    lens: tuple[float, float, float]  # half width, half height, radius of the corners of a lens

    @property
    def eye_centre(self) -> Point:
        """Of the subject's left eyeball (x > 0)."""
        return (self.eye_x, EYE_Y, 0.0985 - self.eye - 0.002 * self.socket)

    @property
    def lower_drop(self) -> float:
        """How far the chin falls with an open mouth."""
        return 1.2 * self.mouth_open


class Parts(NamedTuple):
    """Signed distances [N] of what a head is made of; glasses are None where nobody wears them."""

    skin: Tensor
    eyes: Tensor
    hair: Tensor
    clothing: Tensor
    glasses: Tensor | None

    def whole(self) -> Tensor:
        """[N]: the union, cut at the floor by the caller."""
        solid = torch.minimum(sdf.union(self.skin, self.eyes, 0.001), self.clothing)
        solid = sdf.union(solid, self.hair, 0.005)
        return solid if self.glasses is None else torch.minimum(solid, self.glasses)


def anatomy(parameters: Tensor) -> Anatomy:
    """Measures of the head with `parameters` [P] in [-1, 1].

    Raises:
        ValueError: for another shape, or values outside the range.
    """
    if parameters.shape != (len(PARAMETER_NAMES),):
        raise ValueError(
            f"anatomy: expected {len(PARAMETER_NAMES)} parameters, got {list(parameters.shape)}; pass one head at a time"
        )
    if not bool((parameters.abs() <= 1).all()):
        raise ValueError("anatomy: expected parameters in [-1, 1], got values outside or NaN; clamp them")
    p = dict(zip(PARAMETER_NAMES, parameters.tolist()))
    opening = 0.0085 * _step(0.1, 1.0, p["mouth_open"])
    drop = 1.2 * opening
    return Anatomy(
        skull=(
            0.104 * (1 + 0.06 * p["skull_width"]),
            0.108 * (1 + 0.05 * p["skull_height"]),
            0.132 * (1 + 0.06 * p["skull_depth"]),
        ),
        forehead=0.006 * p["forehead"],
        jaw=0.081 * (1 + 0.10 * p["jaw_width"]),
        jaw_y=-0.080 + 0.010 * p["jaw_height"],
        chin=(0.0, -0.130 - 0.004 * p["chin"] - drop, 0.080 + 0.007 * p["chin"]),
        chin_radius=(0.041 + 0.007 * p["chin_width"], 0.025, 0.026),
        cheekbone=0.028 + 0.006 * p["cheekbones"],
        cheek=0.026 + 0.004 * p["cheeks"],
        brow=0.012 + 0.0035 * p["brow_ridge"],
        brow_raise=0.004 * _step(-0.2, 1.0, p["brow_raise"]) - 0.002 * _step(-0.2, -1.0, p["brow_raise"]),
        eyebrow_arch=0.0045 + 0.003 * p["eyebrow_arch"],
        nose_tip=(
            0.0,
            -0.050 - 0.007 * p["nose_length"] + 0.003 * p["nose_tip"],
            0.128 + 0.006 * p["nose_length"],
        ),
        nose_radius=0.0135 + 0.0025 * p["nose_width"],
        nose_root_z=0.101 + 0.006 * p["nose_bridge"],
        nostril_x=0.0145 + 0.004 * p["nose_width"],
        lip=(0.0072 + 0.0022 * p["lip_thickness"]) * (1 - 0.15 * p["lip_ratio"]),
        lower_lip=(0.0082 + 0.0026 * p["lip_thickness"]) * (1 + 0.15 * p["lip_ratio"]),
        mouth_half_width=0.031 + 0.005 * p["lip_width"] + 0.004 * max(p["smile"], 0.0) - 0.15 * opening,
        smile=0.001 + 0.006 * p["smile"],
        mouth_open=opening,
        eye=0.0190 + 0.0014 * p["eye_size"],
        eye_x=0.045 + 0.004 * p["eye_spacing"],
        eye_tilt=0.04 + 0.09 * p["eye_tilt"],
        socket=p["socket_depth"],
        lid=0.5 + 0.5 * p["eyelid"],
        eye_open=1 - _step(0.70, 0.85, p["eyes_closed"]),
        ear=1 + 0.18 * p["ear_size"],
        ear_tilt=math.radians(24 + 10 * p["ear_angle"]),
        **_hair_measures(p),
        neck=0.064 + 0.008 * p["neck_width"],
        shoulder=0.275 + 0.03 * p["shoulder_width"],
        shoulder_drop=0.012 * p["shoulder_slope"],
        clothing_style=CLOTHING_STYLES[choice(p["clothing_style"], len(CLOTHING_STYLES))],
        glasses=p["glasses"] > 0.45,
        lens=(
            0.0285 + 0.002 * p["glasses_shape"],
            0.0215 - 0.003 * p["glasses_shape"],
            0.016 - 0.007 * p["glasses_shape"],
        ),
    )


class _HairMeasures(TypedDict):
    """The fields of `Anatomy` that a hair style decides."""

    hair_style: str
    hair_thickness: float
    hair_density: float
    hair_bottom: float
    hairline: float
    parting: float
    tail: float


def _hair_measures(p: dict[str, float]) -> _HairMeasures:
    """What the style makes of volume, length, fringe and parting."""
    style, volume = HAIR_STYLES[choice(p["hair_style"], len(HAIR_STYLES))], p["hair_volume"]
    thickness = {
        "bald": -0.02,
        "cropped": 0.006 + 0.003 * volume,
        "curly": 0.026 + 0.012 * volume,
        "parted": 0.018 + 0.008 * volume,
        "long": 0.016 + 0.007 * volume,
        "tied": 0.008 + 0.004 * volume,
    }[style]
    fringe = {"bald": 0.0, "cropped": 0.010, "curly": 0.014, "parted": 0.024, "long": 0.022, "tied": 0.008}[
        style
    ]
    return {
        "hair_style": style,
        "hair_thickness": thickness,
        "hair_density": 0.0 if style == "bald" else 1.0,
        "hair_bottom": {
            "long": -0.185 - 0.075 * p["hair_length"],
            "curly": -0.045 - 0.035 * p["hair_length"],
        }.get(style, 0.06),
        "hairline": {"cropped": 0.098, "curly": 0.094, "tied": 0.100}.get(style, 0.092)
        - fringe * p["hair_fringe"],
        "parting": 0.045 * p["hair_parting"] if style in ("parted", "long") else 0.0,
        "tail": _step(-0.2, 0.6, p["hair_length"]),
    }


def mouth_line(head: Anatomy, x: Tensor) -> Tensor:
    """y [N] of the middle between the lips."""
    u = x / head.mouth_half_width
    return MOUTH_Y - 0.5 * head.lower_drop + head.smile * (u * u).clamp_max(1.5)


def mouth_gap(head: Anatomy, x: Tensor) -> Tensor:
    """Half the lips' distance [N]: widest in the middle, 0 at the corners."""
    u = (x / head.mouth_half_width).clamp(-1, 1)
    return head.mouth_open * (1 - u * u)


def almond(head: Anatomy, side: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """u across the eye (-1 .. 1 inside), v above its middle, and how far outside the lids' opening a point is; each [N]."""
    scale = head.eye / 0.019
    u = (side - head.eye_x) / (0.0175 * scale)
    v = y - EYE_Y - head.eye_tilt * 0.3 * (side - head.eye_x) + 0.0045 * (1 - head.eye_open)
    room = (1 - u * u).clamp_min(0)
    upper = (0.0098 - 0.0036 * head.lid) * room.sqrt() * head.eye_open
    lower = 0.0070 * room * (0.25 + 0.75 * head.eye_open)
    lower = torch.where(torch.full_like(u, head.eye_open) > 0.02, lower, -upper)
    edge = torch.where(v > 0, v - upper * scale, -v - lower * scale) + 0.004 * (u.abs() - 1).clamp_min(0)
    return u, v, edge


def hairline(head: Anatomy, x: Tensor, z: Tensor) -> Tensor:
    """y [N] under which the scalp ends: high over the forehead, low before and above the ear, lowest in the nape."""
    back = z + 0.012
    front = back / (x * x + back * back + 1e-5).sqrt()  # 1 in front, 0 at the ears, -1 behind
    nape, side = (-0.088, 0.018) if head.hair_style != "tied" else (-0.070, 0.030)
    tilt = 0.40 * head.parting * (x / 0.09).clamp(-1, 1) - 3.0 * (x * x).clamp_max(0.006)
    return (
        nape
        + (side - nape) * sdf.step(-0.8, -0.1, front)
        + (head.hairline + tilt - side) * sdf.step(0.42, 0.86, front)
    )


def _step(edge_0: float, edge_1: float, x: float) -> float:
    t = min(max((x - edge_0) / (edge_1 - edge_0), 0.0), 1.0)
    return t * t * (3 - 2 * t)
