"""The foreground of an aligned crop: the network's rough mask, made to follow the picture's colours and edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera
from .mean_head import mean_head
from .network import AlignmentNetwork

RIVAL = 8.0  # nats against a place where another person stands
LEAST_OVERLAP = (
    0.35  # of faces' masks with the mean head's silhouette: 0.48 to 0.92 in photographs and factory heads
)
DOUBT = 0.8  # difference of two probabilities that is no matter of edges
DOUBT_WIDTH = 0.025  # crop widths: half of the narrowest place in doubt that counts


@dataclass(frozen=True, kw_only=True)
class MattingConfig:
    """How the mask is refined.

    Attributes:
        working_size: pixels at which the colour model works. rounds: of its re-estimation.
        bins: of the histograms along each axis of Lab. colour_weight: of their log ratio, nats per nat.
        colour_limit: nats, how far colour alone may go. reach: of the prior's rim, frame widths.
        edge: variance of a colour difference, in [0, 1] squared, that counts as an edge of the mask.
    """

    working_size: int = 128
    rounds: int = 4
    bins: int = 16
    colour_weight: float = 1.0
    colour_limit: float = 4.0
    reach: float = 0.10
    edge: float = 1e-3

    def __post_init__(self) -> None:
        if self.working_size < 16 or self.rounds < 0 or self.bins < 2 or self.reach <= 0 or self.edge <= 0:
            raise ValueError(
                f"MattingConfig: expected positive sizes and working_size of 16 or more, got {self}; use the defaults"
            )


@dataclass(frozen=True)
class Matte:
    """A person in a crop.

    Attributes:
        mask: [1, S, S] in 0 .. 1. doubt: [1, S, S], 1 where network and result firmly disagree over more than an edge's width; None where
            they nowhere do. overlap: of the network's own mask with the mean head's silhouette, intersection over union.
    """

    mask: Tensor
    doubt: Tensor | None
    overlap: float


def foreground(
    image: Tensor, network: AlignmentNetwork, camera: Camera, config: MattingConfig | None = None
) -> Tensor:
    """The mask [1, S, S] of `matte`, for crops [3, S, S] that are wholly inside their photo; errors as there."""
    return matte(image, network, camera, config).mask


def matte(
    image: Tensor,
    network: AlignmentNetwork,
    camera: Camera,
    config: MattingConfig | None = None,
    *,
    inside: Tensor | None = None,
    rivals: Tensor | None = None,
) -> Matte:
    """Head and shoulders of an aligned crop.

    Three votes in log odds: the network's mask, the mean head's silhouette, and colour histograms of foreground and
    background that are re-estimated from the mask itself; after each round a guided filter (He et al. 2010) aligns the
    log odds with the picture's edges. Then one piece without holes, with soft edges.

    Args:
        image: [3, S, S] sRGB in [0, 1]. camera: canonical, unbatched. inside: [1, S, S], 1 within the photo; None for all.
        rivals: [1, S, S], 1 where other people stand; what of them the mean head does not cover is no foreground.

    Raises:
        ValueError: for a picture that is none, or when nothing is left.
    """
    config = config or MattingConfig()
    _check(image)
    n = min(config.working_size, image.shape[-1])
    small = F.interpolate(image[None], size=(n, n), mode="bilinear", antialias=True)
    by_network = network_vote(small, network)
    votes = by_network + silhouette_vote(camera, n, config.reach).to(image)
    head = F.interpolate(
        mean_head(image.device).silhouette(camera, 48), size=(n, n), mode="bilinear", align_corners=False
    )
    if rivals is not None:
        beside = F.interpolate(rivals[None].to(image), size=(n, n), mode="bilinear", antialias=True) * (
            1 - head
        )
        votes = votes - RIVAL * beside
    lab = to_lab(small)
    odds = votes
    for _ in range(config.rounds):
        colour = colour_vote(lab, odds.sigmoid(), config.bins).clamp(
            -config.colour_limit, config.colour_limit
        )
        odds = guided_filter(
            votes + config.colour_weight * colour, small, radius=max(1, n // 40), edge=config.edge
        )
    mask = F.interpolate(odds, size=image.shape[-2:], mode="bilinear", align_corners=False).sigmoid()
    piece = one_piece(mask[0, 0] > 0.5).to(image)[None, None]
    if not bool(piece.any()):
        raise ValueError("foreground: expected a head in the crop, found none; crop closer or wire a MASK")
    soft = guided_filter(piece, image[None], radius=max(1, image.shape[-1] // 85), edge=config.edge)
    near = F.max_pool2d(piece, 5, 1, 2)  # soft edges stay at the piece
    result = ((soft - 0.1) / 0.8).clamp(0, 1)[0] * near[0]
    visible = (
        torch.ones_like(small[:, :1])
        if inside is None
        else F.interpolate(inside[None].to(image), size=(n, n))
    )
    return Matte(result, _doubt(result, by_network, visible), _overlap(by_network, head, visible))


def check_person(matte: Matte) -> None:
    """ValueError where what the network takes for a person is not where a head would be.

    Raises:
        ValueError: its mask and the mean head's silhouette share too little.
    """
    if matte.overlap < LEAST_OVERLAP:
        raise ValueError(
            f"align: expected a head and shoulders where the face is, got a mask that shares {matte.overlap:.0%} with one "
            f"(needs {LEAST_OVERLAP:.0%}); crop closer, wire a mask, or set the crop by hand"
        )


def _overlap(odds: Tensor, head: Tensor, visible: Tensor) -> float:
    """Intersection over union of the network's mask, by its log odds, and the mean head, where the photo is; all [1, 1, n, n]."""
    ours, mean = (odds > 0) & (visible > 0.5), (head > 0.5) & (visible > 0.5)
    return float((ours & mean).sum() / (ours | mean).sum().clamp_min(1))


def _doubt(mask: Tensor, odds: Tensor, visible: Tensor) -> Tensor | None:
    """Where the network's log odds [1, 1, n, n] are firm and the mask [1, S, S] says the opposite, over more than an edge's width."""
    n = odds.shape[-1]
    result = F.interpolate(mask[None], size=(n, n), mode="bilinear", antialias=True)
    against = ((odds.sigmoid() - result).abs() > DOUBT).to(mask) * (visible > 0.5)
    radius = max(1, round(DOUBT_WIDTH * n))
    core = -F.max_pool2d(-against, 2 * radius + 1, 1, radius)
    whole = F.max_pool2d(core, 2 * radius + 1, 1, radius)
    return F.interpolate(whole, size=mask.shape[-2:])[0] if bool(whole.any()) else None


def network_vote(image: Tensor, network: AlignmentNetwork) -> Tensor:
    """Mean log odds [1, 1, S, S] of the network's mask, of the picture [1, 3, S, S] and its mirror image."""
    with torch.no_grad():
        plain, mirrored = network(torch.cat([image, image.flip(-1)])).mask.float().chunk(2)
    odds = (plain + mirrored.flip(-1)) / 2
    return F.interpolate(odds, size=image.shape[-2:], mode="bilinear", align_corners=False).clamp(-5, 5)


def silhouette_vote(camera: Camera, size: int, reach: float) -> Tensor:
    """Log odds [1, 1, size, size] from the mean head alone: 2 deep inside, -4 further than `reach` outside, 0 at its rim.

    Below the chin, where clothes are of any shape, what is outside counts a quarter.
    """
    mask = mean_head(camera.cam2world.device).silhouette(camera, 48)
    mask = F.interpolate(mask, size=(size, size), mode="bilinear", align_corners=False)
    radius = max(1, round(reach * size))
    inside = _blur(-F.max_pool2d(-mask, 2 * radius + 1, 1, radius), radius)
    outside = _blur(1 - F.max_pool2d(mask, 2 * radius + 1, 1, radius), radius)
    height = (torch.arange(size, device=mask.device) + 0.5)[:, None] / size
    clothes = ((height - 0.66) / 0.12).clamp(0, 1)
    return 2 * inside - 4 * outside * (1 - 0.75 * clothes)


def colour_vote(lab: Tensor, mask: Tensor, bins: int) -> Tensor:
    """log p(colour | foreground) - log p(colour | background) [1, 1, S, S], from smoothed Lab histograms.

    Args:
        lab: [1, 3, S, S] in 0 .. 1. mask: [1, 1, S, S] in 0 .. 1, the share of each pixel that is foreground.
    """
    cells = (lab[0].flatten(1) * bins).long().clamp(0, bins - 1)
    flat = (cells[0] * bins + cells[1]) * bins + cells[2]
    places = (lab[0].flatten(1).T.flip(-1) * 2 - 1)[
        None, :, None, None
    ]  # grid_sample wants b, a, L in -1 .. 1
    likelihoods = []
    for weight in (mask.flatten(), 1 - mask.flatten()):
        counts = weight.new_zeros(bins**3).index_add(0, flat, weight / weight.sum().clamp_min(1e-6))
        density = _blur_volume(counts.view(1, 1, bins, bins, bins))
        likelihoods.append(
            F.grid_sample(density, places, padding_mode="border", align_corners=False).view(
                1, 1, *lab.shape[-2:]
            )
        )
    floor = 2e-4
    return ((likelihoods[0] + floor) / (likelihoods[1] + floor)).log()


def to_lab(rgb: Tensor) -> Tensor:
    """sRGB [B, 3, S, S] in [0, 1] -> CIE L*a*b* (D65), scaled so that the colours of photos lie in 0 .. 1."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp_min(0) + 0.055) / 1.055) ** 2.4)
    matrix = rgb.new_tensor(
        [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    )
    x, y, z = (
        torch.einsum("ij,bjhw->bihw", matrix, linear) / rgb.new_tensor([0.95047, 1.0, 1.08883])[:, None, None]
    ).unbind(1)
    x, y, z = (
        torch.where(v > 0.008856, v.clamp_min(1e-6) ** (1 / 3), 7.787 * v + 16 / 116) for v in (x, y, z)
    )
    lightness, a, b = 116 * y - 16, 500 * (x - y), 200 * (y - z)
    return torch.stack([lightness / 100, a / 120 + 0.5, b / 120 + 0.5], 1).clamp(0, 1)


def guided_filter(values: Tensor, guide: Tensor, *, radius: int, edge: float) -> Tensor:
    """values [1, 1, S, S] smoothed where the guide [1, 3, S, S] is smooth: locally a linear function of its colours.

    Guided Image Filtering (He, Sun, Tang 2010), eqs. 19-21; `edge` is epsilon, `radius` in pixels.
    """

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, [radius] * 4, mode="replicate"), 2 * radius + 1, 1)

    colour_mean, value_mean = mean(guide), mean(values)
    products = (guide[:, :, None] * guide[:, None]).flatten(1, 2)
    covariance = mean(products).unflatten(1, (3, 3)) - colour_mean[:, :, None] * colour_mean[:, None]
    covariance = covariance.permute(0, 3, 4, 1, 2) + edge * torch.eye(3).to(guide)
    cross = (mean(guide * values) - colour_mean * value_mean).permute(0, 2, 3, 1)
    slope = torch.linalg.solve(covariance, cross[..., None])[..., 0].permute(0, 3, 1, 2)
    offset = value_mean - (slope * colour_mean).sum(1, keepdim=True)
    return (mean(slope) * guide).sum(1, keepdim=True) + mean(offset)


def one_piece(mask: Tensor) -> Tensor:
    """The largest connected part of a boolean mask [H, W], holes filled (none at the picture's border).

    Raises:
        ImportError: without scikit-image.
    """
    try:
        from skimage.measure import label
    except ImportError as error:
        raise ImportError(
            "foreground needs the package scikit-image; install it with pip install scikit-image"
        ) from error

    def parts(of: Tensor) -> Tensor:
        return torch.from_numpy(np.asarray(label(of.cpu().numpy(), connectivity=1), dtype=np.int64))

    pieces = parts(mask)
    sizes = pieces.flatten().bincount()
    if len(sizes) < 2:
        return mask
    largest = pieces == 1 + int(sizes[1:].argmax())
    outside = parts(~largest)
    rim = torch.cat([outside[0], outside[-1], outside[:, 0], outside[:, -1]]).unique()
    return (largest | ~torch.isin(outside, rim[rim > 0])).to(mask.device)


def _blur(image: Tensor, radius: int) -> Tensor:
    """Two box filters [B, 1, S, S]."""
    for _ in range(2):
        image = F.avg_pool2d(F.pad(image, [radius // 2] * 4, mode="replicate"), 2 * (radius // 2) + 1, 1)
    return image


def _blur_volume(volume: Tensor) -> Tensor:
    """A binomial filter (1 2 1) / 4 along each of the three axes of [1, 1, D, H, W]."""
    taps = volume.new_tensor([0.25, 0.5, 0.25])
    for shape, padding in (((3, 1, 1), (1, 0, 0)), ((1, 3, 1), (0, 1, 0)), ((1, 1, 3), (0, 0, 1))):
        volume = F.conv3d(volume, taps.view(1, 1, *shape), padding=padding)
    return volume


def _check(image: Tensor) -> None:
    if image.ndim != 3 or image.shape[0] != 3 or image.shape[-1] != image.shape[-2]:
        raise ValueError(
            f"foreground: expected one square crop [3, S, S], got {list(image.shape)}; align the photo first"
        )
    if image.shape[-1] < 16:
        raise ValueError(
            f"foreground: expected at least 16x16 pixels, got {image.shape[-1]}x{image.shape[-2]}; choose a larger size"
        )
    if not bool(torch.isfinite(image).all()):
        raise ValueError(
            "foreground: expected finite colours in [0, 1], got NaN or infinite ones; check the node that made the picture"
        )
