"""The colour of a head's surface: paint by part and canonical point, a soft light and darkening in hollows.

Nothing here depends on the camera: the same surface point has the same colour in every view.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from . import sdf
from .anatomy import EYE_Y, Anatomy, almond, hairline, mouth_gap, mouth_line
from .hair import hair_paint
from .head import PARAMETER_NAMES, radians_of
from .noise import noise
from .solid import distance, parts
from .wear import clothed, clothing_paint

Colour = tuple[float, float, float]  # sRGB

SKIN: tuple[Colour, ...] = ((0.98, 0.84, 0.76), (0.87, 0.66, 0.53), (0.66, 0.45, 0.33), (0.40, 0.26, 0.19))
HAIR: tuple[Colour, ...] = (
    (0.07, 0.06, 0.06),
    (0.22, 0.14, 0.09),
    (0.42, 0.28, 0.17),
    (0.72, 0.55, 0.34),
    (0.80, 0.78, 0.76),
)
IRIS: tuple[Colour, ...] = ((0.25, 0.14, 0.07), (0.42, 0.30, 0.14), (0.32, 0.42, 0.26), (0.36, 0.55, 0.74))
FRAMES: tuple[Colour, ...] = ((0.06, 0.06, 0.07), (0.28, 0.13, 0.07), (0.62, 0.50, 0.28), (0.52, 0.54, 0.58))


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Colours of one person, the amounts that only paint shows, and the light that the person stands in."""

    skin: Colour
    lips: Colour
    hair: Colour
    brow: Colour
    iris: Colour
    clothing: Colour
    clothing_second: Colour
    pattern: float  # 0 plain .. 1 striped
    frames: Colour
    eyebrow: float  # half thickness, scene units
    beard: float  # 0 .. 1
    moustache: float  # 0 .. 1
    mottle: float  # 0 .. 1
    freckles: float  # 0 .. 1
    flush: float  # 0 .. 1
    light: tuple[float, float, float]  # unit, towards the light
    contrast: float  # 0 .. 1: what the light adds to the ambient
    light_colour: Colour  # of the light, times the paint


def palette(parameters: Tensor) -> Palette:
    """Colours of the head with `parameters` [P]."""
    p = dict(zip(PARAMETER_NAMES, parameters.tolist()))
    warm = p["skin_warmth"]
    skin = _tint(_ramp(SKIN, p["skin_darkness"]), (0.02 * warm, -0.005 * warm, -0.035 * warm))
    red, lip = p["hair_warmth"], p["lip_redness"]
    hair = _tint(_ramp(HAIR, p["hair_lightness"]), (0.05 * red, -0.015 * red, -0.05 * red))
    clothing = colorsys.hls_to_rgb(
        0.52 + 0.46 * p["clothing_hue"], 0.42 + 0.30 * p["clothing_lightness"], 0.40
    )
    second = _colour(0.25 + 0.65 * c if sum(clothing) < 1.5 else 0.55 * c for c in clothing)
    yaw, pitch = radians_of(p["light_yaw"], -55, 55), radians_of(p["light_pitch"], 15, 60)
    glow = p["light_warmth"]
    return Palette(
        skin=skin,
        lips=_tint(
            _colour(a * b for a, b in zip(skin, (0.86 - 0.04 * lip, 0.60 - 0.10 * lip, 0.60 - 0.08 * lip))),
            (0.03, 0.0, 0.01),
        ),
        hair=hair,
        brow=_colour(0.75 * h + 0.05 * s for h, s in zip(_ramp(HAIR, min(p["hair_lightness"], 0.3)), skin)),
        iris=_ramp(IRIS, p["eye_colour"]),
        clothing=clothing,
        clothing_second=second,
        pattern=_amount(0.4, 0.6, p["clothing_pattern"]),
        frames=_ramp(FRAMES, p["glasses_colour"]),
        eyebrow=0.0038 + 0.0014 * p["eyebrow_thickness"],
        beard=_amount(0.2, 1.0, p["beard"]),
        moustache=_amount(0.3, 1.0, p["moustache"]),
        mottle=0.5 + 0.5 * p["skin_mottle"],
        freckles=_amount(0.0, 1.0, p["freckles"]),
        flush=0.55 + 0.45 * p["flush"],
        light=(math.cos(pitch) * math.sin(yaw), math.sin(pitch), math.cos(pitch) * math.cos(yaw)),
        contrast=0.44 + 0.16 * p["light_contrast"],
        light_colour=(1.0 + 0.03 * glow, 1.0, 1.0 - 0.06 * glow),
    )


SAMPLES = (
    (-0.375, -0.125),
    (0.125, -0.375),
    (0.375, 0.125),
    (-0.125, 0.375),
)  # of a pixel's footprint: a rotated grid


def colour(
    head: Anatomy, paints: Palette, points: Tensor, normals: Tensor, footprint: Tensor | None = None
) -> Tensor:
    """sRGB [N, 3] of surface points [N, 3] with outward unit normals [N, 3].

    With `footprint` [2, N, 3] (a pixel's two sides on the tangent plane) the paint is the mean of four samples in it.
    """
    if footprint is None:
        albedo = _albedo(head, paints, points)
    else:
        spread = torch.cat([points + i * footprint[0] + j * footprint[1] for i, j in SAMPLES])
        albedo = _albedo(head, paints, spread).reshape(len(SAMPLES), -1, 3).mean(0)
    shade, shine = _light(head, paints, points, normals)
    return (albedo * shade[:, None] * albedo.new_tensor(paints.light_colour) + shine[:, None]).clamp(0, 1)


def _albedo(head: Anatomy, paints: Palette, points: Tensor) -> Tensor:
    """Paint [N, 3] at points on the surface, or a fraction of a pixel beside it."""
    p = sdf.coordinates(points)
    part = parts(head, p)
    c = _paint_skin(head, paints, p)
    c = _mix(
        c, _paint_eyes(head, paints, p), sdf.step(0.0006, -0.0006, part.eyes - part.skin) * _opening(head, p)
    )
    c = _mix(
        c,
        clothing_paint(head, paints.clothing, paints.clothing_second, paints.pattern, p),
        clothed(head, part, p),
    )
    if head.hair_style != "bald":
        over = sdf.step(0.002, -0.002, part.hair - torch.minimum(part.skin, part.clothing))
        c = _mix(c, hair_paint(head, paints.hair, p), over)
    if part.glasses is not None:
        c = _mix(c, points.new_tensor(paints.frames).expand_as(c), sdf.step(0.0012, 0.0004, part.glasses))
    return c


def _light(head: Anatomy, paints: Palette, points: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
    """shade [N]: a wrapped soft light times what the surroundings leave of the sky; shine [N]: a sheen added to it.

    The sheen is that of an observer in front, for every camera: the same point keeps its colour in every view.
    """
    light = normals.new_tensor(paints.light)
    toward = normals @ light
    soft = (
        1.04
        - paints.contrast * (1 - 0.5 * (1 + toward))
        - 0.25 * paints.contrast * toward.clamp_max(0).square()
    )
    closure = torch.zeros_like(toward)
    for reach, weight in ((0.012, 0.45), (0.040, 0.40)):
        free = distance(head, sdf.coordinates(points + reach * normals))
        closure = closure + weight * (1 - free / reach).clamp(0, 1)
    half = torch.nn.functional.normalize(light + light.new_tensor([0.0, 0.0, 1.0]), dim=0)
    shine = (
        0.10
        * (normals @ half).clamp_min(0) ** 24
        * sdf.step(-0.02, 0.06, points[:, 2])
        * (1 - closure).clamp_min(0)
    )
    return (soft * (1 - 0.75 * closure)).clamp(0.05, 1.08), shine


def _paint_skin(head: Anatomy, paints: Palette, p: sdf.Coordinates) -> Tensor:
    """Skin with mottles, freckles, flush, lips, eyebrows, lids, nostrils, beard and the scalp's stubble: [N, 3]."""
    x, y, z = p
    side = x.abs()
    front = sdf.step(0.02, 0.06, z)
    c = x.new_tensor(paints.skin).expand(len(x), 3)
    mottle = 0.6 * noise((x * 40, y * 40, z * 40), 21) + 0.4 * noise((x * 110, y * 110, z * 110), 22)
    c = c * (1 + 0.05 * paints.mottle * mottle)[:, None]
    flush = torch.exp(-((side - 0.052) / 0.024).square() - ((y + 0.042) / 0.024).square()) + 0.6 * _spot(
        x, y, 0.0, head.nose_tip[1], 0.014
    )
    c = _mix(c, c * x.new_tensor((1.02, 0.84, 0.82)), front * flush.clamp(0, 1) * paints.flush)
    if paints.freckles > 0:
        where = torch.exp(-((y + 0.028) / 0.030).square() - ((side - 0.03) / 0.045).square())
        dots = sdf.step(0.25, 0.60, noise((x * 260, y * 260, z * 260), 23)) * where
        c = _mix(c, c * x.new_tensor((0.70, 0.58, 0.50)), front * dots * paints.freckles)
    rings = torch.exp(-((side - head.eye_x + 0.004) / 0.018).square() - ((y + 0.0165) / 0.006).square())
    c = _mix(c, c * x.new_tensor((0.86, 0.80, 0.82)), 0.5 * front * rings)
    c = _mix(c, x.new_tensor(paints.hair) * 0.85 + 0.12 * c, _beard(head, paints, side, y, z))
    c = _paint_mouth(head, paints, c, side, y, z, front)
    nostril = _spot(side, y, head.nostril_x * 0.62, head.nose_tip[1] - head.nose_radius * 0.98, 0.0036)
    c = _mix(c, c * 0.35, front * 0.9 * nostril)
    c = _mix(c, x.new_tensor(paints.brow), front * _eyebrow(head, paints, side, y))
    c = _paint_lids(head, c, side, y, front)
    if head.hair_density > 0:
        scalp = sdf.step(-0.010, 0.006, y - hairline(head, x, z)) * head.hair_density
        c = _mix(c, hair_paint(head, paints.hair, p), 0.9 * scalp)
    return c


def _paint_mouth(
    head: Anatomy, paints: Palette, c: Tensor, side: Tensor, y: Tensor, z: Tensor, front: Tensor
) -> Tensor:
    """Lips, the dark between them and, where the mouth is open, teeth under the upper lip."""
    u = (side / head.mouth_half_width).clamp_max(1.2)
    height, gap = y - mouth_line(head, side), mouth_gap(head, side)
    full = (1 - u * u).clamp_min(0).sqrt()
    top = (
        gap + head.lip * (1.50 - 0.35 * torch.exp(-(side / 0.004).square())) * full
    )  # the dip of Cupid's bow
    bottom = gap + head.lower_lip * 1.55 * full
    soft = 0.0012
    lips = (
        sdf.step(soft, -soft, height - top)
        * sdf.step(soft, -soft, -bottom - height)
        * sdf.step(1.05, 0.93, u)
    )
    grain = 1 + 0.08 * noise((side * 330, y * 60), 24)
    c = _mix(c, c.new_tensor(paints.lips) * grain[:, None], front * lips)
    between = (
        sdf.step(0.0007, -0.0007, height.abs() - gap * 0.98)
        if head.mouth_open > 1e-3
        else torch.exp(-(height / 0.0016).square())
    )
    crease = between * sdf.step(1.12, 0.9, u)
    c = _mix(c, c * c.new_tensor((0.34, 0.24, 0.24)), front * 0.85 * crease)
    if head.mouth_open > 1e-3:
        deep = front * between * sdf.step(0.88, 0.80, u)
        c = _mix(c, c.new_tensor((0.16, 0.05, 0.05)).expand_as(c), deep)
        teeth = deep * sdf.step(-0.0005, 0.0005, height - gap * 0.05) * sdf.step(0.75, 0.62, u)
        c = _mix(c, c.new_tensor((0.90, 0.88, 0.83)).expand_as(c), 0.95 * teeth)
    return c


def _paint_lids(head: Anatomy, c: Tensor, side: Tensor, y: Tensor, front: Tensor) -> Tensor:
    """Lash line around the opening and the fold above it."""
    u, v, edge = almond(head, side, y)
    lash = (
        torch.exp(-(edge / 0.0016).square())
        * (0.25 + 0.65 * sdf.step(-0.002, 0.003, v))
        * sdf.step(1.25, 1.0, u.abs())
    )
    if head.eye_open < 0.3:  # closed: one line of lashes
        lash = torch.exp(-(v / 0.0014).square()) * sdf.step(1.15, 0.95, u.abs()) * 0.85
    above = 0.0062 + 0.004 * (1 - head.eye_open)
    fold = (
        torch.exp(-((edge - above) / 0.0016).square()) * sdf.step(0.0, 0.004, v) * sdf.step(1.2, 0.8, u.abs())
    )
    c = _mix(c, c * 0.22, front * lash)
    return _mix(c, c * 0.74, front * 0.7 * fold)


def _paint_eyes(head: Anatomy, paints: Palette, p: sdf.Coordinates) -> Tensor:
    """Sclera, iris with a dark rim, pupil, a painted glint and the upper lid's shadow: [N, 3]."""
    x, y, _ = p
    r = ((x.abs() - head.eye_x).square() + (y - EYE_Y).square()).sqrt() / (head.eye / 0.019)
    c = x.new_tensor((0.95, 0.94, 0.93)).expand(len(x), 3)
    iris = (
        x.new_tensor(paints.iris)
        * (0.75 + 0.5 * sdf.step(0.0030, 0.0062, r) - 0.7 * sdf.step(0.0062, 0.0080, r))[:, None]
    )
    c = _mix(c, iris, sdf.step(0.0084, 0.0072, r))
    c = _mix(c, x.new_tensor((0.03, 0.03, 0.03)), sdf.step(0.0038, 0.0028, r))
    c = _mix(c, x.new_tensor((1.0, 1.0, 1.0)), _glint(head, x, y))
    _, v, edge = almond(head, x.abs(), y)
    veins = 0.5 + 0.5 * noise((x * 300, y * 300), 25)
    c = _mix(c, c * x.new_tensor((1.0, 0.90, 0.88)), 0.35 * veins * sdf.step(0.008, 0.013, r))
    return _mix(c, c * 0.55, sdf.step(-0.005, 0.0, edge) * sdf.step(0.0, 0.004, v))


def _glint(head: Anatomy, x: Tensor, y: Tensor) -> Tensor:
    """A highlight towards the light, painted because nothing here may depend on the camera."""
    return 0.9 * torch.exp(
        -(((x.abs() - head.eye_x) * x.sign() - 0.0024).square() + (y - EYE_Y - 0.0026).square()) / 0.0013**2
    )


def _beard(head: Anatomy, paints: Palette, side: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """[N] 0 .. 1: cheeks below a line from ear to mouth and chin; a moustache of its own amount; strands, not a stain."""
    line = -0.076 + 0.9 * (side - 0.035).clamp_min(0) - 0.4 * head.lower_drop
    low = -0.150 - head.lower_drop
    lower = (
        sdf.step(0.006, -0.008, y - line) * sdf.step(low - 0.015, low + 0.005, y) * sdf.step(-0.02, 0.01, z)
    )
    lip_y = mouth_line(head, side) + mouth_gap(head, side)
    above = (
        sdf.step(0.0, 0.006, y - lip_y)
        * sdf.step(0.030, 0.020, y - lip_y)
        * sdf.step(0.042, 0.028, side)
        * sdf.step(0.02, 0.06, z)
    )
    grain = 0.86 + 0.14 * noise((side * 260, y * 110, z * 150), 26)
    return 0.9 * torch.maximum(paints.beard * lower * (1 - above), paints.moustache * above) * grain


def _eyebrow(head: Anatomy, paints: Palette, side: Tensor, y: Tensor) -> Tensor:
    """[N]: an arch above the eye that thins out towards the temple, with hairs."""
    u = (side - head.eye_x) / 0.029
    arch = EYE_Y + 0.0300 + head.brow_raise + 0.0010 * u - head.eyebrow_arch * u * u
    half = paints.eyebrow * (1.1 - 0.5 * u.clamp(-1, 1)) * sdf.step(-1.25, -0.7, u)
    hairs = 0.80 + 0.20 * noise(((side - y) * 330, (side + y) * 60), 27)
    return 0.95 * hairs * sdf.step(0.0015, -0.0015, (y - arch).abs() - half) * sdf.step(1.05, 0.85, u.abs())


def _opening(head: Anatomy, p: sdf.Coordinates) -> Tensor:
    """[N]: 1 where the lids leave the eyeball open."""
    return sdf.step(0.0007, -0.0007, almond(head, p[0].abs(), p[1])[2]) * sdf.step(0.06, 0.065, p[2])


def _spot(x: Tensor, y: Tensor, centre_x: float, centre_y: float, radius: float) -> Tensor:
    return torch.exp(-((x - centre_x).square() + (y - centre_y).square()) / radius**2)


def _mix(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    return a + (b - a) * weight[:, None]


def _colour(channels: Iterable[float]) -> Colour:
    red, green, blue = channels
    return red, green, blue


def _ramp(colours: tuple[Colour, ...], amount: float) -> Colour:
    """Piecewise linear through `colours`, from amount -1 to 1."""
    at = (amount + 1) / 2 * (len(colours) - 1)
    i = min(int(at), len(colours) - 2)
    return _colour(a + (b - a) * (at - i) for a, b in zip(colours[i], colours[i + 1]))


def _amount(edge_0: float, edge_1: float, x: float) -> float:
    t = min(max((x - edge_0) / (edge_1 - edge_0), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def _tint(colour: Colour, by: Colour) -> Colour:
    return _colour(min(max(a + b, 0.0), 1.0) for a, b in zip(colour, by))
