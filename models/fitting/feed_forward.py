"""The feed-forward avatar stage of TurboPortrait3D: a portrait -> a head, without optimisation.

The paper's is GPAvatar; the refiner asks for no more than 3D-consistent renders, so any `Head` serves in its place: this one, an
inverted one, or one from a file.
"""

from __future__ import annotations

import torch

from ..head import Head, head_of
from ..photo.alignment import AlignedPortrait
from ..prior.contract import HeadGenerator, styles
from ..prior.encoder import PortraitEncoder
from .completion import code_of


@torch.no_grad()
def feed_forward_head(
    prior: HeadGenerator, encoder: PortraitEncoder | None, reference: AlignedPortrait
) -> Head:
    """The prior's head of the code that the encoder sees in a portrait.

    Raises:
        ValueError: empty mask, or a prior without an encoder.
    """
    if encoder is None:
        raise ValueError(
            "avatar: expected a prior with an encoder of its own, got one without; use Invert Portrait, or the embedded prior"
        )
    if reference.mask.max() < 0.5:
        raise ValueError(
            "avatar: expected a mask with a foreground, got an empty one; wire a MASK in which the person is 1"
        )
    ws = styles(prior, code_of(prior, encoder, reference))
    return head_of(prior, ws, reference)
