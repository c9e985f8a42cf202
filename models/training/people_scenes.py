"""Made-up snapshots of factory 3's people: small to large, tilted, among others, behind hands and text, in bad light; or no face at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..synthetic.backgrounds import random_background
from ..synthetic.people.backgrounds import draw_background
from ..synthetic.people.light import draw_light
from .people_views import PeopleViews
from .scenes import Dice, Scenes, blank_face, develop, moved, photo_ends, spot

TILT = math.radians(60)
FACE = 0.40  # height of a face in the canonical frame
SMALLEST, LARGEST = 0.08 / FACE, 0.90 / FACE  # scales of the canonical frame in a picture
SHARES = (0.74, 0.81, 0.86)  # up to where: faces, heads from behind, blank faces; the rest has no head
OUTLINE = 2.0  # pupils' distances around the middle of the points within which depth and normals are learnt
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789&!?.,"


@dataclass(frozen=True)
class PeopleScenes(Scenes):
    """A batch of snapshots and their truth, with surfaces.

    Attributes:
        depth: [B, 1, S, S] as of `PeopleViews`. normal: [B, 3, S, S] unit. surface: [B, 1, S, S], 1 where these two are to be learnt.
        yaw, pitch, roll: [B] radians, of the pose. scale: [B] of the canonical frame in the picture.
    """

    depth: Tensor
    normal: Tensor
    surface: Tensor
    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    scale: Tensor


@dataclass(frozen=True)
class PeopleStage:
    """What scenes are put together from.

    Attributes:
        views: people. backdrops: [P, 3, S, S]. writing: [T, 1, S, S], 1 on letters.
    """

    views: PeopleViews
    backdrops: Tensor
    writing: Tensor


def backdrops_of(count: int, size: int, seed: int) -> Tensor:
    """[count, 3, S, S]: four of five are the places of factory 3, the rest the clutter of factory 2."""
    generator = torch.Generator().manual_seed(seed)
    pictures = [
        draw_background(seed + i, draw_light(seed + i, 2.0), size)
        if i % 5
        else random_background(size, generator)
        for i in range(count)
    ]
    return torch.stack(pictures)


def writing_of(count: int, size: int, seed: int) -> Tensor:
    """[count, 1, S, S] in 0..1: lines of letters, one or several."""
    generator = torch.Generator().manual_seed(seed)

    def whole(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    pages = []
    for _ in range(count):
        page = Image.new("L", (size, size))
        for _ in range(whole(1, 5)):
            word = "".join(LETTERS[whole(0, len(LETTERS))] for _ in range(whole(2, 14)))
            font = ImageFont.load_default(size=whole(size // 16, size // 4))
            place = (whole(-size // 8, size), whole(0, size))
            ImageDraw.Draw(page).text(place, word, fill=255, font=font)
        pages.append(torch.from_numpy(np.array(page))[None] / 255)
    return torch.stack(pages)


def draw_people_scenes(
    stage: PeopleStage,
    count: int,
    generator: torch.Generator,
    shares: tuple[float, float, float] = SHARES,
) -> PeopleScenes:
    """`count` snapshots; shares: as of SHARES."""
    dice = Dice(count, generator)
    views, size = stage.views, stage.backdrops.shape[-1]
    kind = dice.uniform(0, 1)
    back = (kind >= shares[0]) & (kind < shares[1])
    person = dice.pick(torch.arange(len(views.yaw)))
    last = views.yaw.shape[1] - 1
    view = torch.where(back, last, dice.pick(torch.arange(last)))
    matrix, scale, roll = placement(dice)
    layers = layers_of(views, person, view)
    blank = ((kind >= shares[1]) & (kind < shares[2]))[:, None, None, None]
    flat = blank_face(layers[:, :3], layers[:, 3:4], views.places[person, view][:, 30:48]) * layers[:, 3:4]
    layers = torch.cat([torch.where(blank, flat, layers[:, :3]), layers[:, 3:]], 1)
    empty = (kind >= shares[2])[:, None, None, None]
    layers = torch.where(empty, 0, warped(layers, matrix, scale, size))
    alpha = layers[:, 3:4].clamp(0, 1)
    image = _behind(dice, stage, kind < shares[0], matrix, scale)
    image = layers[:, :3] + image * (1 - alpha)
    image = torch.where(empty & dice.chance(0.6), hand(image, dice, size), image)
    image, clear = _behind_things(image, dice, stage)
    image, cover = photo_ends(light_of(write(image, dice, stage, 0.15), dice), alpha * clear, dice)
    places = moved(views.places[person, view], matrix)
    face = (kind < shares[0]).float()
    inside = ((places > 0.005) & (places < 0.995)).all(-1)
    face = face * (inside.float().mean(1) > 0.5)
    pupils = scale * 0.09 / 0.633  # from scene units to widths of the canonical frame
    near = _around(places, pupils, size)
    return PeopleScenes(
        image=develop(image, dice),
        mask=cover,
        places=places,
        visible=inside & (face[:, None] > 0),
        face=face,
        pupils=pupils,
        depth=layers[:, 4:5] / alpha.clamp_min(1e-3),
        normal=F.normalize(_turned(layers[:, 5:8], roll), dim=1),
        surface=near * (cover > 0.95) * face[:, None, None, None],
        yaw=views.yaw[person, view],
        pitch=views.pitch[person, view],
        roll=roll,
        scale=scale,
    )


def _behind_things(image: Tensor, dice: Dice, stage: PeopleStage) -> tuple[Tensor, Tensor]:
    """Pictures [B, 3, S, S], some behind a hand or a thing, and [B, 1, S, S], 0 where one of these is."""
    size = image.shape[-1]
    covered = hand(image, dice, size)
    hidden = (covered != image).any(1, keepdim=True) & dice.chance(0.15)
    image = torch.where(hidden, covered, image)
    thing = spot(dice, size, 0.02, 0.14) & dice.chance(0.15)
    image = torch.where(thing, dice.pick(stage.backdrops), image)
    return image, 1 - (hidden | thing).float()


def layers_of(views: PeopleViews, person: Tensor, view: Tensor) -> Tensor:
    """[B, 8, S, S]: colour, cover, depth and normal, all times cover."""
    cover = views.cover[person, view].float() / 255
    depth = views.depth[person, view].float() * cover
    normal = views.normal[person, view].float() / 127 * cover
    return torch.cat([views.colour[person, view].float() / 255, cover, depth, normal], 1)


def placement(dice: Dice) -> tuple[Tensor, Tensor, Tensor]:
    """Canonical frame -> picture, both from -1 to 1: [B, 2, 3]; its scale [B] and roll [B]; half near the canonical crop."""
    near = dice.uniform(0, 1) < 0.5
    wide = torch.exp(dice.uniform(math.log(SMALLEST), math.log(LARGEST)))
    scale = torch.where(near, dice.uniform(0.75, 1.3), wide)
    roll = dice.uniform(-1, 1) * torch.where(dice.uniform(0, 1) < 0.5, math.radians(15), TILT)
    reach = 0.2 + 0.7 * (1 - scale).clamp_min(0)
    shift = dice.uniform(-1, 1, 2) * reach[:, None]
    cos, sin = roll.cos() * scale, roll.sin() * scale
    rows = [torch.stack([cos, -sin, shift[:, 0]], -1), torch.stack([sin, cos, shift[:, 1]], -1)]
    return torch.stack(rows, 1), scale, roll


def warped(layers: Tensor, matrix: Tensor, scale: Tensor, size: int) -> Tensor:
    """Layers [B, C, S, S] of canonical frames as pictures [B, C, size, size] under matrices [B, 2, 3]; bodies go on below."""
    linear = torch.linalg.inv(matrix[:, :, :2])
    back = torch.cat([linear, -linear @ matrix[:, :, 2:]], -1)  # affine_grid wants picture -> canonical
    grid = F.affine_grid(back, [len(layers), 1, size, size], align_corners=False)
    step = layers.shape[-1] / size / scale  # pixels of a layer per one of the picture
    halvings = (step / 0.75).log2().floor().clamp(0, 3).int()
    picture = layers.new_empty(len(layers), layers.shape[1], size, size)
    for level in range(4):
        some = (halvings == level).nonzero()[:, 0]
        if len(some):
            coarse = F.avg_pool2d(layers[some], 2**level)
            picture[some] = F.grid_sample(coarse, grid[some], padding_mode="border", align_corners=False)
    return picture


def _behind(dice: Dice, stage: PeopleStage, face: Tensor, matrix: Tensor, scale: Tensor) -> Tensor:
    """[B, 3, S, S]: a place, some with writing on it; beside some faces another person, beside some backs another back."""
    views, size = stage.views, stage.backdrops.shape[-1]
    first, second = dice.pick(stage.backdrops), dice.pick(stage.backdrops).flip(-1)
    image = torch.where(dice.chance(0.25), torch.lerp(first, second, dice.uniform(0, 1, 1, 1, 1)), first)
    image = torch.where(dice.chance(0.12), dice.uniform(0, 1, 3, 1, 1).expand_as(image), image)
    image = write(image, dice, stage, 0.25)
    last = views.yaw.shape[1] - 1
    view = torch.where(face & (dice.uniform(0, 1) < 0.6), dice.pick(torch.arange(last)), last)
    other = layers_of(views, dice.pick(torch.arange(len(views.yaw))), view)[:, :4]
    share = dice.uniform(0.55, 0.95)
    side = torch.where(dice.uniform(0, 1) < 0.5, -1.0, 1.0)
    aside = torch.stack([side * dice.uniform(0.7, 1.3), dice.uniform(-0.3, 0.4)], -1) * scale[:, None]
    beside = torch.cat([matrix[:, :, :2] * share[:, None, None], (matrix[:, :, 2] + aside)[..., None]], -1)
    cover = warped(other, beside, scale * share, size) * dice.chance(0.3)
    return cover[:, :3] + image * (1 - cover[:, 3:4])


def write(image: Tensor, dice: Dice, stage: PeopleStage, share: float) -> Tensor:
    """Letters of one colour on a share of the pictures [B, 3, S, S]."""
    ink = dice.pick(stage.writing) * dice.chance(share) * dice.uniform(0.6, 1, 1, 1, 1)
    return torch.lerp(image, dice.uniform(0, 1, 3, 1, 1).expand_as(image), ink)


def hand(image: Tensor, dice: Dice, size: int) -> Tensor:
    """A hand of simple shapes on each picture [B, 3, S, S]: a palm and four fingers, in any skin's colour, lit from a side."""
    u = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(u, u, indexing="ij")
    middle, reach, turn = dice.uniform(0.1, 0.9, 2), dice.uniform(0.05, 0.16), dice.uniform(-math.pi, math.pi)
    across, down = x - middle[:, :1, None], y - middle[:, 1:, None]
    cos, sin, reach = turn.cos()[:, None, None], turn.sin()[:, None, None], reach[:, None, None]
    along, side = (across * cos + down * sin) / reach, (down * cos - across * sin) / reach
    away = (torch.hypot(along / 1.1, side) - 1).clamp_min(0)
    bend = dice.uniform(0.6, 1.2)[:, None, None]
    for finger in (-0.72, -0.24, 0.24, 0.72):
        centre = side - finger * bend
        away = torch.minimum(away, (torch.hypot(centre, (along - along.clamp(0, 2.2))) - 0.21).clamp_min(0))
    soft = (1 - away * reach * size).clamp(0, 1)[:, None]
    tone = torch.lerp(
        torch.tensor([0.28, 0.17, 0.12]), torch.tensor([0.93, 0.74, 0.63]), dice.uniform(0, 1, 1)
    )
    shade = (0.85 + 0.2 * side.clamp(-1, 1) - 0.12 * (side.mul(6).cos() > 0.93) * (along > 1))[:, None]
    return torch.lerp(image, (tone[:, :, None, None] * shade).clamp(0, 1), soft)


def light_of(image: Tensor, dice: Dice) -> Tensor:
    """Hard shadows across some pictures [B, 3, S, S], and little light with much noise on some."""
    size = image.shape[-1]
    u = (torch.arange(size) + 0.5) / size - 0.5
    turn, offset = dice.uniform(-math.pi, math.pi), dice.uniform(-0.3, 0.3)
    edge = u * turn.cos()[:, None, None] + u[:, None] * turn.sin()[:, None, None] - offset[:, None, None]
    dark = (edge * dice.uniform(10, 120, 1, 1) + 0.5).clamp(0, 1)[:, None]
    dark = torch.where(dice.chance(0.4), spot(dice, size, 0.05, 0.4).float(), dark) * dice.chance(0.2)
    image = image * (1 - dark * dice.uniform(0.3, 0.75, 1, 1, 1))
    low = dice.chance(0.15)
    noise = torch.randn(image.shape, generator=dice.generator) * dice.uniform(0.01, 0.06, 1, 1, 1)
    return torch.where(low, (image * dice.uniform(0.1, 0.4, 1, 1, 1) + noise).clamp(0, 1), image)


def _turned(normal: Tensor, roll: Tensor) -> Tensor:
    """Normals [B, 3, S, S] with the picture turned by roll [B]."""
    cos, sin = roll.cos()[:, None, None], roll.sin()[:, None, None]
    x, y, z = normal.unbind(1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y, z], 1)


def _around(places: Tensor, pupils: Tensor, size: int) -> Tensor:
    """[B, 1, S, S] 1 near the middle of points [B, L, 2]; pupils [B] their distance in picture widths."""
    u = (torch.arange(size) + 0.5) / size
    middle = places.mean(1)
    away = torch.hypot((u - middle[:, :1])[:, None, :], (u - middle[:, 1:])[:, :, None])
    return (away < OUTLINE * pupils[:, None, None]).float()[:, None]
