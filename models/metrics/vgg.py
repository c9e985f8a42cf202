"""VGG16's features as a perceptual distance, where the user has its weights: they are not ours to ship.

VGG16 (Simonyan and Zisserman 2015), configuration D, up to its last convolution; compared as in LPIPS (Zhang et al. 2018), eq. 1, with
every channel counting alike.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoint import read_tensors
from ..pickles import files as pickles

BLOCKS = (
    (64, 64),
    (128, 128),
    (256, 256, 256),
    (512, 512, 512),
    (512, 512, 512),
)  # channels of each block's convolutions
MEAN, STD = (
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)  # of ImageNet's sRGB in [0, 1], as its training saw it
LEAST = 16  # pixels: four halvings must leave one
SUFFIXES = (".safetensors", *pickles.SUFFIXES)
KEY = re.compile(
    r"(?:net\.)?(?:features\.|slice[1-5]\.)?(\d+)\.(weight|bias)"
)  # torchvision's; LPIPS' slices count as it does


def layers() -> list[list[tuple[int, int, int]]]:
    """(number in torchvision's `features`, channels in, channels out) of the convolutions of each block."""
    blocks = []
    number = 0
    inputs = 3
    for widths in BLOCKS:
        block = []
        for outputs in widths:
            block.append((number, inputs, outputs))
            number += 2  # a convolution and its ReLU
            inputs = outputs
        blocks.append(block)
        number += 1  # the pooling behind the block
    return blocks


class VGG16(nn.Module):
    """The convolutions of VGG16, under torchvision's names."""

    def __init__(self, *, operations=torch.nn) -> None:
        super().__init__()
        self.features = nn.ModuleDict(
            {str(n): operations.Conv2d(a, b, 3, padding=1) for block in layers() for n, a, b in block}
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """image [B, 3, H, W] in [-1, 1] -> the last activations of the five blocks, [B, C, H / 2^i, W / 2^i].

        Raises:
            ValueError: not three channels, or fewer pixels than the poolings need.
        """
        if image.ndim != 4 or image.shape[1] != 3 or min(image.shape[-2:]) < LEAST:
            raise ValueError(
                f"vgg: expected images [B, 3, H, W] of at least {LEAST} pixels a side, got {list(image.shape)}; enlarge them"
            )
        mean, std = (image.new_tensor(value)[:, None, None] for value in (MEAN, STD))
        x = ((image + 1) / 2 - mean) / std  # from [-1, 1] to ImageNet's normalised colours
        levels = []
        for block in layers():
            x = F.max_pool2d(x, 2) if levels else x
            for number, _, _ in block:
                x = F.relu(self.features[str(number)](x))
            levels.append(x)
        return levels


def unit(features: Tensor) -> Tensor:
    """[B, C, H, W] -> vectors of length 1 over C, or 0 where all are 0."""
    return features * (features.square().sum(1, keepdim=True) + 1e-10).rsqrt()


def load_vgg(path: Path) -> VGG16:
    """The user's VGG16, frozen, float32, on the CPU. Nothing in the file is run.

    Args:
        path: a .safetensors, or a .pth, .pt, .ckpt or .bin that holds tensors only; keys as torchvision's `features.N.weight` or LPIPS' `net.sliceK.N.weight`.

    Raises:
        ValueError: another format, tensors that are missing, of another shape or not finite.
    """
    path = Path(path)
    tensors = {}
    for key, value in stored_tensors(path).items():
        if match := KEY.fullmatch(key):
            tensors[f"features.{match[1]}.{match[2]}"] = value
    network = VGG16()
    state = network.state_dict()
    for key, value in state.items():
        if key not in tensors:
            raise _fault(path, f"{key} is missing")
        if tensors[key].shape != value.shape:
            raise _fault(path, f"{key} is {list(tensors[key].shape)} instead of {list(value.shape)}")
        tensors[key] = tensors[key].float()
        if not bool(tensors[key].isfinite().all()):
            raise _fault(path, f"{key} holds NaN or infinity")
    network.load_state_dict({key: tensors[key] for key in state})
    return network.requires_grad_(False).eval()


def _fault(path: Path, what: str) -> ValueError:
    return ValueError(
        f"vgg: expected the 26 tensors of VGG16's convolutions (without batch norm), but in {path.name} {what}; choose another"
    )


def stored_tensors(path: Path, what: str = "vgg") -> dict[str, Tensor]:
    """What lies in a .safetensors, or in a state dict that torch saved: name -> [...].

    Args:
        what: the file's role, for errors.

    Raises:
        ValueError: another format, TorchScript, or a pickle that wants to make anything else.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"{what}: expected a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file, got {path.name}; choose another, or convert it"
        )
    if path.suffix == ".safetensors" or not path.is_file():
        return read_tensors(path, what)[0]
    return pickles.read_state(path, what)
