"""Pictures of `bench turbo`: input, renders, refined and exact views of some heads; artistic inputs made by simple filters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ...synthetic.multiview import MultiView
from ..exact_heads import ExactHead
from .methods import Methods, novel

TILE = 128
ANGLES = (30, -60)  # degrees
STYLES = ("plain", "posterised", "pencil", "warm")


def draw_sheet(methods: Methods, heads: list[ExactHead], path: Path) -> None:
    """A row per head: the input, then renders, refined and exact of two views; below, the first head in other styles (fig. 7)."""
    rows = [row(methods, head, exact=True) for head in heads]
    rows += [row(methods, styled(heads[0], style), exact=False) for style in STYLES[1:]]
    picture = (torch.cat(rows, -2).clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    Image.fromarray(picture.numpy()).save(path)


def row(methods: Methods, head: ExactHead, *, exact: bool) -> Tensor:
    """[3, TILE, 7 TILE]; white in place of exact views that there are none of."""
    index = novel(head, ANGLES)
    photo = head.exact.views.rgb[[head.exact.frontal]]
    renders = methods.renders(head, index)
    ours = methods.refined(head, index)
    truth = head.exact.views.rgb[index]
    parts = [photo] + [
        x[[i]]
        for i in range(len(index))
        for x in (renders.views, ours.views, truth if exact else torch.ones_like(truth))
    ]
    return torch.cat(list(F.interpolate(torch.cat(parts), (TILE, TILE), mode="area")), -1)


def styled(head: ExactHead, style: str) -> ExactHead:
    """A head whose frontal picture is drawn otherwise; its other views stay."""
    views: MultiView = head.exact
    rgb = views.views.rgb.clone()
    rgb[views.frontal] = filtered(rgb[[views.frontal]], style)[0]
    return replace(
        head, name=f"{head.name}, {style}", exact=replace(views, views=replace(views.views, rgb=rgb))
    )


def filtered(image: Tensor, style: str) -> Tensor:
    """[1, 3, S, S] in one of STYLES.

    Raises:
        ValueError: another style.
    """
    if style == "plain":
        return image
    if style == "posterised":
        return (image * 4).round() / 4
    if style == "warm":
        return (image * image.new_tensor([1.1, 0.95, 0.75])[:, None, None]).clamp(0, 1)
    if style == "pencil":
        grey = image.mean(1, keepdim=True)
        soft = F.avg_pool2d(F.pad(grey, [6] * 4, mode="replicate"), 13, 1)
        return (grey / soft.clamp_min(0.05)).clamp(0, 1).expand_as(image)
    raise ValueError(f"style: expected one of {', '.join(STYLES)}, got {style}")
