"""What the alignment network is taught by: cross entropies of mask, places and presence; of factory 3 the surface, too."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..photo.network import Finding
from .people_scenes import PeopleScenes
from .scenes import Scenes


def heatmap_targets(places: Tensor, size: int) -> Tensor:
    """Gaussians of one cell's sigma around places [B, L, 2] in 0 .. 1, each of sum 1: [B, L, size, size]."""
    u = (torch.arange(size, device=places.device) + 0.5) / size
    away = (places[..., 0, None, None] - u).square() + (places[..., 1, None, None] - u[:, None]).square()
    return (away * (-0.5 * size * size)).flatten(-2).softmax(-1).view_as(away)


def loss_of(finding: Finding, scenes: Scenes) -> Tensor:
    """Cross entropies [] of mask, landmarks' places ("anywhere" where there is no face), and presence."""
    mask = F.binary_cross_entropy_with_logits(finding.mask.float(), scenes.mask)
    logs = finding.heatmaps.float().flatten(-2).log_softmax(-1)
    targets = heatmap_targets(scenes.places, finding.heatmaps.shape[-1]).flatten(-2)
    surprise = -(targets * logs).sum(-1)
    places = (surprise * scenes.visible).sum() / scenes.visible.sum().clamp_min(1)
    faceless = (1 - scenes.face)[:, None].expand_as(surprise)
    nowhere = ((-logs.mean(-1) - math.log(logs.shape[-1])) * faceless).sum() / faceless.sum().clamp_min(1)
    presence = F.binary_cross_entropy_with_logits(finding.presence.float(), scenes.face)
    return 2 * mask + 0.5 * places + 0.05 * nowhere + 0.5 * presence


def surface_loss(finding: Finding, scenes: PeopleScenes) -> Tensor:
    """[]: distances of depth (pupils' distances, straight beyond a fifth) and one less the cosine of normals, where they are to be learnt.

    Raises:
        ValueError: of a network that tells no surface.
    """
    if finding.depth is None or finding.normals is None:
        raise ValueError(
            "surface_loss: expected depth and normals, got none; build the network with surface=True"
        )
    area = scenes.surface.sum().clamp_min(1)
    depth = F.smooth_l1_loss(finding.depth.float(), scenes.depth, beta=0.2, reduction="none")
    normals = 1 - (finding.normals.float() * scenes.normal).sum(1, keepdim=True)
    return ((depth + normals) * scenes.surface).sum() / area
