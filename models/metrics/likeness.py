"""Whether a fitted head looks like its portrait: the last check, of fits that went astray.

It says little of what the portrait shows: a quick inversion makes a head of a single eye or a piece of cloth that looks just like it from the
front (similarity 0.95 and more), which is why alignment looks for a face; a cat's is 9 dB away.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import interpolate

from ..head import Head
from ..photo.alignment import AlignedPortrait
from .identity import IdentityNetwork, identity_similarity
from .image import masked_psnr

SIZE = 128  # pixels of the view
LEAST_SIMILARITY = 0.7  # inverted photographs and factory heads: 0.95 and more
LEAST_PSNR = 14.0  # dB; inverted photographs and factory heads: 19 and more


@dataclass(frozen=True)
class Likeness:
    """Of a head's view with its portrait. Attributes: similarity: of identity, -1 .. 1. psnr: dB inside the mask."""

    similarity: float
    psnr: float

    def doubt(self) -> str | None:
        """A warning about a head that is hardly the portrait's, in one sentence; None for what fits give of faces."""
        if self.similarity >= LEAST_SIMILARITY and self.psnr >= LEAST_PSNR:
            return None
        return (
            f"the head is hardly like the portrait: identity similarity {self.similarity:.2f} and {self.psnr:.1f} dB, expected "
            f"{LEAST_SIMILARITY} and {LEAST_PSNR:.0f} or more; check the crop and its mask, or choose another photo"
        )


@torch.no_grad()
def likeness(head: Head, reference: AlignedPortrait, network: IdentityNetwork) -> Likeness:
    """How like the portrait a head is through its camera; where the portrait tells nothing, the head's own view stands in both."""
    portrait = reference.to(head.planes.device)
    view = head.render(portrait.camera[None], SIZE, normals=False).rgb
    picture, mask = (
        interpolate(image[None], size=(SIZE, SIZE), mode="bilinear", antialias=True).clamp(0, 1)
        for image in (portrait.on_white(), portrait.mask)
    )
    if portrait.unknown is not None:
        unknown = (
            interpolate(portrait.unknown[None], size=(SIZE, SIZE), mode="bilinear", antialias=True) > 1e-3
        )
        picture, mask = torch.where(unknown, view, picture), torch.where(unknown, 0.0, mask)
    similarity = identity_similarity(network.to(head.planes.device), view, picture)
    return Likeness(float(similarity), float(masked_psnr(view, picture, mask)))
