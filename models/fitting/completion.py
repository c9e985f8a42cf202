"""What a photo does not tell, filled in by the prior: for the encoder, which looks at whole heads, and for stages after the fit."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..head import Head, head_of
from ..photo.alignment import AlignedPortrait
from ..photo.unknown import head_mask
from ..prior.contract import HeadGenerator, styles
from ..prior.encoder import PortraitEncoder

ROUNDS = 3  # of filling in what the head of the last code shows; the code then stays the same within the encoder's error
NEAR = 0.06  # crop widths about the unknown, whose colours are the first guess


@torch.no_grad()
def code_of(prior: HeadGenerator, encoder: PortraitEncoder, reference: AlignedPortrait) -> Tensor:
    """The identity code [1, z_dim] that the encoder sees in a portrait; what is unknown shows the head of that very code."""
    picture = reference.on_white()[None]
    if reference.unknown is None:
        return encoder(picture)[0]
    unknown = reference.unknown[None] > 0
    picture = torch.where(unknown, first_guess(reference)[None], picture)
    for _ in range(ROUNDS):
        ws = styles(prior, encoder(picture)[0])
        view = head_of(prior, ws).render(reference.camera[None], picture.shape[-1], normals=False)
        picture = torch.where(unknown, view.rgb, picture)
    return encoder(picture)[0]


def first_guess(reference: AlignedPortrait) -> Tensor:
    """[3, S, S]: the mean head on white, of the colour that the person has beside what is unknown.

    Raises:
        ValueError: a portrait of which everything is known.
    """
    if reference.unknown is None:
        raise ValueError(
            "first_guess: expected a portrait with something unknown, got a whole one; use it as it is"
        )
    size = reference.image.shape[-1]
    reach = 2 * round(NEAR * size) + 1
    near = (
        F.max_pool2d(reference.unknown[None], reach, 1, reach // 2)[0]
        * (1 - reference.unknown)
        * reference.mask
    )
    weight = near if float(near.sum()) > 1 else reference.mask
    colour = (reference.image * weight).sum((1, 2)) / weight.sum().clamp_min(1e-6)
    head = head_mask(reference.camera, size, reference.image.device).to(reference.image)
    return head * colour[:, None, None] + 1 - head


@torch.no_grad()
def completed(head: Head) -> Head:
    """A fitted head whose reference shows the head itself where the photo tells nothing; as it came where it tells all."""
    reference = head.reference
    if reference is None or reference.unknown is None:
        return head
    whole = reference.to(head.planes.device)
    view = head.render(whole.camera[None], whole.image.shape[-1], normals=False)
    unknown = (reference.unknown > 0).to(head.planes.device)
    image, mask = (
        torch.where(unknown, view.rgb[0], whole.image),
        torch.where(unknown, view.opacity[0], whole.mask),
    )
    return replace(
        head, reference=replace(reference, image=image.to(reference.image), mask=mask.to(reference.mask))
    )
