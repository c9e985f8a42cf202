"""Colours carried on from what a photo shows to what it does not: hair to hair, skin to skin.

A prior's sides and back have its own idea of the person's colours, and a seam where the photo's begin. How the photo differs from the
prior is spread over surface near by and of like colour, and over what lies opposite, for faces are nearly symmetrical. Light from one
side is told apart first, by how surface is turned: carried or mirrored as if it were paint it would light what lies in shadow.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import rays
from ..field.casting import MarchingCaster, render_features
from ..field.triplane import TriplaneField
from ..field.volume_rendering import RenderConfig, surface_normals
from ..photo.alignment import AlignedPortrait

SIZE = 64  # pixels of the photo that colours are carried from
WELL = 0.5  # cosine of the angle under which a photo tells a surface's colour
NEAR, FAR = 0.03, 0.3  # scene units over which differences carry
SHARE = 0.02  # of the far ones beside the near
LIKE = 0.12  # sRGB distance of colours of one kind
MIRRORED = 0.25  # of a weight, for what the photo shows of the other side
FITS = 8  # rounds of the robust fit of light
LEAST = 5e-3  # weight of no difference: what is like nothing in the photo stays


@torch.no_grad()
def carried_colours(
    field: TriplaneField, reference: AlignedPortrait, points: Tensor, normals: Tensor, sampling: RenderConfig
) -> Tensor:
    """sRGB [N, 3] that surface points [N, 3] of a field, with its normals [N, 3], are to have for its photo."""
    own = field(points[None])[1][0]
    photo = told_by(field, reference, sampling)
    if not len(photo.points):
        return own
    light = side_light(photo)
    differences = photo.differences - photo.normals[:, :2] @ light
    alike = -torch.cdist(own, photo.colours).square() / (2 * LIKE**2)
    weight = torch.zeros_like(alike)
    for share, side in ((1.0, 1.0), (MIRRORED, -1.0)):
        apart = torch.cdist(points, photo.points * points.new_tensor([side, 1.0, 1.0])).square()
        weight += share * (alike - apart / (2 * NEAR**2)).exp()
        weight += share * SHARE * (alike - apart / (2 * FAR**2)).exp()
    carried = weight @ differences / (weight.sum(1, keepdim=True) + LEAST)
    return (own + normals[:, :2] @ light + carried).clamp(0, 1)


def side_light(told: Told) -> Tensor:
    """How colours change with the surface's turn aside and upwards, [2, 3] per unit of a normal's x and y: degree 1 of harmonics (Ramamoorthi
    and Hanrahan 2001), without z, for of light from behind a front tells nothing.

    Only what is alike in colour is compared, or a fringe above a face would be light from below; odd places, a spot or glasses, are
    weighed down (iteratively reweighted least squares).
    """
    alike = (-torch.cdist(told.colours, told.colours).square() / (2 * LIKE**2)).exp()
    alike = alike / alike.sum(1, keepdim=True)
    turns, differences = (x - alike @ x for x in (told.normals[:, :2], told.differences))
    weight, light = torch.ones_like(turns[:, :1]), turns.new_zeros(2, 3)
    ridge = 1e-3 * len(turns) * torch.eye(2).to(turns)
    for _ in range(FITS):
        weighed = (turns * weight).mT
        light = torch.linalg.solve(weighed @ turns + ridge, weighed @ differences)
        miss = (differences - turns @ light).abs().mean(1, keepdim=True)
        weight = 1 / (miss / miss.median().clamp_min(1e-3)).clamp_min(1)
    return light


@dataclass(frozen=True)
class Told:
    """What a photo tells well of a field's surface: points, normals, the field's colours there, and what the photo's have more: [M, 3] all."""

    points: Tensor
    normals: Tensor
    colours: Tensor
    differences: Tensor


def told_by(field: TriplaneField, reference: AlignedPortrait, sampling: RenderConfig) -> Told:
    """Where a photo shows a field's surface well, from within its mask."""
    camera = reference.camera
    own = render_features(MarchingCaster(field), camera[None], SIZE, SIZE, sampling)
    opacity = own.opacity[0]
    colour = field.rgb(own.features, own.opacity[..., None])[0] / opacity[:, None].clamp_min(1e-3)
    photo = F.interpolate(reference.image[None], size=(SIZE, SIZE), mode="area")[0].flatten(1).mT
    mask = F.interpolate(reference.mask[None], size=(SIZE, SIZE), mode="area")
    doubt = 1 - mask if reference.unknown is None else torch.maximum(1 - mask, _shrunk(reference.unknown))
    inside = F.max_pool2d(doubt, 3, 1, 1).flatten() < 0.01
    origins, directions = (x.reshape(-1, 3) for x in rays(camera, SIZE, SIZE))
    points = origins + directions * own.depth[0, :, None]
    normals = surface_normals(field, points[None], sampling.normal_step)[0]
    facing = -(normals * directions).sum(-1)
    well = inside & (opacity > 0.9) & (facing > WELL)
    return Told(points[well], normals[well], colour[well], (photo - colour)[well])


def _shrunk(mask: Tensor) -> Tensor:
    """[1, S, S] -> [1, 1, SIZE, SIZE]."""
    return F.interpolate(mask[None], size=(SIZE, SIZE), mode="area")
