"""Made-up snapshots for the alignment network: the factory's heads, shifted, turned, relit, in front of clutter, or no face at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import project
from ..synthetic.backgrounds import random_background
from ..synthetic.rendering import landmarks
from ..synthetic.renders import Renders

FACE_YAW, BACK_YAW = (
    math.radians(75),
    math.radians(120),
)  # a face is seen up to the first, none from the second on
TURN = math.radians(25)
SHARES = (
    0.80,
    0.86,
    0.90,
)  # up to where: faces, heads from behind, faces whose features are covered; the rest has no head


@dataclass(frozen=True)
class Scenes:
    """A batch of snapshots and their truth.

    Attributes:
        image: [B, 3, S, S]. mask: [B, 1, S, S] head and shoulders.
        places: [B, L, 2] landmarks in picture widths. visible: [B, L] whether to learn them.
        face: [B] 1 where a face is to be seen. pupils: [B] distance of the pupils in picture widths, as if seen in front.
    """

    image: Tensor
    mask: Tensor
    places: Tensor
    visible: Tensor
    face: Tensor
    pupils: Tensor


@dataclass(frozen=True)
class Stage:
    """What scenes are put together from.

    Attributes:
        renders: heads. places: [N, V, L, 2] their landmarks in widths of the canonical frame. pupils: [N] their distance there.
        backdrops: [P, 3, S, S] clutter. faces, backs: [M, 2] the views (head, view) of each kind.
    """

    renders: Renders
    places: Tensor
    pupils: Tensor
    backdrops: Tensor
    faces: Tensor
    backs: Tensor


def set_stage(renders: Renders, backdrops: int, seed: int) -> Stage:
    """Landmarks of all views and a pool of backgrounds."""
    points = torch.stack([torch.stack(list(landmarks(p).values())) for p in renders.parameters])  # [N, L, 3]
    places, _ = project(renders.cameras(), points[:, None])
    pupils = (points[:, 0] - points[:, 1]).norm(
        dim=-1
    ) / 0.633  # from scene units to widths of the canonical frame
    generator = torch.Generator().manual_seed(seed)
    pool = torch.stack([random_background(renders.rgb.shape[-1], generator) for _ in range(backdrops)])
    faces, backs = (renders.yaw.abs() <= FACE_YAW).nonzero(), (renders.yaw.abs() >= BACK_YAW).nonzero()
    return Stage(renders, places, pupils, pool, faces, backs)


class Dice:
    """Uniform draws for a batch of B, on the CPU."""

    def __init__(self, B: int, generator: torch.Generator) -> None:
        self.B, self.generator = B, generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """[B, *shape] in low .. high."""
        return torch.rand(self.B, *shape, generator=self.generator) * (high - low) + low

    def chance(self, share: float) -> Tensor:
        """[B, 1, 1, 1] true with this probability."""
        return torch.rand(self.B, 1, 1, 1, generator=self.generator) < share

    def pick(self, items: Tensor) -> Tensor:
        """[B, ...] of items [M, ...]."""
        return items[torch.randint(len(items), (self.B,), generator=self.generator)]


def draw_scenes(stage: Stage, count: int, generator: torch.Generator) -> Scenes:
    """`count` snapshots."""
    dice = Dice(count, generator)
    kind = dice.uniform(0, 1)
    picks = torch.where(
        (kind < SHARES[0])[:, None] | (kind >= SHARES[1])[:, None],
        dice.pick(stage.faces),
        dice.pick(stage.backs),
    )
    head, view = picks.unbind(1)
    mask = stage.renders.mask[head, view][:, None].float()
    rgb = stage.renders.rgb[head, view].float() / 255
    rgb = _dress(rgb, mask, dice, stage)
    covered = (kind >= SHARES[1]) & (kind < SHARES[2])
    rgb = torch.where(covered[:, None, None, None], blank_face(rgb, mask, stage.places[head, view]), rgb)
    matrix, scale = similarity(dice)
    cover, alpha = _warp(torch.cat([rgb * mask, mask], 1), matrix, scale).split([3, 1], 1)
    empty = (kind >= SHARES[2])[:, None, None, None]
    cover, alpha = torch.where(empty, 0, cover), torch.where(empty, 0, alpha)
    image = cover + _backdrop(rgb, dice, stage) * (1 - alpha)
    image = torch.where(empty & dice.chance(0.5), _skin_blobs(image, rgb, dice), image)
    image, alpha = _occlude(image, alpha, dice, stage)
    image, alpha = photo_ends(image, alpha, dice)
    places = moved(stage.places[head, view], matrix)
    face = (kind < SHARES[0]).float()
    visible = ((places > 0.01) & (places < 0.99)).all(-1) & (face[:, None] > 0)
    face = face * (visible[:, :5].float().mean(1) > 0.5)  # too much beyond the picture's edge: no face
    return Scenes(
        develop(image, dice), alpha, places, visible & (face[:, None] > 0), face, stage.pupils[head] * scale
    )


def similarity(dice: Dice) -> tuple[Tensor, Tensor]:
    """Canonical frame -> picture, both from -1 to 1: [B, 2, 3], and its scale [B]; half of them near the canonical crop."""
    near = dice.uniform(0, 1) < 0.5
    scale = torch.where(near, dice.uniform(0.75, 1.3), torch.exp(dice.uniform(math.log(0.27), math.log(1.3))))
    angle = torch.where(near, dice.uniform(-TURN, TURN) * 0.5, dice.uniform(-TURN, TURN))
    reach = 0.25 + 0.65 * (1 - scale).clamp_min(0)
    shift = dice.uniform(-1, 1, 2) * reach[:, None]
    cos, sin = angle.cos() * scale, angle.sin() * scale
    return torch.stack(
        [torch.stack([cos, -sin, shift[:, 0]], -1), torch.stack([sin, cos, shift[:, 1]], -1)], 1
    ), scale


def moved(places: Tensor, matrix: Tensor) -> Tensor:
    """Places [B, L, 2] in 0 .. 1 of the canonical frame -> of the picture."""
    positions = (places * 2 - 1) @ matrix[:, :, :2].mT + matrix[:, None, :, 2]
    return (positions + 1) / 2


def _warp(image: Tensor, matrix: Tensor, scale: Tensor) -> Tensor:
    """The picture of `image` under `matrix`; what is beyond its edge repeats the edge, so that bodies go on below."""
    linear = torch.linalg.inv(matrix[:, :, :2])
    back = torch.cat([linear, -linear @ matrix[:, :, 2:]], -1)  # affine_grid wants picture -> canonical
    grid = F.affine_grid(back, list(image.shape), align_corners=False)
    sharp, half, quarter = (
        F.grid_sample(x, grid, padding_mode="border", align_corners=False)
        for x in (image, F.avg_pool2d(image, 2), F.avg_pool2d(image, 4))
    )
    scale = scale[:, None, None, None]
    return torch.where(scale > 0.65, sharp, torch.where(scale > 0.35, half, quarter))


def _dress(rgb: Tensor, mask: Tensor, dice: Dice, stage: Stage) -> Tensor:
    """Other colours of skin and hair, uneven light, and patterned clothes, which the factory does not have."""
    S = rgb.shape[-1]
    field = F.interpolate(
        dice.uniform(-1, 1, 3, 4, 4) * 0.4 + dice.uniform(-1, 1, 1, 4, 4),
        (S, S),
        mode="bicubic",
        align_corners=False,
    )
    rgb = rgb * (1 + dice.uniform(0, 0.35, 1, 1, 1) * field)
    low = (torch.arange(S) / S)[None, None, :, None] > dice.uniform(0.74, 0.84, 1, 1, 1)
    pattern = dice.pick(stage.backdrops) * dice.uniform(0.4, 1.3, 1, 1, 1)
    amount = dice.uniform(0, 1, 1, 1, 1) * dice.chance(0.6) * low
    grain = torch.randn(len(rgb), 1, S // 2, S // 2, generator=dice.generator) * dice.uniform(
        0, 0.04, 1, 1, 1
    )
    return (torch.lerp(rgb, pattern, amount) + F.interpolate(grain, (S, S)) * mask).clamp(0, 1)


def blank_face(rgb: Tensor, mask: Tensor, places: Tensor) -> Tensor:
    """The features smeared away: a head without a face."""
    S = rgb.shape[-1]
    smooth = F.interpolate(
        F.avg_pool2d(rgb * mask, 32) / F.avg_pool2d(mask, 32).clamp_min(0.05), (S, S), mode="bilinear"
    )
    u = (torch.arange(S) + 0.5) / S
    centre = places[:, :5].mean(1)
    away = ((u - centre[:, :1]) / 0.2).square()[:, None, None, :] + ((u - centre[:, 1:]) / 0.24).square()[
        :, None, :, None
    ]
    return torch.lerp(rgb, smooth, (2.5 - 2.5 * away).clamp(0, 1))


def _backdrop(rgb: Tensor, dice: Dice, stage: Stage) -> Tensor:
    """Clutter, a blend of two clutters, or one colour: any, white, or that of the skin."""
    first, second = dice.pick(stage.backdrops), dice.pick(stage.backdrops).flip(-1)
    picture = torch.lerp(first, second, dice.chance(0.4) * dice.uniform(0, 1, 1, 1, 1)) * dice.uniform(
        0.5, 1.2, 3, 1, 1
    )
    skin = rgb[:, :, 56:72, 56:72].mean((-2, -1), keepdim=True)
    picture = torch.where(dice.chance(0.1), torch.lerp(picture, skin, 0.7), picture)
    plain = torch.where(
        dice.chance(0.5), dice.uniform(0.9, 1, 1, 1, 1).expand(-1, 3, 1, 1), dice.uniform(0, 1, 3, 1, 1)
    )
    return torch.where(dice.chance(0.2), plain.expand_as(picture), picture).clamp(0, 1)


def spot(dice: Dice, S: int, low: float, high: float) -> Tensor:
    """[B, 1, S, S] true inside a random box or ellipse with half sides of low .. high picture widths."""
    u = (torch.arange(S) + 0.5) / S
    centre, half = dice.uniform(0, 1, 2), dice.uniform(low, high, 2)
    x = ((u - centre[:, :1]) / half[:, :1]).abs()[:, None, None, :]
    y = ((u - centre[:, 1:]) / half[:, 1:]).abs()[:, None, :, None]
    return torch.where(dice.chance(0.5), torch.maximum(x, y) < 1, x * x + y * y < 1)


def _skin_blobs(image: Tensor, rgb: Tensor, dice: Dice) -> Tensor:
    """Ovals in the colours of skin and hair: hands, balls, pots, no faces."""
    skin = rgb[:, :, 56:72, 56:72].mean((-2, -1), keepdim=True)
    for tone in (
        skin,
        skin * dice.uniform(0.2, 0.6, 1, 1, 1),
        skin * dice.uniform(0.8, 1.2, 3, 1, 1),
        dice.uniform(0, 1, 3, 1, 1),
    ):
        soft = F.avg_pool2d(spot(dice, image.shape[-1], 0.03, 0.3).float(), 5, 1, 2)
        image = torch.lerp(image, tone.clamp(0, 1).expand_as(image), soft)
    return image


def _occlude(image: Tensor, alpha: Tensor, dice: Dice, stage: Stage) -> tuple[Tensor, Tensor]:
    """Things in front of some heads."""
    hidden = spot(dice, image.shape[-1], 0.02, 0.14) & dice.chance(0.25)
    thing = torch.where(dice.chance(0.5), dice.uniform(0, 1, 3, 1, 1), dice.pick(stage.backdrops))
    return torch.where(hidden, thing, image), torch.where(hidden, 0, alpha)


def photo_ends(image: Tensor, alpha: Tensor, dice: Dice) -> tuple[Tensor, Tensor]:
    """Some pictures are crops that reach beyond the photo: nothing but grey there."""
    u = torch.arange(image.shape[-1]) / image.shape[-1]
    edges = dice.uniform(0, 0.35, 4) * (dice.uniform(0, 1, 4) < 0.5)
    x = (u < edges[:, :1]) | (u > 1 - edges[:, 1:2])
    y = (u < edges[:, 2:3]) | (u > 1 - edges[:, 3:])
    outside = (x[:, None, None, :] | y[:, None, :, None]) & dice.chance(0.2)
    return torch.where(outside, 0.5, image), torch.where(outside, 0, alpha)


def develop(image: Tensor, dice: Dice) -> Tensor:
    """Light from one side, gamma, contrast, colour cast, black and white, blur, noise."""
    S = image.shape[-1]
    u = (torch.arange(S) + 0.5) / S - 0.5
    slope = dice.uniform(-1, 1, 2) * dice.uniform(0, 1.2, 1)
    image = image * (1 + slope[:, :1] * u)[:, None, None, :] * (1 + slope[:, 1:] * u)[:, None, :, None]
    image = image.clamp(0, 1) ** dice.uniform(0.55, 1.7, 1, 1, 1) * dice.uniform(0.8, 1.2, 3, 1, 1)
    mean = image.mean((1, 2, 3), keepdim=True)
    image = (image - mean) * dice.uniform(0.6, 1.3, 1, 1, 1) + mean
    image = torch.where(dice.chance(0.15), image.mean(1, keepdim=True).expand_as(image), image)
    coarse = F.interpolate(F.avg_pool2d(image, 2), (S, S), mode="bilinear")
    coarser = F.interpolate(F.avg_pool2d(image, 4), (S, S), mode="bilinear")
    image = torch.where(dice.chance(0.3), torch.where(dice.chance(0.25), coarser, coarse), image)
    noise = torch.randn(image.shape, generator=dice.generator) * dice.uniform(0, 0.04, 1, 1, 1)
    return (image + noise).clamp(0, 1)
