"""The small network behind the alignment of photos: foreground, landmarks, whether there is a face at all and, of factory 3, its surface."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import configured, integer_tuple, integers
from ..checkpoint import build

LANDMARKS = (
    "right_pupil",
    "left_pupil",
    "nose_tip",
    "right_mouth",
    "left_mouth",
    "chin",
)  # right: the subject's
POINTS = {"six": len(LANDMARKS), "68": 68}  # sets of points that networks know, and how many they are
# Of the usual 68, those whose mean stands for each of LANDMARKS: an eye's outline for its pupil, as for eyes that look ahead.
MIRRORED = {  # by how many there are: a mirror image's points, in the order of the picture's
    POINTS["six"]: (1, 0, 2, 4, 3, 5),
    POINTS["68"]: (
        *(*range(16, -1, -1), *range(26, 16, -1)),  # jaw, brows
        *(27, 28, 29, 30, *range(35, 30, -1)),  # nose
        *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),  # eyes
        *(*range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65),  # lips
    ),
}
AMONG_68 = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47), (30,), (48,), (54,), (8,))


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """Size of an alignment network.

    Attributes:
        size: pixels of the square input. channels: per halving of the resolution. landmarks: how many heatmaps.
        points: which landmarks these are, a name in POINTS. surface: whether it tells depth and normals, too, and a finer mask.
    """

    size: int = 128
    channels: tuple[int, ...] = (20, 36, 64, 96, 128)
    landmarks: int = len(LANDMARKS)
    points: str = "six"
    surface: bool = False

    def __post_init__(self) -> None:
        integers(self, size=(1, 1024), landmarks=(1, 1024))
        if (
            not isinstance(self.points, str)
            or POINTS.get(self.points) != self.landmarks
            or not isinstance(self.surface, bool)
        ):
            known = ", ".join(f"{count} of {name}" for name, count in POINTS.items())
            raise ValueError(
                f"AlignmentConfig: expected {known}, and surface to be true or false, got {self.landmarks} of "
                f"{self.points} and {self.surface}; use a file of this version of the pack"
            )
        integer_tuple(self, "channels", count=(1, 8), each=(0, 4096))
        if self.size % 2 ** len(self.channels):
            raise ValueError(
                f"AlignmentConfig: size {self.size} does not halve {len(self.channels)} times; choose a multiple"
            )
        if any(c < 1 or c % 4 for c in self.channels):
            raise ValueError(
                f"AlignmentConfig: expected channels in multiples of 4, got {self.channels}; round them up"
            )


@dataclass(frozen=True)
class Finding:
    """What the network sees in square pictures.

    Attributes:
        mask: [B, 1, S, S] logits of head and shoulders.
        heatmaps: [B, L, S / 2, S / 2] logits of each landmark's place.
        presence: [B] logits of a face being there.
        depth: [B, 1, S, S] along rays behind the middle of the pupils, in pupils' distances; None where the network tells none.
        normals: [B, 3, S, S] unit, camera axes (OpenCV's); None likewise.
    """

    mask: Tensor
    heatmaps: Tensor
    presence: Tensor
    depth: Tensor | None = None
    normals: Tensor | None = None

    def points(self) -> tuple[Tensor, Tensor]:
        """Places [B, L, 2] in picture widths (x right, y down) and confidences [B, L] in 0 .. 1, as `soft_argmax`."""
        return soft_argmax(self.heatmaps)

    def landmarks(self) -> tuple[Tensor, Tensor]:
        """Places [B, 6, 2] and confidences [B, 6] of LANDMARKS, whichever points the network knows."""
        places, confidence = self.points()
        if places.shape[-2] != POINTS["68"]:
            return places, confidence
        return six_of_68(places), six_of_68(confidence[..., None])[..., 0]


class AlignmentNetwork(nn.Module):
    """Square picture -> `Finding`: a U-Net whose skips are added, not concatenated, to be quick on a CPU."""

    def __init__(self, config: AlignmentConfig, *, operations=torch.nn) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        self.downs = nn.ModuleList(
            operations.Conv2d(a, b, 3, stride=2, padding=1)
            for a, b in zip((3, *widths), widths, strict=False)
        )
        self.norms = nn.ModuleList(operations.GroupNorm(4, b) for b in widths)
        self.mores = nn.ModuleList(operations.Conv2d(b, b, 3, padding=1) for b in widths[1:])
        self.context = operations.Conv2d(widths[-1], widths[-1], 3, padding=1)
        self.ups = nn.ModuleList(operations.Conv2d(b, a, 1) for a, b in zip(widths, widths[1:], strict=False))
        self.laterals = nn.ModuleList(operations.Conv2d(a, a, 1) for a in widths[:-1])
        self.up_norms = nn.ModuleList(operations.GroupNorm(4, a) for a in widths[:-1])
        self.smooths = nn.ModuleList(operations.Conv2d(a, a, 3, padding=1) for a in widths[:-1])
        self.maps = operations.Conv2d(widths[0], 1 + config.landmarks, 3, padding=1)
        if config.surface:
            self.surface = operations.Conv2d(widths[0], 4, 3, padding=1)
            self.fine = operations.Conv2d(widths[0] + 3, 12, 3, padding=1)
            self.finer = operations.Conv2d(12, 1, 3, padding=1)
        self.hidden = operations.Linear(2 * widths[-1], 64)
        self.presence = operations.Linear(64, 1)

    def forward(self, image: Tensor) -> Finding:
        """image [B, 3, S, S] sRGB in [0, 1], any S; it is resized to the network's own size."""
        size = self.config.size
        if image.shape[-2:] != (size, size):
            image = F.interpolate(image, size=(size, size), mode="bilinear", antialias=True)
        x = image * 2 - 1  # from [0, 1] to [-1, 1]
        skips = []
        for level, (down, norm) in enumerate(zip(self.downs, self.norms, strict=True)):
            x = F.silu(norm(down(x)))
            if level:
                x = x + F.silu(self.mores[level - 1](x))
            skips.append(x)
        x = x + F.silu(self.context(x))
        summary = torch.cat([x.mean((-2, -1)), x.amax((-2, -1))], -1)
        presence = self.presence(F.silu(self.hidden(summary)))[:, 0]
        for level in reversed(range(len(self.ups))):
            x = F.interpolate(self.ups[level](x), scale_factor=2.0, mode="nearest") + self.laterals[level](
                skips[level]
            )
            x = F.silu(self.up_norms[level](x))
            x = x + F.silu(self.smooths[level](x))
        maps = self.maps(x)
        mask = F.interpolate(maps[:, :1], size=(size, size), mode="bilinear", align_corners=False)
        if not self.config.surface:
            return Finding(mask, maps[:, 1:], presence)
        wide = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
        mask = mask + self.finer(F.silu(self.fine(torch.cat([wide, image * 2 - 1], 1))))
        surface = F.interpolate(
            self.surface(x).float(), size=(size, size), mode="bilinear", align_corners=False
        )
        return Finding(mask, maps[:, 1:], presence, surface[:, :1], F.normalize(surface[:, 1:], dim=1))


def six_of_68(values: Tensor) -> Tensor:
    """[..., 68, C] of the usual points -> [..., 6, C] in the order of LANDMARKS.

    Raises:
        ValueError: another number of points.
    """
    if values.shape[-2] != POINTS["68"]:
        raise ValueError(
            f"six_of_68: expected values of 68 points [..., 68, C], got {list(values.shape)}; pass the usual 68"
        )
    return torch.stack([values[..., list(some), :].mean(-2) for some in AMONG_68], -2)


def soft_argmax(heatmaps: Tensor, *, radius: int = 3) -> tuple[Tensor, Tensor]:
    """Where each heatmap is highest, between its cells, and how sure it is of it.

    The place is the mean of softmax(heatmap) over the cells at most `radius` cells from the highest one, so that a far
    second peak does not pull at it; the confidence is the probability that lies there.

    Args:
        heatmaps: [..., H, W] logits.

    Returns:
        places [..., 2] (x right, y down, both in 0 .. 1 of the map; cell centres at (i + 0.5) / size), confidences [...].
    """
    H, W = heatmaps.shape[-2:]
    probability = heatmaps.float().flatten(-2).softmax(-1)
    y, x = ((torch.arange(n, device=heatmaps.device, dtype=torch.float32) + 0.5) for n in (H, W))
    x, y = x.repeat(H), y.repeat_interleave(W)
    peak = probability.argmax(-1)
    near = ((x - x[peak][..., None]).abs() <= radius) & ((y - y[peak][..., None]).abs() <= radius)
    local = probability * near
    confidence = local.sum(-1)
    place = torch.stack([(local * x).sum(-1) / W, (local * y).sum(-1) / H], -1) / confidence[..., None]
    return place, confidence


def alignment_network_from(config: dict, state: dict[str, Tensor]) -> AlignmentNetwork:
    """The network of a weights file (`checkpoint.read(path, "alignment")`), frozen and ready to look.

    Args:
        state: name -> [...], as the network's `state_dict`.

    Raises:
        ValueError: the config or the weights are not those of an alignment network.
    """
    sizes = configured(AlignmentConfig, config, "alignment network")
    return build(lambda: AlignmentNetwork(sizes).requires_grad_(False).eval(), state, "alignment network")
