"""BrushNet's branch: a UNet without attention whose every feature is handed, through a zero convolution, to a frozen UNet.

Ju et al. 2024, as released: no attention at all, neither cross nor self. Modules of diffusers under BrushNet's
key names, so that public files load.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import integer_tuple, integers, numbers
from .injection import layers_of

RESNET = re.compile(r"down_blocks\.([0-9]{1,3})\.resnets\.([0-9]{1,3})\.")  # level, layer
Merge = Callable[[int, Tensor], Tensor]  # (number of the tap, its feature) -> what takes the feature's place


@dataclass(frozen=True, kw_only=True)
class BranchConfig:
    """Size of a branch; that of the UNet which it feeds.

    Attributes:
        channels: per level. layers: ResNets per level on the way down. groups, eps: of the norms.
        latent_channels: of the noisy latents. condition_channels: of what comes beside them: a latent and a mask.
        added_time, added_text: Stable Diffusion XL's: width of the sines of each time id, of its pooled text; 0 for none.
    """

    channels: tuple[int, ...]
    layers: int = 2
    groups: int = 32
    eps: float = 1e-5
    latent_channels: int = 4
    condition_channels: int = 5
    added_time: int = 0
    added_text: int = 0

    def __post_init__(self) -> None:
        integers(self, layers=(1, 8), groups=(1, 256), latent_channels=(1, 64), condition_channels=(0, 256))
        integers(self, added_time=(0, 4096), added_text=(0, 16384))
        integer_tuple(self, "channels", count=(1, 8), each=(1, 4096))
        numbers(self, eps=(1e-12, 1))
        if any(c % self.groups for c in self.channels):
            raise ValueError(
                f"BranchConfig: expected levels with channels that are multiples of groups {self.groups}, got {self.channels}; "
                "take the UNet's"
            )

    def taps(self) -> list[int]:
        """Channels of every tap, on the way down, in the middle, on the way up; the order of all lists of features."""
        down = [self.channels[0]]
        for i, width in enumerate(self.channels):
            down += [width] * (self.layers + (i < len(self.channels) - 1))
        up = [
            width
            for i, width in enumerate(reversed(self.channels))
            for _ in range(self.layers + 1 + (i < len(self.channels) - 1))
        ]
        return [*down, self.channels[-1], *up]

    @property
    def down_taps(self) -> int:
        """Number of the middle's tap."""
        return 1 + len(self.channels) * (self.layers + 1) - 1


class Branch(nn.Module):
    """Noisy latents, a latent and a mask -> a feature at every tap."""

    def __init__(self, config: BranchConfig) -> None:
        from diffusers.models.embeddings import TimestepEmbedding, Timesteps
        from diffusers.models.unets.unet_2d_blocks import DownBlock2D, UNetMidBlock2D, UpBlock2D

        super().__init__()
        self.config = config
        widths = config.channels
        last = len(widths) - 1
        time = widths[0] * 4
        common = {
            "temb_channels": time,
            "resnet_eps": config.eps,
            "resnet_groups": config.groups,
            "resnet_act_fn": "silu",
        }
        self.conv_in_condition = nn.Conv2d(
            config.latent_channels + config.condition_channels, widths[0], 3, padding=1
        )
        self.time_proj = Timesteps(widths[0], flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(widths[0], time)
        if config.added_time:
            self.add_time_proj = Timesteps(config.added_time, flip_sin_to_cos=True, downscale_freq_shift=0)
            self.add_embedding = TimestepEmbedding(6 * config.added_time + config.added_text, time)
        self.down_blocks = nn.ModuleList(
            DownBlock2D(
                num_layers=config.layers,
                in_channels=widths[max(i - 1, 0)],
                out_channels=width,
                add_downsample=i < last,
                downsample_padding=1,
                **common,
            )
            for i, width in enumerate(widths)
        )
        self.mid_block = UNetMidBlock2D(in_channels=widths[-1], num_layers=1, add_attention=False, **common)
        self.up_blocks = nn.ModuleList(
            UpBlock2D(
                num_layers=config.layers + 1,
                in_channels=widths[max(i - 1, 0)],
                out_channels=width,
                prev_output_channel=widths[min(i + 1, last)],
                add_upsample=i > 0,
                **common,
            )
            for i, width in reversed(list(enumerate(widths)))
        )
        taps = config.taps()
        down = config.down_taps
        self.brushnet_down_blocks = nn.ModuleList(nn.Conv2d(c, c, 1) for c in taps[:down])
        self.brushnet_mid_block = nn.Conv2d(taps[down], taps[down], 1)
        self.brushnet_up_blocks = nn.ModuleList(nn.Conv2d(c, c, 1) for c in taps[down + 1 :])
        for conv in self.zero_convolutions():
            set_to_zero(conv)

    def zero_convolutions(self) -> list[nn.Conv2d]:
        """One a tap."""
        taps = (*self.brushnet_down_blocks, self.brushnet_mid_block, *self.brushnet_up_blocks)
        return [conv for conv in taps if isinstance(conv, nn.Conv2d)]

    def features(
        self,
        z: Tensor,
        t: Tensor,
        condition: Tensor,
        *,
        added: Mapping[str, Tensor] | None = None,
        merge: Merge | None = None,
    ) -> list[Tensor]:
        """The running hidden state at every tap, before the zero convolutions.

        Args:
            z: [B, C, h, w] noisy latents. t: [B]. condition: [B, D, h, w] what goes beside them.
            added: Stable Diffusion XL's `text_embeds` [B, T] and `time_ids` [B, 6].
            merge: what takes each feature's place, also for the layers behind it (Portrait Diffusion, eq. 8).

        Raises:
            ValueError: other channels than the branch takes.
        """
        channels = self.conv_in_condition.in_channels
        if z.shape[1] + condition.shape[1] != channels or z.shape[-2:] != condition.shape[-2:]:
            raise ValueError(
                f"branch: expected {channels} channels of one size, got latents {list(z.shape)} and condition {list(condition.shape)}; "
                "pass a latent and a mask of the latents' size"
            )
        taps: list[Tensor] = []

        def tap(feature: Tensor) -> Tensor:
            taps.append(feature if merge is None else merge(len(taps), feature))
            return taps[-1]

        embedding = self._embedding(t, z, added)
        x = tap(self.conv_in_condition(torch.cat([z, condition], 1)))
        skips = [x]
        for block in self.down_blocks:
            for layer in _resnets(block, embedding):
                x = tap(layer(x))
                skips.append(x)
            for downsampler in layers_of(block, "downsamplers"):
                x = tap(downsampler(x))
                skips.append(x)
        for layer in _resnets(self.mid_block, embedding):
            x = layer(x)
        x = tap(x)
        for block in self.up_blocks:
            for layer in _resnets(block, embedding):
                x = tap(layer(torch.cat([x, skips.pop()], 1)))
            for upsampler in layers_of(block, "upsamplers"):
                x = tap(upsampler(x, skips[-1].shape[-2:]))
        return taps

    def hand_over(self, features: list[Tensor], scale: float | Tensor = 1.0) -> list[Tensor]:
        """Features through their zero convolutions, times `scale` (one number, or one a tap)."""
        scales = torch.as_tensor(scale).expand(len(features)).tolist()
        return [
            conv(feature) * s
            for conv, feature, s in zip(self.zero_convolutions(), features, scales, strict=True)
        ]

    def forward(
        self,
        z: Tensor,
        t: Tensor,
        condition: Tensor,
        *,
        scale: float | Tensor = 1.0,
        added: Mapping[str, Tensor] | None = None,
    ) -> list[Tensor]:
        """What is added at every tap, each [B, taps()[i], h_i, w_i]; arguments as `features` and `hand_over`.

        Raises:
            ValueError: as `features`.
        """
        return self.hand_over(self.features(z, t, condition, added=added), scale)

    def _embedding(self, t: Tensor, like: Tensor, added: Mapping[str, Tensor] | None) -> Tensor:
        embedding = self.time_embedding(self.time_proj(t).to(like))
        if not self.config.added_time:
            return embedding
        if added is None:
            raise ValueError(
                "branch: expected text_embeds and time_ids, as Stable Diffusion XL has them, got none; pass `added`"
            )
        times = (
            self.add_time_proj(added["time_ids"].flatten()).unflatten(0, added["time_ids"].shape).flatten(1)
        )
        return embedding + self.add_embedding(torch.cat([added["text_embeds"], times.to(like)], -1))


def set_to_zero(conv: nn.Conv2d) -> None:
    """A convolution that hands nothing on yet."""
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def _resnets(block: nn.Module, embedding: Tensor) -> Iterator[Callable[[Tensor], Tensor]]:
    """A block's ResNets, which know their time."""
    for resnet in layers_of(block, "resnets"):
        yield lambda x, resnet=resnet: resnet(x, embedding)


def start_from_unet(branch: Branch, state: Mapping[str, Tensor]) -> None:
    """A UNet's own weights as a branch's first values, as BrushNet is initialised.

    Its input convolution serves the noisy and the other latent alike, the mask's channel is zero; attention is left out, and the zero
    convolutions stay zero.

    Args:
        state: of a diffusers UNet of the branch's size; its conv_in.weight is [channels[0], C, 3, 3].

    Raises:
        ValueError: a UNet of another size.
    """
    own = branch.state_dict()
    names = {key for key in own if not key.startswith(("conv_in_condition", "brushnet_"))}
    theirs = {key.replace("conv_in.", "conv_in_condition."): value for key, value in state.items()}
    mismatches = [key for key in names if key not in theirs or theirs[key].shape != own[key].shape]
    weight, bias = theirs.get("conv_in_condition.weight"), theirs.get("conv_in_condition.bias")
    C = branch.config.latent_channels
    if mismatches or weight is None or bias is None or weight.shape[:2] != (branch.config.channels[0], C):
        raise ValueError(
            f"branch: expected a UNet of its own size, but {sorted(mismatches)[:1] or ['conv_in.weight']} differs; take its config"
        )
    first = torch.zeros_like(own["conv_in_condition.weight"])
    for start in range(0, min(2 * C, first.shape[1]), C):
        first[:, start : start + C] = weight
    branch.load_state_dict(
        {
            **own,
            **{key: theirs[key] for key in names},
            "conv_in_condition.weight": first,
            "conv_in_condition.bias": bias.clone(),
        }
    )


def branch_config_of(state: Mapping[str, Tensor], groups: int = 32) -> BranchConfig:
    """The size of a branch by the weights of a BrushNet's file, such as the public ones for Stable Diffusion 1.5 and XL.

    Args:
        state: by BrushNet's names; conv_in_condition.weight is [channels[0], 4 + condition_channels, k, k].
        groups: of the norms, which weights do not tell.

    Raises:
        ValueError: not a BrushNet's weights.
    """
    resnets = [match.groups() for key in state if (match := RESNET.match(key))]
    levels = range(len({level for level, _ in resnets}))
    first, xl = state.get("conv_in_condition.weight"), state.get("add_embedding.linear_1.weight")
    convs = [state.get(f"down_blocks.{level}.resnets.0.conv2.weight") for level in levels]
    widths = [len(conv) for conv in convs if conv is not None and conv.ndim == 4]
    if (
        not convs
        or len(widths) < len(convs)
        or first is None
        or first.ndim != 4
        or (xl is not None and xl.ndim != 2)
    ):
        raise ValueError(
            "branch: expected a BrushNet's weights (conv_in_condition, down_blocks, brushnet_*), got others; "
            "choose BrushNet's diffusion_pytorch_model.safetensors"
        )
    latents = 4
    time, text = (256, xl.shape[1] - 6 * 256) if xl is not None else (0, 0)
    return BranchConfig(
        channels=tuple(widths),
        layers=len({layer for level, layer in resnets if level == "0"}),
        groups=max(min(groups, widths[0]), 1),
        latent_channels=latents,
        condition_channels=first.shape[1] - latents,
        added_time=time,
        added_text=text,
    )


def known_mask(hole: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask that is white where something is to be painted -> 1 on known cells, 0 in the hole, at the latents' size.

    Args:
        hole: [B, 1, H, W] in [0, 1].

    Returns:
        [B, 1, h, w].
    """
    mask = (2 * hole - 1 < 0).to(hole)  # from [0, 1] to [-1, 1], as the reference decides
    return F.interpolate(mask, size=size, mode="nearest")


def masked_image(image: Tensor, hole: Tensor) -> Tensor:
    """Pictures [B, 3, H, W] in [-1, 1] with the hole [B, 1, H, W] black."""
    return torch.where(2 * hole - 1 < 0, image, -1.0)


def guess_scales(count: int, scale: float = 1.0) -> Tensor:
    """[count] weights of all taps, from a tenth to one in even steps of their logarithm: BrushNet's guess mode."""
    return torch.logspace(-1, 0, count) * scale
