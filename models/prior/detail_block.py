"""The Detail Preservation Block: what geometry restoration trains, between a generator's planes and their renderer.

Portrait Diffusion, eqs. 3 and 4, which give no architecture; ours is a residual of convolutions on the planes. The
generator itself never changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import integer_tuple, integers
from ..checkpoint import shipped_network
from ..field.triplane import FieldConfig


@dataclass(frozen=True, kw_only=True)
class DetailConfig:
    """Attributes: channels: of all planes and slices together. grid: cells of the block's own, coarser grid along a plane. hidden: features
    of a cell. wide: features on grids of a half and a quarter of the cells, on which a back can move. stride: texels of a cell."""

    channels: int
    grid: int
    hidden: int = 56
    wide: tuple[int, int] = (80, 128)
    stride: int = 4

    def __post_init__(self) -> None:
        integers(self, channels=(0, 98304), grid=(0, 1024), hidden=(0, 4096), stride=(0, 64))
        integer_tuple(self, "wide", count=(2, 2), each=(0, 4096))
        if min(self.channels, self.grid, self.hidden, *self.wide, self.stride) < 1:
            raise ValueError(f"DetailConfig: expected positive sizes, got {self}; take them from the field")


def detail_config(field: FieldConfig) -> DetailConfig:
    """For a generator's planes."""
    return DetailConfig(
        channels=3 * field.channels * max(field.depth, 1), grid=field.resolution // DetailConfig.stride
    )


class DetailBlock(nn.Module):
    """Planes -> planes: a residual of convolutions that see all planes at once, on coarser grids for shape and on their own for detail.

    Its last convolutions are zero at first, so it begins as nothing, and the wide grids say nothing yet. Every cell has features of its own
    beside what the planes say: convolutions alone cannot repair the back and leave the front.
    """

    def __init__(self, config: DetailConfig) -> None:
        super().__init__()
        self.config = config
        C, H = config.channels, config.hidden
        self.down = nn.Conv2d(C, H, config.stride, stride=config.stride)
        self.place = nn.Parameter(0.3 * torch.randn(1, H, config.grid, config.grid))
        self.norm, self.coarse = nn.GroupNorm(1, H), nn.Conv2d(H, H, 3, padding=1)
        A, B = config.wide
        self.downs = nn.ModuleList(
            [nn.Conv2d(H, A, 3, stride=2, padding=1), nn.Conv2d(A, B, 3, stride=2, padding=1)]
        )
        self.wide_norm, self.wide = nn.GroupNorm(1, B), nn.Conv2d(B, B, 3, padding=1)
        ups = [nn.Conv2d(A, H, 3, padding=1), nn.Conv2d(B, A, 3, padding=1)]
        self.ups = nn.ModuleList(ups)
        self.shape = nn.Conv2d(H, C, 3, padding=1)
        self.fine, self.detail = nn.Conv2d(C, H // 2, 3, padding=1), nn.Conv2d(H // 2, C, 3, padding=1)
        for last in (self.shape, self.detail, ups[0]):
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, planes: Tensor) -> Tensor:
        """[B, 3, C, (D,) H, W] both.

        Raises:
            ValueError: planes of another form.
        """
        flat = planes.flatten(1, -3)
        side = self.config.grid * self.config.stride
        if flat.shape[1] != self.config.channels or tuple(planes.shape[-2:]) != (side, side):
            raise ValueError(
                f"detail block: expected {self.config.channels} channels in all planes and sides of {side}, got {list(planes.shape)}; "
                "use a block of this generator"
            )
        x = F.silu(self.down(flat) + self.place)
        half = F.silu(self.downs[0](x))
        quarter = F.silu(self.downs[1](half))
        quarter = F.silu(quarter + self.wide(self.wide_norm(quarter)))
        half = F.silu(
            half
            + self.ups[1](F.interpolate(quarter, size=half.shape[-2:], mode="bilinear", align_corners=False))
        )
        around = self.ups[0](F.interpolate(half, size=x.shape[-2:], mode="bilinear", align_corners=False))
        x = F.silu(x + self.coarse(self.norm(x)) + around)
        shape = F.interpolate(self.shape(x), size=flat.shape[-2:], mode="bilinear", align_corners=False)
        flat_planes = flat + shape + self.detail(F.silu(self.fine(flat)))
        return flat_planes.view_as(planes)


def shipped_detail_block(path: Path | None = None) -> DetailBlock:
    """The block that comes with the pack, or one of its kind, frozen, on the CPU.

    Raises:
        ValueError: as `checkpoint.shipped_network`.
    """
    return shipped_network("restoration", DetailConfig, DetailBlock, path)


def learnt_block(field: FieldConfig) -> DetailBlock | None:
    """The block that ships, for planes that are the embedded prior's in form; None for others."""
    block = shipped_detail_block()
    return block if block.config == detail_config(field) else None


def new_block(field: FieldConfig, seed: int = 0) -> DetailBlock:
    """A block that does nothing yet, its other weights by a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DetailBlock(detail_config(field))
