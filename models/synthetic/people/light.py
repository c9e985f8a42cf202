"""The light that a person stands in: a key and perhaps another lamp with shadows, and soft light from everywhere else.

Brightness is relative: colours are such that a white surface which faces the light alone would be 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .harmonics import lobe, open_transfer, uniform
from .streams import Draws

SCENES = {
    "window": 0.2,
    "studio": 0.2,
    "sun": 0.14,
    "overcast": 0.16,
    "lamp": 0.1,
    "flash": 0.07,
    "rim": 0.07,
    "evening": 0.06,
}


@dataclass(frozen=True, kw_only=True)
class Lamp:
    """A light that throws shadows.

    Attributes:
        direction: [3] unit, towards it. colour: [3] linear. size: radius as an angle, radians: how soft its shadows are.
    """

    direction: Tensor
    colour: Tensor
    size: float


@dataclass(frozen=True, kw_only=True)
class Light:
    """All light.

    Attributes:
        lamps: one or two that throw shadows. soft: broad ones without: sky, walls, softboxes far aside.
        ambient: [3] linear, from everywhere alike. sky: [9, 3] harmonics of soft and ambient light. name: of the scene.
    """

    lamps: tuple[Lamp, ...]
    soft: tuple[Lamp, ...]
    ambient: Tensor
    sky: Tensor
    name: str

    def sky_at(self, normals: Tensor) -> Tensor:
        """[..., 3] irradiance over pi from the sky alone, unoccluded; normals [..., 3]."""
        return (open_transfer(normals) @ self.sky).clamp_min(0)


def draw_light(seed: int, tone: float) -> Light:
    """The light of a seed around skin of a tone (0 lightest to 5), brought to a camera's exposure and white balance.

    Raises:
        ValueError: a negative seed.
    """
    draws = Draws(seed, "light")
    name = draws.choice(SCENES)
    lamps, soft, ambient = _SCENES[name](draws)
    gain = _gain(lamps, soft, ambient, draws, dim=name in ("lamp", "evening"))
    gain = gain * (0.85 + 0.075 * tone)  # cameras expose light faces less
    return make_light(
        [Lamp(direction=a.direction, colour=a.colour * gain, size=a.size) for a in lamps],
        [Lamp(direction=a.direction, colour=a.colour * gain, size=a.size) for a in soft],
        ambient * gain,
        name,
    )


def make_light(lamps: list[Lamp], soft: list[Lamp], ambient: Tensor, name: str) -> Light:
    """Light of these lamps; ambient [3] linear."""
    return Light(
        lamps=tuple(lamps), soft=tuple(soft), ambient=ambient, sky=_harmonics(soft, ambient), name=name
    )


def _harmonics(soft: list[Lamp], ambient: Tensor) -> Tensor:
    sky = uniform(ambient)
    for lamp in soft:
        sky = sky + lobe(lamp.direction, lamp.colour)
    return sky


def direction(yaw_degrees: float, pitch_degrees: float) -> Tensor:
    """[3] unit, yaw towards +x, pitch towards +y."""
    yaw, pitch = math.radians(yaw_degrees), math.radians(pitch_degrees)
    return torch.tensor([math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])


def warmth(amount: float) -> Tensor:
    """[3] linear colour of light from -1 (a blue sky) over 0 (white) to 1 (a light bulb), green 1 at 0."""
    return torch.tensor([1 + 0.32 * amount, 1 - 0.02 * abs(amount), 1 - 0.5 * amount]).clamp_min(0.2)


def _gain(lamps: list[Lamp], soft: list[Lamp], ambient: Tensor, draws: Draws, dim: bool) -> Tensor:
    """[3] what exposure and white balance multiply light by: a face is neither black nor blown out."""
    normals = torch.stack([direction(yaw, pitch) for yaw in (-50, -25, 0, 25, 50) for pitch in (-15, 10, 30)])
    light = (open_transfer(normals) @ _harmonics(soft, ambient)).clamp_min(0)
    for lamp in lamps:
        light = light + (normals @ lamp.direction).clamp_min(0)[:, None] * lamp.colour
    mean = light.mean(0)
    brightness = float(mean.mean())
    target = 2 ** (draws.normal(0.2, 0.3) - (0.7 * draws.uniform() if dim else 0.0))
    balance = (mean / brightness) ** -draws.uniform(0.45, 0.95)
    return balance * target / brightness


Scene = tuple[list[Lamp], list[Lamp], Tensor]  # lamps, soft lamps, ambient


def _lamp(yaw: float, pitch: float, colour: Tensor, size: float = 0.4) -> Lamp:
    return Lamp(direction=direction(yaw, pitch), colour=colour, size=size)


def _grey(amount: float) -> Tensor:
    return torch.full((3,), amount)


def _side(draws: Draws) -> float:
    return 1.0 if draws.chance(0.5) else -1.0


def _window(draws: Draws) -> Scene:
    side, tint = _side(draws), warmth(draws.normal(-0.25, 0.2))
    yaw, pitch = side * draws.uniform(25, 80), draws.uniform(0, 35)
    room = draws.uniform(0.12, 0.4) * warmth(draws.uniform(0.0, 0.5))
    key = _lamp(yaw, pitch, tint * 0.75, draws.uniform(0.16, 0.3))
    return [key], [_lamp(yaw, pitch, tint * 0.5), _lamp(-side * 70, 5, room * 0.5)], room


def _studio(draws: Draws) -> Scene:
    side = _side(draws)
    key = _lamp(side * draws.uniform(15, 55), draws.uniform(15, 45), _grey(0.9), draws.uniform(0.12, 0.28))
    fill = _lamp(-side * 45, 5, _grey(draws.uniform(0.15, 0.6)))
    lamps = [key]
    if draws.chance(0.5):
        back = _grey(draws.uniform(0.5, 1.2))
        lamps.append(_lamp(-side * draws.uniform(120, 160), draws.uniform(15, 45), back, 0.12))
    return lamps, [fill], _grey(0.12)


def _sun(draws: Draws) -> Scene:
    height = draws.uniform(15, 65)
    key = _lamp(draws.uniform(-110, 110), height, warmth(0.15 + 0.5 * (1 - height / 65)) * 1.5, 0.025)
    blue, ground = warmth(-0.55), warmth(draws.uniform(0.1, 0.5))
    above = _lamp(0, 80, blue * draws.uniform(0.3, 0.6))
    return (
        [key],
        [above, _lamp(0, -75, ground * 0.22), _lamp(0, 10, blue * 0.25)],
        _grey(draws.uniform(0.08, 0.25)),
    )


def _overcast(draws: Draws) -> Scene:
    tint = warmth(draws.normal(-0.2, 0.12))
    key = _lamp(draws.uniform(-60, 60), draws.uniform(40, 75), tint * 0.3, 0.35)
    soft = [_lamp(0, 70, tint * 0.75), _lamp(draws.uniform(-60, 60), 15, tint * 0.45)]
    return [key], soft, warmth(0.1) * draws.uniform(0.12, 0.3)


def _bulb(draws: Draws) -> Scene:
    tint = warmth(draws.uniform(0.4, 0.9))
    key = _lamp(draws.uniform(-75, 75), draws.uniform(20, 65), tint, draws.uniform(0.05, 0.15))
    other = _lamp(draws.uniform(-180, 180), 10, warmth(draws.uniform(-0.6, 0.6)) * 0.2)
    return [key], [other], tint * draws.uniform(0.12, 0.25)


def _flash(draws: Draws) -> Scene:
    key = _lamp(draws.uniform(-10, 10), draws.uniform(3, 15), _grey(1.0), 0.03)
    return [key], [_lamp(0, 60, _grey(0.15))], warmth(draws.uniform(0.0, 0.7)) * draws.uniform(0.1, 0.35)


def _rim(draws: Draws) -> Scene:
    """Two lamps of different colours, one from behind."""
    side = _side(draws)
    first, second = warmth(draws.normal(0.2, 0.3)), warmth(draws.normal(-0.5, 0.3))
    key = _lamp(side * draws.uniform(20, 60), draws.uniform(5, 35), first * 0.8, 0.12)
    back = _lamp(-side * draws.uniform(100, 150), draws.uniform(0, 40), second * draws.uniform(0.8, 1.6), 0.1)
    return [key, back], [_lamp(side * 60, 0, first * 0.2)], second * draws.uniform(0.1, 0.2)


def _evening(draws: Draws) -> Scene:
    """A low sun, or street lamps: coloured and dim."""
    key = _lamp(draws.uniform(-85, 85), draws.uniform(2, 20), warmth(draws.uniform(0.6, 1.1)) * 0.9, 0.06)
    return [key], [_lamp(0, 60, warmth(-0.6) * 0.3)], warmth(-0.7) * draws.uniform(0.12, 0.3)


_SCENES = {
    "window": _window,
    "studio": _studio,
    "sun": _sun,
    "overcast": _overcast,
    "lamp": _bulb,
    "flash": _flash,
    "rim": _rim,
    "evening": _evening,
}
