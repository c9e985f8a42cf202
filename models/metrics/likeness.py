"""Whether a fitted head is the portrait's: a last check, after alignment let a picture through."""

from __future__ import annotations

import torch

from ..head import Head
from ..photo.alignment import AlignedPortrait
from .identity import IdentityNetwork, identity_similarity

SIZE = 128  # pixels of the view
LEAST = 0.5  # of likenesses of faces


@torch.no_grad()
def likeness(head: Head, reference: AlignedPortrait, network: IdentityNetwork) -> float:
    """Identity similarity of a head's view through the portrait's camera with the portrait on white, -1 .. 1.

    What the portrait does not tell is the head's own in both.
    """
    device = head.planes.device
    portrait = reference.to(device)
    view = head.render(portrait.camera[None], SIZE, normals=False).rgb
    picture = torch.nn.functional.interpolate(
        portrait.on_white()[None], size=SIZE, mode="bilinear", antialias=True
    )
    if portrait.unknown is not None:
        unknown = torch.nn.functional.interpolate(
            portrait.unknown[None], size=SIZE, mode="bilinear", antialias=True
        )
        picture = torch.where(unknown > 1e-3, view, picture)
    return float(identity_similarity(network.to(device), view, picture))


def doubtful_likeness(similarity: float) -> str | None:
    """A warning about a head that is hardly the portrait's; None for likenesses of faces."""
    if similarity >= LEAST:
        return None
    return (
        f"the head is hardly like the portrait: identity similarity {similarity:.2f}, expected {LEAST} or more; "
        "check the crop and its mask, or choose another photo"
    )
