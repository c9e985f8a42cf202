"""Tri-planes as one wide image, and the convolution by which planes tell each other what lies along a shared axis.

RodinHD (Zhang et al. 2024), appendix A; the convolution is Rodin's (Wang et al. 2023). A plane's columns run along the first of its
two axes and its rows along the second, and the planes are xy, xz and yz, as in our fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PLANES = 3
MOST = (
    2**30
)  # numbers in a network's features that wait on the way down for the way up: 4 GiB, twice the paper's upsampler
Module = TypeVar("Module", bound=nn.Module)


def check_features(network: str, size: int, widths: Sequence[int], blocks: Sequence[int]) -> None:
    """Whether planes' features are few enough for a machine; weights say nothing of the planes' size.

    Args:
        network: for the error. size: rows of a plane at the first level, half at each further. widths, blocks: per level.

    Raises:
        ValueError: they are more than MOST.
    """
    count = sum(
        PLANES * (size >> level) ** 2 * width * (number + 1)
        for level, (width, number) in enumerate(zip(widths, blocks, strict=True))
    )
    if count > MOST:
        raise ValueError(
            f"{network}: expected features of up to {MOST} numbers, got {count} of planes of {size}; choose smaller planes or widths"
        )


def roll_out(planes: Tensor) -> Tensor:
    """Planes [B, 3, C, H, W] side by side: [B, C, H, 3 W].

    Raises:
        ValueError: other shapes.
    """
    if planes.ndim != 5 or planes.shape[1] != PLANES:
        raise ValueError(
            f"roll_out: expected planes [B, 3, C, H, W], got {list(planes.shape)}; "
            "average a tri-grid's slices or add the missing dimension"
        )
    return planes.permute(0, 2, 3, 1, 4).flatten(3)


def roll_in(wide: Tensor) -> Tensor:
    """A wide image [B, C, H, 3 W] as planes [B, 3, C, H, W], the inverse of `roll_out`.

    Raises:
        ValueError: no such image.
    """
    if wide.ndim != 4 or wide.shape[3] % PLANES:
        raise ValueError(
            f"roll_in: expected a wide image [B, C, H, 3 W], got {list(wide.shape)}; put three planes side by side"
        )
    return wide.unflatten(3, (PLANES, -1)).permute(0, 3, 1, 2, 4)


def resize(planes: Tensor, size: int) -> Tensor:
    """Planes [B, 3, C, H, W] at [B, 3, C, size, size], each by itself: bicubic, antialiased where they shrink."""
    flat = planes.flatten(0, 1)
    if tuple(flat.shape[-2:]) == (size, size):
        return planes
    smooth = size < flat.shape[-1]
    return F.interpolate(
        flat, size=(size, size), mode="bicubic", align_corners=False, antialias=smooth
    ).unflatten(0, (-1, PLANES))


def set_to_zero(layer: Module) -> Module:
    """The layer with weights of zero, so that what it adds begins as nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class AwareConv(nn.Module):
    """3x3 convolutions, one a plane, that see the plane and both others' means along the axis that it lacks.

    Keys as released: out_layers1, out_layers2, out_layers3 for xy, xz, yz. Each takes 3 C channels in the order [of xy, of xz, of yz].
    Zero at first.
    """

    def __init__(self, inputs: int, outputs: int, *, operations=nn) -> None:
        super().__init__()
        self.out_layers1 = set_to_zero(operations.Conv2d(PLANES * inputs, outputs, 3, padding=1))
        self.out_layers2 = set_to_zero(operations.Conv2d(PLANES * inputs, outputs, 3, padding=1))
        self.out_layers3 = set_to_zero(operations.Conv2d(PLANES * inputs, outputs, 3, padding=1))

    def forward(self, wide: Tensor) -> Tensor:
        """[B, C, H, 3 H] -> [B, C', H, 3 H].

        A profile is the same along one side of the plane, and so is its convolution but for the padding at both ends: three lines of
        it are computed, not H. `readable` says the same at length.

        Raises:
            ValueError: planes that are not square.
        """
        xy, xz, yz = _square_planes(wide)
        (x_xy, y_xy), (x_xz, z_xz), (y_yz, z_yz) = _profiles(xy), _profiles(xz), _profiles(yz)
        return torch.cat(
            [
                _convolve(self.out_layers1, (xy, _along_columns(x_xz), _along_rows(y_yz))),
                _convolve(self.out_layers2, (_along_columns(x_xy), xz, _along_rows(z_yz))),
                _convolve(self.out_layers3, (_along_columns(y_xy), _along_rows(z_xz), yz)),
            ],
            3,
        )

    def readable(self, wide: Tensor) -> Tensor:
        """The same [B, C, H, 3 H] -> [B, C', H, 3 H], as written in the paper: profiles spread over planes, then convolved.

        Raises:
            ValueError: planes that are not square.
        """
        xy, xz, yz = _square_planes(wide)
        (x_xy, y_xy), (x_xz, z_xz), (y_yz, z_yz) = _profiles(xy), _profiles(xz), _profiles(yz)

        def spread(line: Tensor) -> Tensor:
            return line.expand_as(xy)

        of_xy = torch.cat([xy, spread(_along_columns(x_xz)), spread(_along_rows(y_yz))], 1)
        of_xz = torch.cat([spread(_along_columns(x_xy)), xz, spread(_along_rows(z_yz))], 1)
        of_yz = torch.cat([spread(_along_columns(y_xy)), spread(_along_rows(z_xz)), yz], 1)
        return torch.cat([self.out_layers1(of_xy), self.out_layers2(of_xz), self.out_layers3(of_yz)], 3)


def _convolve(layer: nn.Conv2d, parts: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """A layer on its three parts: a plane [B, C, H, H] and two lines, [B, C, 1, H] or [B, C, H, 1]."""
    side = max(part.shape[2] for part in parts)
    kernels = layer.weight.to(parts[0]).chunk(PLANES, 1)  # casting layers store weights of another type
    first, second, third = (
        _convolve_part(part, kernel, side) for part, kernel in zip(parts, kernels, strict=True)
    )
    result = first + second + third
    return result if layer.bias is None else result + layer.bias.to(result)[:, None, None]


def _square_planes(wide: Tensor) -> tuple[Tensor, ...]:
    planes = roll_in(wide)
    if planes.shape[3] != planes.shape[4]:
        raise ValueError(
            f"3D-aware convolution: expected square planes [B, C, H, 3 H], got {list(wide.shape)}; "
            "profiles of one plane lie along another's side, so all sides must be equal"
        )
    return planes.unbind(1)


def _profiles(plane: Tensor) -> tuple[Tensor, Tensor]:
    """Means [B, C, H] over rows and over columns: what the plane says along its first axis, and along its second."""
    return plane.mean(2), plane.mean(3)


def _along_columns(profile: Tensor) -> Tensor:
    return profile[:, :, None, :]


def _along_rows(profile: Tensor) -> Tensor:
    return profile[:, :, :, None]


def _convolve_part(part: Tensor, kernel: Tensor, side: int) -> Tensor:
    """A 3x3 convolution of a plane [B, C, H, H], or of a line spread over one, [B, C', H, H]."""
    lines = min(side, 3)  # both borders and what lies between
    if part.shape[2] == part.shape[3] == side:
        return F.conv2d(part, kernel, padding=1)
    dim = 2 if part.shape[2] == 1 else 3
    shape = list(part.shape)
    shape[dim] = lines
    result = F.conv2d(part.expand(shape), kernel, padding=1)
    if side == lines:
        return result
    first, between, last = result.split(1, dim)
    shape = list(between.shape)
    shape[dim] = side - 2
    return torch.cat([first, between.expand(shape), last], dim)


def mirrored(planes: Tensor) -> Tensor:
    """Planes [..., 3, C, R, R] of the head's mirror image, exactly: x runs along the columns of xy and xz, and yz knows none."""
    xy, xz, yz = planes.unbind(-4)
    return torch.stack([xy.flip(-1), xz.flip(-1), yz], -4)
