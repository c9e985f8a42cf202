"""The field's own networks, where the user has their files, which are not ours to ship: LPIPS, ArcFace, CLIP's image embeddings."""

from __future__ import annotations

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoint import load_into
from .vgg import BLOCKS, VGG16, load_vgg, stored_tensors

LINEAR_KEY = re.compile(
    r"lin(?:s\.)?([0-4])\.model\.1\.weight"
)  # of the lpips package, in either of its spellings
ARCFACE_SIZE = 112  # pixels
ARCFACE_PLACES = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)  # pixels, insightface's
ARCFACE_WIDTHS, ARCFACE_DEPTHS = (64, 128, 256, 512), (3, 4, 14, 3)  # IR-50


class LPIPS(nn.Module):
    """Learned perceptual image patch similarity (Zhang et al. 2018), version 0.1 on VGG16."""

    def __init__(self, backbone: VGG16, linear: list[Tensor]) -> None:
        super().__init__()
        self.backbone = backbone
        for i, weight in enumerate(linear):
            self.register_buffer(f"linear{i}", weight)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """a, b [B, 3, H, W] sRGB in [0, 1], 16 pixels a side or more -> [B]; 0 for equal pictures.

        Raises:
            ValueError: batches of different shapes, or as `VGG16.forward`.
        """
        if a.shape != b.shape:
            raise ValueError(
                f"lpips: expected two batches of one shape, got {list(a.shape)} and {list(b.shape)}; resize one"
            )
        levels = zip(
            self.backbone(a * 2 - 1), self.backbone(b * 2 - 1), strict=True
        )  # from [0, 1] to [-1, 1]
        total = a.new_zeros(len(a))
        for i, (x, y) in enumerate(levels):
            x, y = (z / (z.norm(dim=1, keepdim=True) + 1e-10) for z in (x, y))
            total = total + ((x - y).square() * getattr(self, f"linear{i}")).sum(1).mean((1, 2))  # eq. 1
        return total


def load_lpips(backbone: Path, linear: Path) -> LPIPS:
    """LPIPS of the user's files, frozen, float32, on the CPU. Nothing in them is run.

    Args:
        backbone: VGG16's convolutions, `metrics.vgg.load_vgg`. linear: `lpips/weights/v0.1/vgg.pth`, or one file with both.

    Raises:
        ValueError: another format, or tensors that are missing, of another shape, negative or not finite.
    """
    linear = Path(linear)
    levels = {
        int(match[1]): value.float()
        for key, value in stored_tensors(linear, "lpips").items()
        if (match := LINEAR_KEY.fullmatch(key))
    }
    weights = []
    for i, block in enumerate(BLOCKS):
        shape = (1, block[-1], 1, 1)
        if i not in levels:
            raise ValueError(
                f"lpips: expected lin0 to lin4 of LPIPS on VGG16, but in {linear.name} lin{i} is missing; choose vgg.pth of 0.1"
            )
        if levels[i].shape != shape:
            raise ValueError(
                f"lpips: expected lin{i} of shape {list(shape)}, got {list(levels[i].shape)} in {linear.name}; choose vgg.pth of 0.1"
            )
        if not (levels[i].isfinite().all() and (levels[i] >= 0).all()):
            raise ValueError(
                f"lpips: expected weights of 0 or more, but lin{i} in {linear.name} has others; copy the file again"
            )
        weights.append(levels[i])
    return LPIPS(load_vgg(backbone), weights).requires_grad_(False).eval()


class ResidualUnit(nn.Module):
    """Improved residual unit (Duta et al. 2020), under insightface's names."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, width, 1, stride, bias=False), nn.BatchNorm2d(width))
            if stride > 1
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, width, H / stride, W / stride]."""
        y = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return y + (x if self.downsample is None else self.downsample(x))


class ArcFace(nn.Module):
    """IR-50 of ArcFace (Deng et al. 2019), with the key names of insightface's iresnet50."""

    def __init__(
        self,
        widths: tuple[int, ...] = ARCFACE_WIDTHS,
        depths: tuple[int, ...] = ARCFACE_DEPTHS,
        dimensions: int = 512,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.prelu = nn.PReLU(widths[0])
        inputs = widths[0]
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            units = [
                ResidualUnit(inputs if j == 0 else width, width, 2 if j == 0 else 1) for j in range(depth)
            ]
            setattr(self, f"layer{i + 1}", nn.Sequential(*units))
            inputs = width
        side = ARCFACE_SIZE // 2 ** len(widths)
        self.bn2 = nn.BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs * side * side, dimensions)
        self.features = nn.BatchNorm1d(dimensions)
        self.levels = len(widths)

    def forward(self, crop: Tensor) -> Tensor:
        """crop [B, 3, 112, 112] sRGB in [0, 1], `arcface_crop` -> [B, 512], of length 1.

        Raises:
            ValueError: crops of another shape.
        """
        if crop.ndim != 4 or crop.shape[1:] != (3, ARCFACE_SIZE, ARCFACE_SIZE):
            raise ValueError(
                f"arcface: expected crops [B, 3, {ARCFACE_SIZE}, {ARCFACE_SIZE}], got {list(crop.shape)}; use arcface_crop"
            )
        x = self.prelu(self.bn1(self.conv1(crop * 2 - 1)))  # from [0, 1] to [-1, 1]
        for i in range(self.levels):
            x = getattr(self, f"layer{i + 1}")(x)
        return F.normalize(self.features(self.fc(self.bn2(x).flatten(1))), dim=1)


def load_arcface(path: Path) -> ArcFace:
    """ArcFace of the user's file, frozen, float32, on the CPU. Nothing in it is run.

    Args:
        path: insightface's `iresnet50` (w600k, ms1mv3, glint360k r50) as .safetensors, or as a .pth, .pt, .ckpt or .bin that holds tensors only.

    Raises:
        ValueError: another format, or tensors that are missing, unknown, of another shape or not finite.
    """
    network = ArcFace()
    counters = {
        key: value for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")
    }
    state = {
        key.removeprefix("module."): value for key, value in stored_tensors(Path(path), "arcface").items()
    }
    floats = {key: value.float() for key, value in state.items() if key not in counters}
    load_into(network, floats | counters, "arcface (iresnet50)")
    return network.requires_grad_(False).eval()


def arcface_crop(image: Tensor, places: Tensor) -> Tensor:
    """Faces as ArcFace wants them: turned, scaled and cut by the best similarity of five places to its template.

    Args:
        image: [B, 3, H, W] in [0, 1]. places: [B, 5, 2] pixels (x right, y down, 0 at the top left corner's edge): the eye, then the other eye
            (left to right in the picture), nose tip, mouth corners likewise.

    Returns:
        [B, 3, 112, 112].

    Raises:
        ValueError: other than five places a picture.
    """
    if places.shape != (len(image), 5, 2):
        raise ValueError(
            f"arcface_crop: expected five places [{len(image)}, 5, 2], got {list(places.shape)}; pass landmarks of each picture"
        )
    H, W = image.shape[-2:]
    template = (places.new_tensor(ARCFACE_PLACES) + 0.5).expand_as(
        places
    )  # insightface counts from pixels' centres
    # The similarity z -> a z + b of complex numbers, by least squares (Umeyama 1991 without reflections).
    source, target = (torch.view_as_complex(x.contiguous()) for x in (template, places))
    centred = source - source.mean(1, keepdim=True)
    a = (centred.conj() * target).sum(1) / centred.abs().square().sum(1)
    b = target.mean(1) - a * source.mean(1)
    u = torch.arange(ARCFACE_SIZE).to(places) + 0.5
    grid = torch.view_as_real(
        a[:, None, None] * torch.complex(u.expand(ARCFACE_SIZE, -1), u[:, None].expand(-1, ARCFACE_SIZE))
        + b[:, None, None]
    )
    grid = 2 * grid / places.new_tensor([W, H]) - 1  # from pixels to grid_sample's -1 .. 1
    scale = a.abs().max().item()
    if scale > 1:  # shrinking: blur first, so that fine detail does not alias
        size = (max(1, round(H / scale)), max(1, round(W / scale)))
        image = F.interpolate(image, size=size, mode="bilinear", antialias=True)
    return F.grid_sample(image, grid.to(image), align_corners=False)


def embedding_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of embeddings [B, D] of two batches of pictures, pair by pair, as of CLIP's image encoder (ComfyUI's CLIP_VISION): [B].

    Raises:
        ValueError: of different shapes, as from two encoders.
    """
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(
            f"embedding_similarity: expected two batches [B, D] of one encoder, got {list(a.shape)} and {list(b.shape)}"
        )
    return F.cosine_similarity(a.float(), b.float(), dim=1)
