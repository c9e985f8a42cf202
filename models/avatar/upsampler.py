"""RodinHD's upsampler: coarse planes and a portrait to fine planes, predicted clean (section 3.2, eq. 5; appendix A).

Blocks and their keys as released. No features attend to themselves; the middle's attend to the portrait. The coarse planes are told at
three places: beside the input's features, by their skip before the last block of the way up, and beside what the last ResNet is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import flags, integer_tuple, integers, numbers
from .conditioning import Conditions
from .planes import PLANES, AwareConv, check_features, resize, roll_in, roll_out, set_to_zero
from .reading import ConditionedNetwork, ReadingConfig, attend
from .unet import check_rows

EPS = 1e-6  # of norms, as released; the base model has torch's


@dataclass(frozen=True, kw_only=True)
class UpsamplerConfig(ReadingConfig):
    """The upsampler; the defaults are the paper's. It is told one map's tokens, or the latent's where the config names no map.

    Attributes:
        size: rows of a fine plane. plane_channels: of a plane.
        width: features at the finest level. multipliers: of the width, per level. blocks: ResNets on the way down, per level; one more on
            the way up. body: pairs of ResNets with attention between them, in the middle: the 6 of the paper's (2, 2, 6).
        embedding: width of time and portrait as one vector. head_channels: of one head of attention. groups: of norms. dropout: of
            features in training, 0 to 1. scale_shift: whether time scales and shifts normed features, instead of being added to them.
    """

    size: int = 512
    plane_channels: int = 32
    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4)
    blocks: tuple[int, ...] = (2, 2, 2)
    body: int = 3
    embedding: int = 512
    head_channels: int = 32
    groups: int = 32
    dropout: float = 0.0
    scale_shift: bool = False
    map_sides: tuple[int, ...] = (128,)
    map_taps: tuple[int, ...] = (0,)
    map_channels: tuple[int, ...] = (128,)
    map_patches: tuple[int, ...] = (16,)

    def __post_init__(self) -> None:
        super().__post_init__()
        integers(
            self,
            size=(1, 1024),
            plane_channels=(1, 512),
            width=(1, 1024),
            body=(1, 16),
            embedding=(1, 8192),
            head_channels=(1, 1024),
            groups=(1, 256),
        )
        numbers(self, dropout=(0, 1))
        flags(self, "scale_shift")
        integer_tuple(self, "multipliers", count=(1, 8), each=(1, 16))
        levels = len(self.multipliers)
        integer_tuple(self, "blocks", count=(levels, levels), each=(0, 16))
        coarsest = 2 ** (levels - 1)
        if self.size % coarsest or len(self.map_channels) > 1:
            raise ValueError(
                f"UpsamplerConfig: expected a size that is a multiple of {coarsest} and one map at most, "
                f"got {self.size} and {len(self.map_channels)} maps; choose others"
            )
        widths = [self.plane_channels, *(self.width * m for m in self.multipliers)]
        tokens = self.token_channels
        if any(w % self.groups for w in [*widths, tokens]) or widths[-1] % self.head_channels:
            raise ValueError(
                f"UpsamplerConfig: expected planes, features and tokens whose widths are multiples of groups {self.groups}, the coarsest "
                f"features' of head_channels {self.head_channels}, got {widths} and {tokens}; choose others"
            )
        check_features("UpsamplerConfig", self.size, widths[1:], self.blocks)

    @property
    def token_channels(self) -> int:
        """Width of the tokens that the middle attends to."""
        return self.token_width if self.map_channels else self.latent_width


class ResnetBlock(nn.Module):
    """Two convolutions, the second 3D-aware, with the time between them, around a skip."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        *,
        groups: int = 32,
        dropout: float = 0.0,
        scale_shift: bool = False,
        operations=nn,
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.norm1 = operations.GroupNorm(groups, inputs, eps=EPS)
        self.conv1 = operations.Conv2d(inputs, outputs, 3, padding=1)
        self.temb_proj = operations.Linear(embedding, outputs * (2 if scale_shift else 1))
        self.norm2 = operations.GroupNorm(groups, outputs, eps=EPS)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = AwareConv(outputs, outputs, operations=operations)
        if inputs != outputs:
            self.nin_shortcut = operations.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x [B, C, H, 3 H], embedding [B, E] -> [B, C', H, 3 H]."""
        h = self.conv1(F.silu(self.norm1(x)))
        vector = self.temb_proj(F.silu(embedding))[:, :, None, None]
        if self.scale_shift:
            scale, shift = vector.chunk(2, 1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + vector)
        h = self.conv2(self.dropout(F.silu(h)))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class CrossAttentionBlock(nn.Module):
    """Eq. 8 without the features themselves: they attend to the portrait's tokens alone, around a skip."""

    def __init__(
        self, channels: int, tokens: int, *, head_channels: int = 32, groups: int = 32, operations=nn
    ) -> None:
        super().__init__()
        self.heads = channels // head_channels
        self.norm = operations.GroupNorm(groups, channels)
        self.norm_encoder = operations.GroupNorm(groups, tokens)
        self.qkv = operations.Conv1d(channels, channels, 1)
        self.encoder_kv = operations.Conv1d(tokens, 2 * channels, 1)
        self.proj_out = set_to_zero(operations.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """x [B, C, H, W], tokens [B, D, L] -> [B, C, H, W]."""
        query = self.qkv(self.norm(x.flatten(2))).unflatten(1, (self.heads, -1))
        pairs = self.encoder_kv(self.norm_encoder(tokens)).unflatten(1, (self.heads, -1))
        key, value = pairs.chunk(2, 2)
        return x + self.proj_out(attend(query, key, value).flatten(1, 2)).view_as(x)


class Downsample(nn.Module):
    """Half the sides."""

    def __init__(self, channels: int, *, operations=nn) -> None:
        super().__init__()
        self.conv = operations.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H / 2, W / 2]; a line of zeros is below and on the right only."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Twice the sides."""

    def __init__(self, channels: int, *, operations=nn) -> None:
        super().__init__()
        self.conv = operations.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, 2 H, 2 W]; corners stay corners, as released."""
        return self.conv(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))


class Upsampler(ConditionedNetwork):
    """Noisy fine planes side by side, time, a portrait and coarse planes -> clean fine planes.

    A new one gives the coarse planes, enlarged, back.
    """

    config: UpsamplerConfig

    def __init__(self, config: UpsamplerConfig, *, operations=nn) -> None:
        super().__init__(config, config.width, config.embedding, operations=operations)

        def block(inputs: int, outputs: int) -> ResnetBlock:
            return ResnetBlock(
                inputs,
                outputs,
                config.embedding,
                groups=config.groups,
                dropout=config.dropout,
                scale_shift=config.scale_shift,
                operations=operations,
            )

        widths = [config.width * m for m in config.multipliers]
        last, coarse = len(widths) - 1, config.plane_channels
        self.conv_in = operations.Conv2d(coarse, widths[0], 3, padding=1)
        channels = widths[0] + coarse
        skips = [channels]
        self.down = nn.ModuleList()
        for level, (width, count) in enumerate(zip(widths, config.blocks, strict=True)):
            for _ in range(count):
                self.down.append(block(channels, width))
                channels = width
                skips.append(channels)
            if level < last:
                self.down.append(Downsample(channels, operations=operations))
                skips.append(channels)
        self.body = nn.ModuleList()
        for _ in range(config.body):
            cross = CrossAttentionBlock(
                widths[-1],
                config.token_channels,
                head_channels=config.head_channels,
                groups=config.groups,
                operations=operations,
            )
            self.body.extend([block(channels, widths[-1]), cross, block(widths[-1], widths[-1])])
            channels = widths[-1]
        self.up = nn.ModuleList()
        for level, (width, count) in reversed(list(enumerate(zip(widths, config.blocks, strict=True)))):
            for _ in range(count + 1):
                self.up.append(block(channels + skips.pop(), width))
                channels = width
            if level:
                self.up.append(Upsample(channels, operations=operations))
        self.out = block(channels + coarse, coarse)
        self._begin_with(channels, coarse)

    def _begin_with(self, channels: int, coarse: int) -> None:
        """The last skip hands on the coarse planes only."""
        with torch.no_grad():
            self.out.nin_shortcut.weight.copy_(
                torch.eye(coarse, channels + coarse).roll(channels, 1)[:, :, None, None]
            )
            self.out.nin_shortcut.bias.zero_()

    def forward(self, x: Tensor, time: Tensor, low: Tensor, conditions: Conditions) -> Tensor:
        """Eq. 5's estimate of clean planes.

        Args:
            x: [B, C, H, 3 H] noisy planes side by side. time: [B] in 0 .. 1000. low: [B, C, h, 3 h] coarse planes. conditions: a row each.

        Returns:
            [B, C, H, 3 H].

        Raises:
            ValueError: planes of another size, rows that do not go together, or conditions that the config does not name.
        """
        config = self.config
        check_rows(x, time, conditions, config.plane_channels, config.size)
        if low.ndim != 4 or low.shape[:2] != x.shape[:2] or low.shape[3] != PLANES * low.shape[2]:
            raise ValueError(
                f"upsampler: expected coarse planes [{len(x)}, {config.plane_channels}, h, 3 h] for each row, got {list(low.shape)}; "
                "roll them out"
            )
        coarse = roll_out(resize(roll_in(low), config.size))
        latent_tokens = self.latent_tokens(conditions)
        embedding = self.embed(time, latent_tokens)
        tokens = self.map_tokens(conditions, 0) if config.map_channels else latent_tokens.mT
        h = torch.cat([self.conv_in(x), coarse], 1)
        skips = [h]
        for layer in self.down:
            h = layer(h, embedding) if isinstance(layer, ResnetBlock) else layer(h)
            skips.append(h)
        for layer in self.body:
            h = layer(h, tokens if isinstance(layer, CrossAttentionBlock) else embedding)
        for layer in self.up:
            h = (
                layer(torch.cat([h, skips.pop()], 1), embedding)
                if isinstance(layer, ResnetBlock)
                else layer(h)
            )
        return self.out(torch.cat([h, coarse], 1), embedding)
