"""The colour of a head's surface: paint by part and canonical point, a fixed soft light and darkening in hollows.

Nothing here depends on the camera: the same surface point has the same colour in every view.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import torch
from torch import Tensor

from . import sdf
from .anatomy import EYE_Y, Anatomy, Parts, distance, hairline, mouth_line, parts
from .head import PARAMETER_NAMES

Colour = tuple[float, float, float]  # sRGB

LIGHT = (0.30, 0.60, 0.74)  # unit, towards the light: above and in front, a little to the subject's left
SKIN: tuple[Colour, ...] = ((0.98, 0.84, 0.76), (0.87, 0.66, 0.53), (0.66, 0.45, 0.33), (0.40, 0.26, 0.19))
HAIR: tuple[Colour, ...] = ((0.08, 0.07, 0.07), (0.24, 0.15, 0.10), (0.48, 0.33, 0.20), (0.85, 0.70, 0.46))
IRIS: tuple[Colour, ...] = ((0.25, 0.14, 0.07), (0.42, 0.30, 0.14), (0.32, 0.42, 0.26), (0.36, 0.55, 0.74))


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours of one person and the amounts that only paint shows."""

    skin: Colour
    lips: Colour
    hair: Colour
    brow: Colour
    iris: Colour
    clothing: Colour
    eyebrow: float  # half thickness, scene units
    beard: float  # 0 .. 1


def palette(parameters: Tensor) -> Palette:
    """Colours of the head with `parameters` [P]."""
    p = dict(zip(PARAMETER_NAMES, parameters.tolist()))
    warm = p["skin_warmth"]
    skin = _tint(_ramp(SKIN, p["skin_darkness"]), (0.02 * warm, -0.005 * warm, -0.035 * warm))
    red = p["hair_warmth"]
    hair = _tint(_ramp(HAIR, p["hair_lightness"]), (0.06 * red, -0.02 * red, -0.07 * red))
    hue = 0.52 + 0.46 * p["clothing_hue"]
    clothing = colorsys.hls_to_rgb(hue, 0.45 + 0.28 * p["clothing_lightness"], 0.45)
    return Palette(
        skin=skin,
        lips=_tint(tuple(a * b for a, b in zip(skin, (0.86, 0.60, 0.60))), (0.03, 0.0, 0.01)),
        hair=hair,
        brow=tuple(0.75 * h + 0.05 * s for h, s in zip(hair, skin)),
        iris=_ramp(IRIS, p["eye_colour"]),
        clothing=clothing,
        eyebrow=0.0036 + 0.0014 * p["eyebrow_thickness"],
        beard=float(sdf.step(0.2, 1.0, torch.tensor(p["beard"]))),
    )


SAMPLES = ((-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375))  # of a pixel's footprint: a rotated grid


def colour(head: Anatomy, paints: Palette, points: Tensor, normals: Tensor, footprint: Tensor | None = None) -> Tensor:
    """sRGB [N, 3] of surface points [N, 3] with outward unit normals [N, 3].

    With `footprint` [2, N, 3] (a pixel's two sides on the tangent plane) the paint is the mean of four samples in it.
    """
    if footprint is None:
        albedo = _albedo(head, paints, points)
    else:
        spread = torch.cat([points + i * footprint[0] + j * footprint[1] for i, j in SAMPLES])
        albedo = _albedo(head, paints, spread).reshape(len(SAMPLES), -1, 3).mean(0)
    return (albedo * _light(head, points, normals)[:, None]).clamp(0, 1)


def _albedo(head: Anatomy, paints: Palette, points: Tensor) -> Tensor:
    """Paint [N, 3] at points on the surface, or a fraction of a pixel beside it."""
    p = points.unbind(1)
    part = parts(head, p)
    c = _paint_skin(head, paints, p)
    c = _mix(c, _paint_eyes(head, paints, p), sdf.step(0.0006, -0.0006, part.eyes - part.skin) * _opening(head, p))
    c = _mix(c, _paint_clothing(paints, p), _clothed(part, p))
    return _mix(c, _paint_hair(head, paints, p), sdf.step(0.002, -0.002, part.hair - torch.minimum(part.skin, part.clothing)))


def _light(head: Anatomy, points: Tensor, normals: Tensor) -> Tensor:
    """[N]: a wrapped soft light times what the surroundings leave of the sky."""
    toward = normals @ normals.new_tensor(LIGHT)
    soft = 0.66 + 0.36 * toward + 0.06 * toward * toward
    closed = torch.zeros_like(toward)
    for reach, weight in ((0.012, 0.45), (0.040, 0.40)):
        free = distance(head, (points + reach * normals).unbind(1))
        closed = closed + weight * (1 - free / reach).clamp(0, 1)
    return (soft * (1 - 0.75 * closed)).clamp(0.05, 1.05)


def _paint_skin(head: Anatomy, paints: Palette, p: tuple[Tensor, ...]) -> Tensor:
    """Skin with flushed cheeks and nose, lips, eyebrows, lids, nostrils, beard and the scalp's stubble: [N, 3]."""
    x, y, z = p
    side, front = x.abs(), sdf.step(0.02, 0.06, z)
    c = x.new_tensor(paints.skin).expand(len(x), 3)
    flush = torch.exp(-((side - 0.052) / 0.022).square() - ((y + 0.040) / 0.022).square()) + 0.6 * _spot(x, y, 0.0, head.nose_tip[1], 0.014)
    c = _mix(c, c * x.new_tensor((1.02, 0.84, 0.82)), front * flush.clamp(0, 1))
    c = _mix(c, x.new_tensor(paints.hair) * 0.85 + 0.12 * c, _beard(head, paints, side, y, z))
    c = _paint_mouth(head, paints, c, side, y, front)
    nostril = _spot(side, y, head.nostril_x * 0.62, head.nose_tip[1] - head.nose_radius * 0.98, 0.0036)
    c = _mix(c, c * 0.35, front * 0.9 * nostril)
    c = _mix(c, x.new_tensor(paints.brow), front * _eyebrow(head, paints, side, y))
    c = _paint_lids(head, c, side, y, front)
    scalp = sdf.step(-0.010, 0.006, y - hairline(head, x, z)) * head.hair_density
    return _mix(c, _paint_hair(head, paints, p), 0.9 * scalp)


def _paint_mouth(head: Anatomy, paints: Palette, c: Tensor, side: Tensor, y: Tensor, front: Tensor) -> Tensor:
    u = (side / head.mouth_half_width).clamp_max(1.2)
    height = y - mouth_line(head, side)
    full = (1 - u * u).clamp_min(0).sqrt()
    top = head.lip * (1.45 - 0.35 * torch.exp(-(side / 0.004).square())) * full  # the dip of Cupid's bow
    bottom = head.lip * 1.75 * full
    soft = 0.0012
    lips = sdf.step(soft, -soft, height - top) * sdf.step(soft, -soft, -bottom - height) * sdf.step(1.05, 0.93, u)
    c = _mix(c, c.new_tensor(paints.lips), front * lips)
    crease = torch.exp(-(height / 0.0016).square()) * sdf.step(1.12, 0.9, u)
    return _mix(c, c * c.new_tensor((0.34, 0.24, 0.24)), front * 0.85 * crease)


def _paint_lids(head: Anatomy, c: Tensor, side: Tensor, y: Tensor, front: Tensor) -> Tensor:
    """Lash line around the opening and the fold above it."""
    u, v, edge = _almond(head, side, y)
    lash = torch.exp(-(edge / 0.0016).square()) * (0.25 + 0.65 * sdf.step(-0.002, 0.003, v)) * sdf.step(1.25, 1.0, u.abs())
    fold = torch.exp(-((edge - 0.0062) / 0.0016).square()) * sdf.step(0.0, 0.004, v) * sdf.step(1.2, 0.8, u.abs())
    c = _mix(c, c * 0.22, front * lash)
    return _mix(c, c * 0.70, front * 0.7 * fold)


def _paint_eyes(head: Anatomy, paints: Palette, p: tuple[Tensor, ...]) -> Tensor:
    """Sclera, iris with a dark rim, pupil, a painted glint and the upper lid's shadow: [N, 3]."""
    x, y, _ = p
    r = ((x.abs() - head.eye_x).square() + (y - EYE_Y).square()).sqrt() / (head.eye / 0.019)
    c = x.new_tensor((0.95, 0.94, 0.93)).expand(len(x), 3)
    iris = x.new_tensor(paints.iris) * (0.75 + 0.5 * sdf.step(0.0030, 0.0062, r) - 0.7 * sdf.step(0.0062, 0.0080, r))[:, None]
    c = _mix(c, iris, sdf.step(0.0084, 0.0072, r))
    c = _mix(c, x.new_tensor((0.03, 0.03, 0.03)), sdf.step(0.0038, 0.0028, r))
    c = _mix(c, x.new_tensor((1.0, 1.0, 1.0)), _glint(head, x, y))
    _, v, edge = _almond(head, x.abs(), y)
    return _mix(c, c * 0.55, sdf.step(-0.005, 0.0, edge) * sdf.step(0.0, 0.004, v))


def _glint(head: Anatomy, x: Tensor, y: Tensor) -> Tensor:
    """A highlight towards the light, painted because nothing here may depend on the camera."""
    return 0.9 * torch.exp(-(((x.abs() - head.eye_x) * x.sign() - 0.0024).square() + (y - EYE_Y - 0.0026).square()) / 0.0013**2)


def _paint_hair(head: Anatomy, paints: Palette, p: tuple[Tensor, ...]) -> Tensor:
    """Strands that run down from the crown, a paler band around it and a darker parting: [N, 3]."""
    x, y, z = p
    turn = torch.atan2(x, z + 0.035)
    wave = 2.0 * torch.sin(38 * y + 3 * turn)
    strands = 0.45 * torch.sin(23 * turn + wave) + 0.35 * torch.sin(41 * turn - 1.3 * wave + 1.0)
    strands = strands + 0.2 * torch.sin(71 * turn + 0.7 * wave + 2.0)
    level = 1 + 0.20 * strands + 0.14 * torch.exp(-((y - 0.115) / 0.022).square())
    line = torch.exp(-((x - head.parting) / 0.0035).square()) * sdf.step(0.07, 0.11, y) * sdf.step(-0.07, -0.01, z)
    c = x.new_tensor(paints.hair) * (level * (1 - 0.35 * line))[:, None]
    return c + 0.02 * (1 + strands)[:, None]


def _paint_clothing(paints: Palette, p: tuple[Tensor, ...]) -> Tensor:
    """Cloth with a soft weave of folds and a darker collar: [N, 3]."""
    x, y, z = p
    folds = torch.sin(34 * x.abs() + 26 * y) * torch.sin(21 * y - 17 * z)
    collar = torch.exp(-((_from_collar(p) - 0.008) / 0.006).square())
    return x.new_tensor(paints.clothing) * (1 + 0.06 * folds - 0.22 * collar)[:, None]


def _from_collar(p: tuple[Tensor, ...]) -> Tensor:
    """[N] how far out of the neckline a point is; the neckline is deeper in front."""
    x, y, z = p
    round_neck = (x.square() + (z + 0.048).square() + 1e-8).sqrt()
    return round_neck - 0.086 - 0.12 * sdf.step(-0.02, 0.06, z) * (y + 0.235).clamp(-0.08, 0.0).neg()


def _clothed(part: Parts, p: tuple[Tensor, ...]) -> Tensor:
    return sdf.step(-0.001, 0.001, _from_collar(p)) * sdf.step(0.006, 0.0, part.clothing) * sdf.step(-0.15, -0.18, p[1])


def _beard(head: Anatomy, paints: Palette, side: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """[N] 0 .. 1: cheeks below a line from ear to mouth, chin and moustache, not the lips' surroundings."""
    line = -0.072 + 0.9 * (side - 0.035).clamp_min(0)
    lower = sdf.step(0.006, -0.008, y - line) * sdf.step(-0.165, -0.145, y) * sdf.step(-0.02, 0.01, z)
    grain = 0.92 + 0.08 * torch.sin(150 * side + 60 * y) * torch.sin(130 * y + 80 * z)
    return 0.88 * paints.beard * lower * grain


def _eyebrow(head: Anatomy, paints: Palette, side: Tensor, y: Tensor) -> Tensor:
    """[N]: an arch above the eye that thins out towards the temple."""
    u = (side - head.eye_x) / 0.029
    arch = EYE_Y + 0.0300 + 0.0010 * u - 0.0045 * u * u
    half = paints.eyebrow * (1.1 - 0.5 * u.clamp(-1, 1)) * sdf.step(-1.25, -0.7, u)
    return 0.9 * sdf.step(0.0015, -0.0015, (y - arch).abs() - half) * sdf.step(1.05, 0.85, u.abs())


def _almond(head: Anatomy, side: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """u across the eye (-1 .. 1 inside), v above its middle, and how far outside the opening a point is; each [N]."""
    u = (side - head.eye_x) / (0.0175 * head.eye / 0.019)
    v = y - EYE_Y - 0.0012 * u
    room = (1 - u * u).clamp_min(0)
    upper, lower = 0.0086 * room.sqrt(), 0.0070 * room
    scale = head.eye / 0.019
    edge = torch.where(v > 0, v - upper * scale, -v - lower * scale) + 0.004 * (u.abs() - 1).clamp_min(0)
    return u, v, edge


def _opening(head: Anatomy, p: tuple[Tensor, ...]) -> Tensor:
    """[N]: 1 where the lids leave the eyeball open."""
    return sdf.step(0.0007, -0.0007, _almond(head, p[0].abs(), p[1])[2]) * sdf.step(0.06, 0.065, p[2])


def _spot(x: Tensor, y: Tensor, centre_x: float, centre_y: float, radius: float) -> Tensor:
    return torch.exp(-((x - centre_x).square() + (y - centre_y).square()) / radius**2)


def _mix(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    return a + (b - a) * weight[:, None]


def _ramp(colours: tuple[Colour, ...], amount: float) -> Colour:
    """Piecewise linear through `colours`, from amount -1 to 1."""
    at = (amount + 1) / 2 * (len(colours) - 1)
    i = min(int(at), len(colours) - 2)
    return tuple(a + (b - a) * (at - i) for a, b in zip(colours[i], colours[i + 1]))


def _tint(colour: Colour, by: Colour) -> Colour:
    return tuple(min(max(a + b, 0.0), 1.0) for a, b in zip(colour, by))
