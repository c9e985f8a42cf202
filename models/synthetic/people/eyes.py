"""Eyes: eyeballs turned to where they look, sclera, iris and pupil under a wet cornea, and the teeth behind the lips."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .grain import Grain
from .nature import Nature
from .parts import Paint
from .shape import smoothstep
from .skin import linear
from .streams import Draws

CENTRE = (3.195, 3.616, 8.44)  # cm: an eyeball's in the mean head, for +x; the mirror image for -x
AXIS = (0.058, 0.0, 0.998)  # where it looks there
APEX = 1.205  # cm from there to the cornea's front
LIMBUS, PUPIL = 0.60, 0.21  # cm: radii of iris and pupil about the axis
CURVE = 0.8  # cm: radius of the cornea
IRISES = {  # sRGB
    "dark brown": (0.20, 0.11, 0.06),
    "brown": (0.34, 0.20, 0.10),
    "hazel": (0.42, 0.33, 0.16),
    "green": (0.36, 0.39, 0.27),
    "blue": (0.41, 0.465, 0.51),
    "grey": (0.45, 0.50, 0.53),
}
DARK = {"dark brown": 0.75, "brown": 0.25}
LIGHT = {"dark brown": 0.12, "brown": 0.3, "hazel": 0.16, "green": 0.1, "blue": 0.24, "grey": 0.08}


@dataclass(frozen=True, kw_only=True)
class Eyes:
    """One person's eyes: a `Surface.paint` of both.

    Attributes:
        iris: [3] linear. ring: darkness of the limbus. pupil: cm. red: of the sclera's veins. grain: of four channels.
    """

    iris: Tensor
    ring: float
    pupil: float
    red: float
    grain: Grain

    def __call__(self, rest: Tensor) -> Paint:
        """The paint of points [P, 3] of both eyeballs."""
        radius, angle = polar(rest)
        lines = self.grain(
            torch.stack([angle * 2.6, radius * 1.6 + 9 * (rest[:, 0] < 0), torch.zeros_like(angle)], 1), 0.3
        )
        fibres = 0.35 * lines[:, 0] + 0.2 * lines[:, 1]
        collarette = torch.exp(-(((radius - self.pupil - 0.11 - 0.02 * lines[:, 2]) / 0.06) ** 2))
        shade = fibres + 0.4 * collarette - self.ring * smoothstep(radius, 0.43, LIMBUS)
        iris = self.iris * shade[:, None].exp()
        iris = torch.lerp(
            iris, rest.new_tensor([0.5, 0.3, 0.1]) * self.iris.mean() * 2, 0.25 * collarette[:, None]
        )
        iris = torch.lerp(
            torch.full_like(iris, 0.003),
            iris,
            smoothstep(radius, self.pupil - 0.02, self.pupil + 0.03)[:, None],
        )
        away = smoothstep(radius, 0.7, 1.4)
        veins = self.red * away * smoothstep(self.grain(rest, 0.2, (2.5, 0.8, 1.0))[:, 3], 0.3, 1.6)
        stain = (0.25 * away + 0.5 * veins)[:, None] * rest.new_tensor([0.12, 0.55, 0.5])
        sclera = rest.new_tensor([0.66, 0.61, 0.585]) * (-stain).exp()
        albedo = torch.lerp(iris, sclera, smoothstep(radius, LIMBUS - 0.045, LIMBUS + 0.035)[:, None])
        size = len(rest)
        return Paint(
            albedo=albedo,
            roughness=torch.full((size,), 0.07),
            specular=torch.full((size,), 1.0),
            scatter=rest.new_tensor([0.3, 0.22, 0.2]).expand(size, 3),
            bump=torch.zeros_like(rest),
            opacity=torch.ones(size),
        )


def polar(rest: Tensor) -> tuple[Tensor, Tensor]:
    """Distance from the eye's axis (cm) and angle about it (radians), [P] each, of points [P, 3] of both eyeballs."""
    away = torch.cat([rest[:, :1].abs(), rest[:, 1:]], 1) - rest.new_tensor(CENTRE)
    axis = F.normalize(rest.new_tensor(AXIS), dim=0)
    along = away @ axis
    across = away - along[:, None] * axis
    radius = across.norm(dim=1)
    behind = along < 0
    return torch.where(behind, 3.0 - radius, radius), torch.atan2(across[:, 1], across[:, 0])


def coat_normals(rest: Tensor, looking: tuple[float, float]) -> Tensor:
    """[N, 3] unit: the wet surface's over iris and sclera.

    The cornea is a sphere of 8 mm on the axis; the sclera's own sphere takes over beyond the limbus.

    Args:
        rest: [N, 3] of eyeballs. looking: radians aside and up.
    """
    axis = F.normalize(rest.new_tensor(AXIS), dim=0)
    mirrored = torch.cat([rest[:, :1].abs(), rest[:, 1:]], 1)
    centre = rest.new_tensor(CENTRE)
    cornea = F.normalize(mirrored - (centre + (APEX - CURVE) * axis), dim=1)
    ball = F.normalize(mirrored - (centre - 0.44 * axis), dim=1)
    radius = polar(rest)[0]
    normals = F.normalize(torch.lerp(cornea, ball, smoothstep(radius, 0.5, 0.75)[:, None]), dim=1)
    right = rest[:, :1] < 0
    normals = torch.cat([normals[:, :1] * torch.where(right, -1.0, 1.0), normals[:, 1:]], 1)
    return torch.where(
        right, normals @ gaze_rotation(-1.0, looking).T, normals @ gaze_rotation(1.0, looking).T
    )


def lid_shade(vertices: Tensor, eyes: Tensor, lids: Tensor, scale: float) -> Tensor:
    """[N] light that lids and lashes let through to eyeballs, 1 elsewhere: little along the upper lid.

    Args:
        vertices: [N, 3] of the whole model, scene units. eyes, lids: indices [E], [K] of eyeballs and of skin near them.
        scale: scene units a centimetre.
    """
    shade = torch.ones(len(vertices))
    for side in (1.0, -1.0):
        own, skin = (some[vertices[some, 0] * side > 0] for some in (eyes, lids))
        across, up, ahead = ((vertices[skin].T[:, None] - vertices[own].T[..., None]) / scale).unbind(0)
        above = 1 + 0.9 * smoothstep(-up, -0.1, 0.25)  # what lies below shades less
        near = ((across.square() + up.square() + ahead.square()) * above.square()).amin(1).sqrt()
        shade[own] = 0.4 + 0.6 * smoothstep(near, 0.0, 0.42)
    return shade


@dataclass(frozen=True, kw_only=True)
class Mouth:
    """Teeth or gums: a `Surface.paint`. Attributes: colour: [3] linear. rough: of the wet surface. grain: one channel."""

    colour: Tensor
    rough: float
    grain: Grain

    def __call__(self, rest: Tensor) -> Paint:
        """The paint of points [P, 3]: darker towards the throat."""
        deep = (smoothstep(rest[:, 2], 4.5, 11.0) * smoothstep(-rest[:, 0].abs(), -3.2, -1.0))[:, None]
        size = len(rest)
        return Paint(
            albedo=self.colour * (0.12 + 0.88 * deep) * (0.05 * self.grain(rest, 0.4)[:, None]).exp(),
            roughness=torch.full((size,), self.rough),
            specular=torch.ones(size),
            scatter=rest.new_tensor([0.3, 0.25, 0.2]).expand(size, 3),
            bump=torch.zeros_like(rest),
            opacity=torch.ones(size),
        )


def draw_eyes(who: Nature, seed: int) -> Eyes:
    """The eyes of a person: brown on dark skin, any colour on light.

    Raises:
        ValueError: a negative seed.
    """
    draws = Draws(seed, "eyes")
    dark = who.tone > 2.4 or who.origin == "east"
    colour = linear(IRISES[draws.choice(DARK if dark else LIGHT)]) * math.exp(draws.normal(0.0, 0.2))
    return Eyes(
        iris=colour,
        ring=draws.uniform(0.4, 1.2),
        pupil=PUPIL * draws.uniform(0.75, 1.3),
        red=draws.uniform(0.2, 0.9) * (0.7 + 0.6 * who.age),
        grain=Grain(draws, 4),
    )


def draw_mouth(who: Nature, seed: int) -> tuple[Mouth, Mouth]:
    """Teeth and gums of a person; old teeth are yellow."""
    draws = Draws(seed, "mouth")
    yellow = 0.25 * draws.uniform() + 0.45 * who.age
    teeth = linear([0.90 - 0.05 * yellow, 0.875 - 0.09 * yellow, 0.84 - 0.26 * yellow]) * draws.uniform(
        0.75, 0.95
    )
    grain = Grain(draws)
    gums = linear([0.62, 0.30, 0.29]) * (1.0 - 0.06 * who.tone)
    return Mouth(colour=teeth, rough=0.22, grain=grain), Mouth(colour=gums, rough=0.3, grain=grain)


def turned_eyes(vertices: Tensor, eyes: tuple[slice, slice], looking: tuple[float, float]) -> Tensor:
    """[N, 3] with both eyeballs turned from where they rest to where they look.

    Args:
        vertices: [N, 3] of the whole model. eyes: vertices of the left (+x) and the right one.
        looking: radians aside (towards +x) and up, of both.
    """
    turned = vertices.clone()
    for part, side in zip(eyes, (1.0, -1.0), strict=True):
        centre = vertices[part].mean(0)
        turned[part] = (vertices[part] - centre) @ gaze_rotation(side, looking).T + centre
    return turned


def gaze_rotation(side: float, looking: tuple[float, float]) -> Tensor:
    """[3, 3] from an eye at rest to one that looks aside and up (radians). Args: side: 1 for the left eye (+x), -1 for the right."""
    yaw, up = looking[0] - side * math.atan2(AXIS[0], AXIS[2]), looking[1]
    about_y = torch.tensor([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    about_x = torch.tensor([[1, 0, 0], [0, math.cos(up), math.sin(up)], [0, -math.sin(up), math.cos(up)]])
    return about_x @ about_y
