"""How the networks of the cascade read a portrait's conditions: one vector beside the time, and tokens for attention."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import integer_tuple, integers, numbers
from .conditioning import Conditions

PERIOD = 10_000.0  # of the slowest wave that time is told by


@dataclass(frozen=True, kw_only=True)
class ReadingConfig:
    """How a network of the cascade reads conditions; the defaults are the base model's of the paper.

    Attributes:
        latent_channels: of the portrait's latent. latent_scale: it is multiplied by this.
        latent_patch: latents along a patch, each of which becomes a token. latent_width: of such a token.
        pooling_heads: of the attention that pools these tokens to one vector.
        map_sides: of each map, its side where the portrait has the training's size; names the weights.
        map_taps: of each map, its place among the maps of `Conditions`.
        map_channels: of each map. map_patches: features along a patch of each, all of which become tokens. map_groups: of their norms.
        token_width: of these tokens.
    """

    latent_channels: int = 4
    latent_scale: float = 0.13025
    latent_patch: int = 16
    latent_width: int = 64
    pooling_heads: int = 8
    map_sides: tuple[int, ...] = (128, 64, 32)
    map_taps: tuple[int, ...] = (0, 1, 2)
    map_channels: tuple[int, ...] = (128, 256, 512)
    map_patches: tuple[int, ...] = (16, 8, 4)
    map_groups: int = 32
    token_width: int = 512

    def __post_init__(self) -> None:
        integers(
            self,
            latent_channels=(1, 64),
            latent_patch=(1, 64),
            latent_width=(1, 4096),
            pooling_heads=(1, 64),
            map_groups=(1, 256),
            token_width=(1, 4096),
        )
        numbers(self, latent_scale=(1e-6, 1e6))
        for name, least, most in (
            ("map_sides", 1, 4096),
            ("map_taps", 0, 7),
            ("map_channels", 1, 4096),
            ("map_patches", 1, 64),
        ):
            integer_tuple(self, name, count=(0, 8), each=(least, most))
        counts = {len(x) for x in (self.map_sides, self.map_taps, self.map_channels, self.map_patches)}
        if len(counts) != 1 or len(set(self.map_sides)) != len(self.map_sides):
            raise ValueError(
                f"{type(self).__name__}: expected as many sides, all different, as taps, channels and patches of maps, "
                f"got {self.map_sides}, {self.map_taps}, {self.map_channels} and {self.map_patches}; name each map in all four"
            )
        if self.latent_width % self.pooling_heads or any(c % self.map_groups for c in self.map_channels):
            raise ValueError(
                f"{type(self).__name__}: expected a latent_width that is a multiple of pooling_heads and map_channels of map_groups, "
                f"got {self.latent_width} of {self.pooling_heads} and {self.map_channels} of {self.map_groups}; choose others"
            )


def time_waves(time: Tensor, width: int) -> Tensor:
    """Times [B] as cosines, then sines, of falling frequency: [B, width], with a 0 behind an odd width's (Vaswani et al. 2017)."""
    half = width // 2
    order = torch.arange(half, dtype=torch.float32, device=time.device)
    angle = time.float()[:, None] * torch.exp(order * (-math.log(PERIOD) / half))
    return F.pad(torch.cat([angle.cos(), angle.sin()], 1), (0, width % 2))


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of [B, heads, channels, length] tensors, channels first as convolutions have them; [B, heads, channels, queries]."""
    return F.scaled_dot_product_attention(query.mT, key.mT, value.mT).mT


class AttentionPooling(nn.Module):
    """Tokens to one vector: their mean, and what is learnt besides, attends to itself and to them. Keys as released."""

    def __init__(self, width: int, heads: int, *, operations=nn) -> None:
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.randn(1, width) / width**0.5)
        self.k_proj = operations.Linear(width, width)
        self.q_proj = operations.Linear(width, width)
        self.v_proj = operations.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, L, D] -> [B, D]."""
        first = tokens.mean(1, keepdim=True) + self.positional_embedding.to(tokens)
        everything = torch.cat([first, tokens], 1)

        def split(x: Tensor) -> Tensor:
            return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

        pooled = F.scaled_dot_product_attention(
            split(self.q_proj(first)), split(self.k_proj(everything)), split(self.v_proj(everything))
        )
        return pooled.flatten(1)


class ConditionedNetwork(nn.Module):
    """What base model and upsampler share: time and portrait as one vector, maps as tokens. Keys as released.

    Args:
        waves: width of the time's waves. embedding: width of the vector.
    """

    def __init__(self, config: ReadingConfig, waves: int, embedding: int, *, operations=nn) -> None:
        super().__init__()
        self.config, self.waves = config, waves
        self.time_embed = nn.Sequential(
            operations.Linear(waves, embedding), nn.SiLU(), operations.Linear(embedding, embedding)
        )
        width, patch = config.latent_width, config.latent_patch
        self.conv1 = operations.Conv2d(config.latent_channels, width, patch, stride=patch, bias=False)
        self.encoder_pooling = nn.Sequential(
            operations.LayerNorm(width),
            AttentionPooling(width, config.pooling_heads, operations=operations),
            operations.Linear(width, embedding),
            operations.LayerNorm(embedding),
        )
        for side, channels, patch in zip(
            config.map_sides, config.map_channels, config.map_patches, strict=True
        ):
            norm = operations.GroupNorm(config.map_groups, channels)
            projection = operations.Conv2d(channels, config.token_width, patch, stride=patch, bias=False)
            self.add_module(f"norm{side}", norm)
            self.add_module(f"vae_ms_feature_proj_{side}", projection)

    def embed(self, time: Tensor, latent_tokens: Tensor) -> Tensor:
        """The vector [B, E] of times [B] and a latent's tokens [B, L, D]."""
        waves = time_waves(time, self.waves).to(latent_tokens)
        return self.time_embed(waves) + self.encoder_pooling(latent_tokens)

    def latent_tokens(self, conditions: Conditions) -> Tensor:
        """The latent's patches, [B, L, D].

        Raises:
            ValueError: a latent of other channels, or smaller than a patch.
        """
        latent, patch = conditions.latent, self.config.latent_patch
        if latent.shape[1] != self.config.latent_channels or min(latent.shape[-2:]) < patch:
            raise ValueError(
                f"conditions: expected a latent [B, {self.config.latent_channels}, h, w] of at least {patch} x {patch}, "
                f"got {list(latent.shape)}; encode a larger portrait, or with the model's own autoencoder"
            )
        return self.conv1(latent * self.config.latent_scale).flatten(2).mT

    def map_tokens(self, conditions: Conditions, index: int) -> Tensor:
        """The patches of a map, by its place in the config: [B, D, L].

        Raises:
            ValueError: there is no such map, or one of other channels.
        """
        config = self.config
        tap, channels, patch = config.map_taps[index], config.map_channels[index], config.map_patches[index]
        maps, side = conditions.maps, config.map_sides[index]
        if tap >= len(maps) or maps[tap].shape[1] != channels or min(maps[tap].shape[2:]) < patch:
            raise ValueError(
                f"conditions: expected map {tap} to be [B, {channels}, H, W] of at least {patch} x {patch}, "
                f"got maps {[list(x.shape) for x in maps]}; tell those that the model's config names"
            )
        features = self.get_submodule(f"norm{side}")(maps[tap])
        return self.get_submodule(f"vae_ms_feature_proj_{side}")(features).flatten(2)
