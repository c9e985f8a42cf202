"""All metrics of one batch of pictures against its references, as figures that nodes and benches print."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .distribution import kernel_distance
from .faces import FaceSimilarity
from .geometry import silhouette_iou
from .identity import IdentityNetwork, identity_similarity, shipped_identity
from .image import masked_psnr, psnr, ssim
from .niqe import NiqeModel, niqe, shipped_niqe
from .perceptual import PerceptualNetwork, embedding, perceptual_distance, shipped_perceptual
from .standard import LPIPS, embedding_similarity


@dataclass(frozen=True)
class Figure:
    """One metric of a batch.

    Attributes:
        metric, unit: its name and unit. values: [B], one a picture, NaN for one that the metric does not judge, or [1] for a metric of the
            whole batch. higher: whether more is better.
    """

    metric: str
    unit: str
    values: Tensor
    higher: bool

    @property
    def value(self) -> float:
        """The mean over what is judged."""
        return self.values.double().nanmean().item()

    @property
    def judged(self) -> int:
        """How many values there are."""
        return int((~self.values.isnan()).sum())


@dataclass(frozen=True, kw_only=True)
class Judges:
    """The networks and statistics that judge; a metric whose judge is None is left out.

    Attributes:
        perceptual, identity, niqe: ours, `shipped_judges`. lpips, faces (ArcFace), standard_niqe: of the user's files.
        clip: images [B, 3, H, W] in [0, 1] -> embeddings [B, D] of the user's CLIP.
    """

    perceptual: PerceptualNetwork | None = None
    identity: IdentityNetwork | None = None
    niqe: NiqeModel | None = None
    lpips: LPIPS | None = None
    faces: FaceSimilarity | None = None
    standard_niqe: NiqeModel | None = None
    clip: Callable[[Tensor], Tensor] | None = None

    def networks(self) -> list[nn.Module]:
        """Those that have to be where the pictures are."""
        faces = () if self.faces is None else (self.faces.arcface, self.faces.aligner)
        return [
            network for network in (self.perceptual, self.identity, self.lpips, *faces) if network is not None
        ]


class UserJudges(TypedDict, total=False):
    """Those of the user's files, where there are any, by `Judges`' names."""

    lpips: LPIPS
    faces: FaceSimilarity
    standard_niqe: NiqeModel


def shipped_judges(
    *,
    lpips: LPIPS | None = None,
    faces: FaceSimilarity | None = None,
    standard_niqe: NiqeModel | None = None,
    clip: Callable[[Tensor], Tensor] | None = None,
) -> Judges:
    """All that come with the pack, and the user's, as `Judges` has them."""
    return Judges(
        perceptual=shipped_perceptual(),
        identity=shipped_identity(),
        niqe=shipped_niqe(),
        lpips=lpips,
        faces=faces,
        standard_niqe=standard_niqe,
        clip=clip,
    )


@torch.no_grad()
def evaluate(
    images: Tensor,
    references: Tensor,
    judges: Judges,
    *,
    masks: Tensor | None = None,
    reference_masks: Tensor | None = None,
) -> list[Figure]:
    """Figures of pictures against what they should be, pair by pair.

    Args:
        images: [B, 3, H, W] sRGB in [0, 1]. references: [B, 3, h, w] likewise, resized to the images' size where it is another; or
            [1, 3, h, w] for all.
        masks, reference_masks: [B, 1, ...] foregrounds, matter where over 0.5. With the reference's, PSNR is given within it, too, and NIQE
            looks at the foreground only; with both, their overlap is given.

    Returns:
        Figures in a fixed order; those that need a square canonical frame (identity) only for such, those that need two pictures (kernel
        distance) only for such.

    Raises:
        ValueError: no pictures, batches that do not pair, or values that are not finite.
    """
    references = _paired(images, references)
    figures = [
        Figure(
            "L2",
            "",
            torch.stack([(a - b).square().mean() for a, b in zip(images, references, strict=True)]),
            False,
        ),
        Figure("PSNR", "dB", _each(psnr, images, references), True),
        Figure("SSIM", "", _each(ssim, images, references), True),
    ]
    if reference_masks is not None:
        reference_masks = _fitted("reference_masks", reference_masks, images)
        figures.append(
            Figure("PSNR in mask", "dB", _each(masked_psnr, images, references, reference_masks), True)
        )
        if masks is not None:
            figures.append(
                Figure(
                    "silhouette IoU",
                    "",
                    _each(silhouette_iou, _fitted("masks", masks, images), reference_masks),
                    True,
                )
            )
    return figures + _verdicts(images, references, judges, reference_masks)


def _verdicts(images: Tensor, references: Tensor, judges: Judges, masks: Tensor | None) -> list[Figure]:
    """The figures of the judges, of pairs of one size."""
    figures = []
    H, W = images.shape[-2:]
    if judges.perceptual is not None and min(H, W) >= judges.perceptual.least:
        pairs = zip(images.split(1), references.split(1), strict=True)
        figures.append(
            Figure(
                "perceptual",
                "",
                torch.cat([perceptual_distance(judges.perceptual, a, b) for a, b in pairs]),
                False,
            )
        )
    if judges.lpips is not None:
        pairs = zip(images.split(1), references.split(1), strict=True)
        figures.append(Figure("LPIPS", "", torch.cat([judges.lpips(a, b) for a, b in pairs]), False))
    if judges.identity is not None and H == W:
        figures.append(Figure("identity", "", identity_similarity(judges.identity, images, references), True))
    if judges.faces is not None:
        figures.append(Figure("ArcFace", "", judges.faces(images, references), True))
    if judges.clip is not None:
        figures.append(
            Figure("CLIP", "", embedding_similarity(judges.clip(images), judges.clip(references)), True)
        )
    if judges.perceptual is not None and min(H, W) >= judges.perceptual.least and len(images) > 1:
        sets = [
            torch.cat([embedding(judges.perceptual, x) for x in batch.split(1)])
            for batch in (images, references)
        ]
        figures.append(Figure("kernel distance", "", torch.tensor([kernel_distance(*sets)]), False))
    if judges.niqe is not None and min(H, W) >= 2 * judges.niqe.patch:
        figures.append(Figure("NIQE", "", niqe(images, judges.niqe, masks), False))
    if judges.standard_niqe is not None and min(H, W) >= 2 * judges.standard_niqe.patch:
        figures.append(Figure("NIQE, standard statistics", "", niqe(images, judges.standard_niqe), False))
    return figures


def _paired(images: Tensor, references: Tensor) -> Tensor:
    """References [B, 3, H, W] at the images' size."""
    for name, batch in (("images", images), ("references", references)):
        if batch.ndim != 4 or batch.shape[1] != 3 or len(batch) == 0:
            raise ValueError(
                f"evaluate: expected {name} [B, 3, H, W], at least one, got {list(batch.shape)}; wire an image batch"
            )
        if not batch.isfinite().all():
            raise ValueError(
                f"evaluate: expected finite {name}, got NaN or infinity; look at the stage that made them"
            )
    if len(references) not in (1, len(images)):
        raise ValueError(
            f"evaluate: expected a reference for each of {len(images)} images, or one for all, got {len(references)}; pair them"
        )
    if not math.isclose(
        images.shape[-1] * references.shape[-2], images.shape[-2] * references.shape[-1], rel_tol=0.02
    ):
        raise ValueError(
            f"evaluate: expected images and references of one aspect, got {list(images.shape[-2:])} and {list(references.shape[-2:])} "
            "pixels; crop one of them"
        )
    if references.shape[-2:] != images.shape[-2:]:
        references = F.interpolate(references, size=images.shape[-2:], mode="bilinear", antialias=True)
    return references.expand(len(images), -1, -1, -1)


def _fitted(name: str, masks: Tensor, images: Tensor) -> Tensor:
    """Masks [B, 1, H, W] at the images' size."""
    if masks.ndim != 4 or masks.shape[1] != 1 or len(masks) not in (1, len(images)):
        raise ValueError(
            f"evaluate: expected {name} [{len(images)}, 1, H, W], got {list(masks.shape)}; pass one for each image"
        )
    if masks.shape[-2:] != images.shape[-2:]:
        masks = F.interpolate(masks.float(), size=images.shape[-2:], mode="bilinear", antialias=True)
    return masks.expand(len(images), -1, -1, -1)


def _each(measure, *batches: Tensor) -> Tensor:
    """[B] of a measure of single pictures."""
    return torch.tensor(
        [measure(*pair) for pair in zip(*(batch.split(1) for batch in batches), strict=True)],
        dtype=torch.float64,
    )
