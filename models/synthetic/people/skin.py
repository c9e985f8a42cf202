"""Skin: its tone, the blood beneath it, lips, lids, spots and lines, painted over the mean head's coordinates (centimetres)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .grain import Grain
from .lines import Lines, draw_lines
from .nature import Nature
from .parts import Paint
from .shape import smoothstep
from .spots import Spots, draw_spots
from .streams import Draws

PALETTE = (  # sRGB of tones 0 to 5
    (0.93, 0.765, 0.68),
    (0.90, 0.705, 0.59),
    (0.84, 0.62, 0.485),
    (0.73, 0.505, 0.37),
    (0.54, 0.36, 0.26),
    (0.36, 0.235, 0.175),
)
BLOOD = (0.03, 0.30, 0.26)  # how strongly blood takes away red, green, blue
MELANIN = (0.35, 0.62, 0.85)
SCATTER = (0.42, 0.20, 0.13)  # how far light wraps around an edge of skin
LIP_LINE = -3.5  # cm: height of the closed mouth
LIP_CORNER = 2.62  # cm from the middle


@dataclass(frozen=True, kw_only=True)
class Skin:
    """One person's skin: a `Surface.paint`.

    Attributes:
        tone: [3] linear albedo. undertone of lips: `lips` [3] linear albedo, `lip_cover` how much of the skin they hide.
        blood, oil, mottle: strengths about 1. socket: darkness around the eyes. shadow: of shaved stubble, 0 to 1.
        shade: [3] linear colour of what is shaved. blush, liner: make-up, 0 to 1. age: 0 to 1.
        coarse: a grain of two channels, fine: of four.
    """

    tone: Tensor
    lips: Tensor
    lip_cover: float
    blood: float
    oil: float
    mottle: float
    socket: float
    shadow: float
    shade: Tensor
    blush: float
    liner: float
    age: float
    coarse: Grain
    fine: Grain
    spots: Spots
    lines: Lines

    def __call__(self, rest: Tensor) -> Paint:
        """The paint of points [P, 3]."""
        mirrored = torch.cat([rest[:, :1].abs(), rest[:, 1:]], 1)
        patches, grain = self.coarse(rest, 1.3), self.fine(rest, 0.34)
        pores = self.fine(rest, 0.11)
        lip = lip_mask(mirrored)
        stain = -self.blood * self._blood(mirrored, patches, grain, lip)[:, None] * rest.new_tensor(BLOOD)
        brown = 0.05 * self.mottle * (0.8 * patches[:, 1] + 0.7 * grain[:, 1] + 0.35 * pores[:, 1])
        brown = brown + self.spots.darkness(rest, mirrored, grain) + self._sockets(mirrored)
        stain = stain - brown[:, None] * rest.new_tensor(MELANIN)
        albedo = self.tone * stain.exp()
        crease, slope = self.lines(mirrored, patches[:, 0])
        albedo = albedo * (1 - crease[:, None] * rest.new_tensor([0.16, 0.26, 0.28]))
        albedo = self._lips(albedo, rest, lip)
        albedo = self._shaved(albedo, mirrored, lip, pores)
        albedo = self._make_up(albedo, mirrored)
        roughness = self._roughness(mirrored, lip) + 0.035 * grain[:, 2] + 0.03 * pores[:, 2]
        bump = (1 + 0.9 * self.age) * (0.04 * pores[:, :3] + 0.035 * grain[:, :3]) * (
            1 - 0.6 * lip[:, None]
        ) + slope
        inside = (mirrored[:, 2] < 8.4) & (mirrored[:, 2] > 2.0)
        inside &= (mirrored[:, 1] - LIP_LINE).abs() < 1.6
        inside &= mirrored[:, 0] < 3.0
        albedo = torch.where(
            inside[:, None], rest.new_tensor([0.22, 0.045, 0.04]), albedo
        )  # cheeks' inner side
        return Paint(
            albedo=albedo.clamp(0.004, 0.95),
            roughness=roughness.clamp(0.22, 0.9),
            specular=torch.ones(len(rest)),
            scatter=rest.new_tensor(SCATTER).expand(len(rest), 3),
            bump=bump,
            opacity=torch.ones(len(rest)),
        )

    def _blood(self, at: Tensor, patches: Tensor, grain: Tensor, lip: Tensor) -> Tensor:
        """[P] how red: cheeks, nose, ears, chin; less on the forehead and around the mouth; in patches."""
        x, y, z = at.unbind(-1)
        cheek, nose = disc(x, y, 4.6, -0.6, 2.3), disc(x, y, 0.0, 0.5, 1.5) + disc(x, y, 1.4, -0.5, 0.9)
        ear = (
            smoothstep(x, 7.2, 8.2)
            * smoothstep(6.5 - (y - 1.5).abs(), 0.0, 1.5)
            * smoothstep(5.0 - z.abs(), 0.0, 1.5)
        )
        front = smoothstep(z, 3.0, 8.0)
        red = 0.55 * cheek + 0.6 * nose + 0.35 * disc(x, y, 0.0, -6.8, 1.5) - 0.3 * disc(x, y, 0.0, 9.0, 4.0)
        red = red * front + 0.75 * ear + 0.25 * disc(x, y, 3.2, 2.0, 1.0) * front
        return red + 0.16 * self.mottle * (patches[:, 0] + 0.6 * grain[:, 0]) * (1 - lip) + 0.12

    def _sockets(self, at: Tensor) -> Tensor:
        """[P] brown around the eyes, deepest at the inner corner; nostrils are dark."""
        x, y, z = at.unbind(-1)
        front = smoothstep(z, 6.0, 8.0)
        under = disc(x, y, 2.5, 2.2, 0.9) + 0.6 * disc(x, y, 3.6, 2.1, 0.9)
        lid = disc(x, y, 3.2, 4.4, 1.1)
        nostril = disc(x, y, 0.75, -0.95, 0.42) * smoothstep(12.3 - z, 0.0, 0.6)
        return (self.socket * (0.22 * under + 0.14 * lid) + 0.7 * nostril) * front

    def _lips(self, albedo: Tensor, rest: Tensor, lip: Tensor) -> Tensor:
        """Lips with fine upright furrows."""
        furrows = self.fine(rest, 0.16, (0.8, 4.0, 1.0))[:, 3]
        colour = self.lips * (0.1 * furrows[:, None]).exp()
        return torch.lerp(albedo, colour, (lip * self.lip_cover)[:, None])

    def _shaved(self, albedo: Tensor, at: Tensor, lip: Tensor, pores: Tensor) -> Tensor:
        """The grey of a shaved beard."""
        if self.shadow == 0.0:
            return albedo
        cover = self.shadow * beard_mask(at) * (1 - lip) * (0.8 + 0.3 * pores[:, 3]).clamp(0, 1.3)
        return torch.lerp(albedo, 0.3 * albedo + 0.7 * self.shade, cover[:, None].clamp(0, 0.9))

    def _make_up(self, albedo: Tensor, at: Tensor) -> Tensor:
        x, y, z = at.unbind(-1)
        if self.blush > 0.0:
            rouge = self.blush * (disc(x, y, 5.2, -0.4, 1.7) * smoothstep(z, 4.0, 7.0))[:, None]
            albedo = albedo * (-0.35 * rouge * at.new_tensor([0.05, 0.6, 0.4])).exp()
        if self.liner > 0.0:
            shade = self.liner * (disc(x, y, 3.3, 4.15, 0.75) * smoothstep(z, 7.0, 8.0))[:, None]
            albedo = albedo * (-shade * at.new_tensor([0.7, 0.9, 0.75])).exp()
        return albedo

    def _roughness(self, at: Tensor, lip: Tensor) -> Tensor:
        """[P]: foreheads, noses and lips shine."""
        x, y, _ = at.unbind(-1)
        shine = (
            0.09 * disc(x, y, 0.0, 8.0, 3.2)
            + 0.11 * disc(x, y, 0.0, 1.0, 1.4)
            + 0.05 * disc(x, y, 4.0, 0.2, 1.5)
        )
        return 0.53 - self.oil * shine - 0.17 * lip


def disc(x: Tensor, y: Tensor, at_x: float, at_y: float, radius: float) -> Tensor:
    """[P]: 1 at a place, fading away from it; x, y [P] centimetres."""
    return torch.exp(-((x - at_x).square() + (y - at_y).square()) / radius**2)


def lip_mask(mirrored: Tensor) -> Tensor:
    """[P] in [0, 1]: the red of the lips; mirrored [P, 3] rest coordinates with x >= 0."""
    x, y, z = mirrored.unbind(-1)
    u = (x / LIP_CORNER).clamp(0, 1)
    bow = 0.13 * torch.exp(-(((x - 0.55) / 0.35) ** 2)) - 0.12 * torch.exp(-((x / 0.28) ** 2))
    top = LIP_LINE + 1.06 * (1 - u**1.7) + bow
    bottom = LIP_LINE - 0.98 * (1 - u**2.2).clamp_min(0) ** 0.7
    inner = torch.minimum(top - y, y - bottom)
    return smoothstep(inner, -0.12, 0.14) * smoothstep(z, 8.2, 8.8) * smoothstep(2.75 - x, 0.0, 0.2)


def beard_mask(mirrored: Tensor) -> Tensor:
    """[P] in [0, 1]: where a beard grows; mirrored as of `lip_mask`."""
    x, y, z = mirrored.unbind(-1)
    border = -2.4 + 0.35 * (x - 3.0).clamp_min(0)  # from the mouth's corners up to the ears
    side = smoothstep(torch.atan2(x, z - 1.0), 1.75, 1.4)
    chin = smoothstep(border - y, -0.8, 0.8) * smoothstep(y, -12.0, -8.6) * side
    moustache = torch.exp(-(((y + 1.9) / 0.6) ** 2)) * smoothstep(3.1 - x, 0.0, 0.9) * smoothstep(z, 8.0, 9.0)
    return torch.maximum(chin, moustache)


def linear(srgb) -> Tensor:
    """[..., 3] linear colour of sRGB numbers in [0, 1]."""
    colour = torch.as_tensor(srgb, dtype=torch.float32)
    return torch.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def skin_tone(tone: float) -> Tensor:
    """[3] linear albedo of a tone from 0, the lightest, to 5."""
    low = min(int(tone), len(PALETTE) - 2)
    return torch.lerp(linear(PALETTE[low]), linear(PALETTE[low + 1]), tone - low)


def draw_skin(who: Nature, seed: int) -> Skin:
    """The skin of a person.

    Raises:
        ValueError: a negative seed.
    """
    draws = Draws(seed, "skin")
    under = draws.normal(0.0, 1.0)
    tint = torch.tensor([0.0, -0.02 * under, -0.07 * under]).exp()
    tone = skin_tone(who.tone) * tint
    grown = who.child == 0.0
    painted = not who.male and grown and draws.chance(0.45)
    natural = tone * torch.tensor([0.86, 0.46, 0.48]) + torch.tensor([0.03, 0.0, 0.005])
    stick = linear([draws.uniform(0.45, 0.85), draws.uniform(0.1, 0.4), draws.uniform(0.15, 0.42)])
    dark = min(1.0, who.tone / 4)
    return Skin(
        tone=tone,
        lips=torch.lerp(natural, stick, draws.uniform(0.4, 0.9)) if painted else natural,
        lip_cover=draws.uniform(0.75, 0.95) if painted else draws.uniform(0.45, 0.75),
        blood=draws.uniform(0.5, 1.35) * (1 - 0.35 * dark),
        oil=draws.uniform(0.3, 1.5),
        mottle=draws.uniform(0.6, 1.5) * (1 + 0.5 * who.age - 0.4 * (not grown)),
        socket=draws.uniform(0.2, 1.2) * (0.6 + 0.8 * who.age) * (1.4 if 1.5 < who.tone < 4 else 1.0),
        shadow=max(0.0, draws.uniform(-0.2, 0.9)) if who.male and grown else 0.0,
        shade=torch.tensor([0.055, 0.05, 0.055]),
        blush=draws.uniform(0.2, 0.8) if painted else 0.0,
        liner=draws.uniform(0.0, 0.6) if painted else 0.0,
        age=who.age,
        coarse=Grain(draws, 2),
        fine=Grain(draws, 4),
        spots=draw_spots(who, Draws(seed, "spots")),
        lines=draw_lines(who, Draws(seed, "lines")),
    )
