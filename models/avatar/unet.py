"""RodinHD's base model: a UNet over planes side by side that predicts their noise (section 3.2, eq. 8; appendix A).

Dhariwal & Nichol 2021's blocks, with the joint attention of GLIDE (Nichol et al. 2022): features attend to the portrait's tokens and to
themselves at once. Only 3D-aware convolutions know of planes; all else sees one wide image. Keys as released.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import flags, integer_tuple, integers, numbers
from .conditioning import Conditions
from .planes import PLANES, AwareConv, check_features, set_to_zero
from .reading import ConditionedNetwork, ReadingConfig, attend

NO_MAP = -1
TALLEST = 64  # features that attend to themselves, rows of: 12,288 places, four times as many as the paper's


@dataclass(frozen=True, kw_only=True)
class BaseConfig(ReadingConfig):
    """The base model; the defaults are the paper's.

    Attributes:
        size: rows of a plane. plane_channels: of a plane.
        width: features at the finest level. multipliers: of the width, per level. blocks: ResNet blocks, per level.
        attention: heights of the features that attend. attention_maps: for each of these, which of the maps it is told, or -1 for none.
        head_channels: of one head of attention. groups: of norms. dropout: of features in training, 0 to 1.
        scale_shift: whether time scales and shifts normed features, instead of being added to them.
        learn_variance: whether the output has the variance's channels behind the noise's.
    """

    size: int = 128
    plane_channels: int = 32
    width: int = 192
    multipliers: tuple[int, ...] = (1, 1, 2, 3, 4)
    blocks: tuple[int, ...] = (3, 3, 3, 3, 3)
    attention: tuple[int, ...] = (32, 16, 8)
    attention_maps: tuple[int, ...] = (0, 1, 2)
    head_channels: int = 64
    groups: int = 32
    dropout: float = 0.0
    scale_shift: bool = True
    learn_variance: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        integers(
            self,
            size=(1, 1024),
            plane_channels=(1, 512),
            width=(1, 1024),
            head_channels=(1, 1024),
            groups=(1, 256),
        )
        numbers(self, dropout=(0, 1))
        flags(self, "scale_shift", "learn_variance")
        integer_tuple(self, "multipliers", count=(1, 8), each=(1, 16))
        levels = len(self.multipliers)
        integer_tuple(self, "blocks", count=(levels, levels), each=(1, 16))
        integer_tuple(self, "attention", count=(0, levels), each=(1, 1024))
        integer_tuple(
            self,
            "attention_maps",
            count=(len(self.attention), len(self.attention)),
            each=(NO_MAP, len(self.map_channels) - 1),
        )
        self._check_levels()

    def _check_levels(self) -> None:
        coarsest = 2 ** (len(self.multipliers) - 1)
        if self.size % coarsest or not set(self.attention) <= set(self.heights):
            raise ValueError(
                f"BaseConfig: expected a size that is a multiple of {coarsest} and attention at heights among {self.heights}, "
                f"got {self.size} and {self.attention}; choose others"
            )
        if max((*self.attention, self.heights[-1])) > TALLEST:
            raise ValueError(
                f"BaseConfig: expected attention at heights of up to {TALLEST}, the coarsest among them, got {self.attention} and "
                f"{self.heights[-1]}; let coarser features attend"
            )
        widths = [self.width * m for m in self.multipliers]
        check_features("BaseConfig", self.size, widths, self.blocks)
        deepest = widths[-1]  # attends in the middle
        attending = [w for w, height in zip(widths, self.heights) if height in self.attention]
        if any(w % self.groups for w in widths) or any(w % self.head_channels for w in [*attending, deepest]):
            raise ValueError(
                f"BaseConfig: expected widths that are multiples of groups {self.groups} and, where they attend, of head_channels "
                f"{self.head_channels}, got {widths}; choose others"
            )

    @property
    def heights(self) -> tuple[int, ...]:
        """Rows of the features, per level."""
        return tuple(self.size >> level for level in range(len(self.multipliers)))

    @property
    def outputs(self) -> int:
        """Channels of the output."""
        return self.plane_channels * (2 if self.learn_variance else 1)


class ResBlock(nn.Module):
    """Two convolutions with the time between them, around a skip.

    Args:
        resize: 0.5 or 2 where the block halves or doubles the sides of what it is given. aware: whether the second convolution is 3D-aware.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        config: BaseConfig,
        *,
        resize: float = 1.0,
        aware: bool = False,
        operations=nn,
    ) -> None:
        super().__init__()
        self.resize, self.scale_shift = resize, config.scale_shift
        self.in_layers = nn.Sequential(
            operations.GroupNorm(config.groups, inputs),
            nn.SiLU(),
            operations.Conv2d(inputs, outputs, 3, padding=1),
        )
        self.emb_layers = nn.Sequential(
            nn.SiLU(), operations.Linear(embedding, outputs * (2 if config.scale_shift else 1))
        )
        last = (
            AwareConv(outputs, outputs, operations=operations)
            if aware
            else set_to_zero(operations.Conv2d(outputs, outputs, 3, padding=1))
        )
        self.out_layers = nn.Sequential(
            operations.GroupNorm(config.groups, outputs), nn.SiLU(), nn.Dropout(config.dropout), last
        )
        self.skip_connection = nn.Identity() if inputs == outputs else operations.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x [B, C, H, W] and embedding [B, E] -> [B, C', H', W']."""
        norm, activation, convolution = self.in_layers
        h = convolution(resized(activation(norm(x)), self.resize))
        vector = self.emb_layers(embedding)[:, :, None, None]
        norm, rest = self.out_layers[0], self.out_layers[1:]
        if self.scale_shift:
            scale, shift = vector.chunk(2, 1)
            h = rest(norm(h) * (1 + scale) + shift)
        else:
            h = rest(norm(h + vector))
        return self.skip_connection(resized(x, self.resize)) + h


def resized(x: Tensor, factor: float) -> Tensor:
    """Features [B, C, H, W] as they are, of half the sides (means of four), or of twice (each repeated)."""
    if factor == 1:
        return x
    return F.avg_pool2d(x, 2) if factor < 1 else F.interpolate(x, scale_factor=2, mode="nearest")


class JointAttention(nn.Module):
    """Eq. 8: features attend to the portrait's tokens and to themselves, around a skip; without tokens to themselves.

    Args:
        tokens: width of a token, or 0 for a model that has none.
    """

    def __init__(self, channels: int, tokens: int, config: BaseConfig, *, operations=nn) -> None:
        super().__init__()
        self.heads = channels // config.head_channels
        self.norm = operations.GroupNorm(config.groups, channels)
        self.qkv = operations.Conv1d(channels, 3 * channels, 1)
        self.encoder_kv = operations.Conv1d(tokens, 2 * channels, 1) if tokens else None
        self.proj_out = set_to_zero(operations.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor, tokens: Tensor | None = None) -> Tensor:
        """x [B, C, H, W], tokens [B, D, L] or None -> [B, C, H, W]."""
        flat = x.flatten(2)
        query, key, value = self._split(self.qkv(self.norm(flat)), 3)
        if tokens is not None and self.encoder_kv is not None:
            other_key, other_value = self._split(self.encoder_kv(tokens), 2)
            key, value = torch.cat([other_key, key], 3), torch.cat([other_value, value], 3)
        h = attend(query, key, value).flatten(1, 2)
        return x + self.proj_out(h).view_as(x)

    def _split(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """[B, parts C, L] as `parts` times [B, heads, c, L]; a head's parts lie together."""
        return x.unflatten(1, (self.heads, -1)).chunk(parts, 2)


class Layers(nn.ModuleList):
    """Layers one after the other, each given what it needs."""

    def forward(self, x: Tensor, embedding: Tensor, tokens: Tensor | None) -> Tensor:
        """x [B, C, H, W], embedding [B, E], tokens [B, D, L] or None -> [B, C', H', W']."""
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, embedding)
            elif isinstance(layer, JointAttention):
                x = layer(x, tokens)
            else:
                x = layer(x)
        return x


class BaseUNet(ConditionedNetwork):
    """Noisy planes side by side, time and a portrait -> predicted noise, and where its variance lies."""

    config: BaseConfig

    def __init__(self, config: BaseConfig, *, operations=nn) -> None:
        embedding = 4 * config.width
        super().__init__(config, config.width, embedding, operations=operations)
        tokens = config.token_width if config.map_channels else 0

        def block(inputs: int, outputs: int, *, level: int, resize: float = 1.0) -> ResBlock:
            aware = level == 0 and resize == 1
            return ResBlock(
                inputs, outputs, embedding, config, resize=resize, aware=aware, operations=operations
            )

        def attention(channels: int, level: int) -> list[JointAttention]:
            attends = config.heights[level] in config.attention
            return [JointAttention(channels, tokens, config, operations=operations)] if attends else []

        widths = [config.width * m for m in config.multipliers]
        last, channels = len(widths) - 1, widths[0]
        self.input_blocks = nn.ModuleList(
            [Layers([operations.Conv2d(config.plane_channels, channels, 3, padding=1)])]
        )
        skips = [channels]
        for level, (width, count) in enumerate(zip(widths, config.blocks, strict=True)):
            for _ in range(count):
                self.input_blocks.append(
                    Layers([block(channels, width, level=level), *attention(width, level)])
                )
                channels = width
                skips.append(channels)
            if level < last:
                self.input_blocks.append(Layers([block(channels, channels, level=level, resize=0.5)]))
                skips.append(channels)
        self.middle_block = Layers(
            [
                block(channels, channels, level=max(last, 1)),
                JointAttention(channels, tokens, config, operations=operations),
                block(channels, channels, level=max(last, 1)),
            ]
        )
        self.output_blocks = nn.ModuleList()
        for level, (width, count) in reversed(list(enumerate(zip(widths, config.blocks, strict=True)))):
            for i in range(count + 1):
                layers = Layers([block(channels + skips.pop(), width, level=level), *attention(width, level)])
                channels = width
                if level and i == count:
                    layers.append(block(channels, channels, level=level, resize=2.0))
                self.output_blocks.append(layers)
        self.out = nn.Sequential(
            operations.GroupNorm(config.groups, channels),
            nn.SiLU(),
            set_to_zero(operations.Conv2d(channels, config.outputs, 3, padding=1)),
        )

    def forward(self, x: Tensor, time: Tensor, conditions: Conditions) -> Tensor:
        """x [B, C, H, 3 H] noisy planes, time [B] in 0 .. 1000 and a portrait's conditions, one row each -> [B, C or 2 C, H, 3 H].

        Raises:
            ValueError: planes of another size, rows that do not go together, or conditions that the config does not name.
        """
        check_rows(x, time, conditions, self.config.plane_channels, self.config.size)
        embedding = self.embed(time, self.latent_tokens(conditions))
        tokens = {
            height: self.map_tokens(conditions, index)
            for height, index in zip(self.config.attention, self.config.attention_maps, strict=True)
            if index != NO_MAP
        }
        skips = []
        h = x
        for layers in self.input_blocks:
            h = layers(h, embedding, tokens.get(h.shape[2]))
            skips.append(h)
        h = self.middle_block(h, embedding, tokens.get(h.shape[2]))
        for layers in self.output_blocks:
            h = layers(torch.cat([h, skips.pop()], 1), embedding, tokens.get(h.shape[2]))
        return self.out(h)


def check_rows(x: Tensor, time: Tensor, conditions: Conditions, channels: int, size: int) -> None:
    """Raises ValueError unless x is [B, channels, size, 3 size], and time [B] and conditions have a row for each of its."""
    if tuple(x.shape[1:]) != (channels, size, PLANES * size) or x.ndim != 4:
        raise ValueError(
            f"planes: expected [B, {channels}, {size}, {PLANES * size}], three side by side, got {list(x.shape)}; "
            "resize them or take another model"
        )
    if not len(x) == len(conditions) == time.numel() or time.ndim != 1:
        raise ValueError(
            f"planes: expected a time and conditions for each of {len(x)} rows, got times {list(time.shape)} and "
            f"{len(conditions)} conditions; repeat them"
        )
