"""Stable Diffusion's two layouts of weights: LDM's, as in single files and ComfyUI, <-> diffusers'. Pure renaming, both ways.

Keys come without a prefix such as `model.diffusion_model.` or `first_stage_model.`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

State = dict[str, Tensor]
Pairs = list[tuple[str, str]]  # (diffusers, LDM), beginnings of keys

RESNET: Pairs = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
]
UNET_ENDS: Pairs = [
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
]
MID_ATTENTION: Pairs = [
    ("group_norm", "norm"),
    ("to_q", "q"),
    ("to_k", "k"),
    ("to_v", "v"),
    ("to_out.0", "proj_out"),
]


def _below(pair: tuple[str, str], inner: Pairs) -> Pairs:
    return [(f"{pair[0]}.{theirs}", f"{pair[1]}.{ldm}") for theirs, ldm in inner]


def _unet_pairs(levels: int, layers: int, attends_up: list[bool]) -> Pairs:
    """All beginnings of keys. Args: layers: per block. attends_up: which up blocks have attention."""
    pairs = list(UNET_ENDS)
    for b in range(levels):
        for i in range(layers):
            n = (layers + 1) * b + 1 + i
            pairs += _below((f"down_blocks.{b}.resnets.{i}", f"input_blocks.{n}.0"), RESNET)
            pairs.append((f"down_blocks.{b}.attentions.{i}", f"input_blocks.{n}.1"))
        pairs.append((f"down_blocks.{b}.downsamplers.0.conv", f"input_blocks.{(layers + 1) * (b + 1)}.0.op"))
        for i in range(layers + 1):
            n = (layers + 1) * b + i
            pairs += _below((f"up_blocks.{b}.resnets.{i}", f"output_blocks.{n}.0"), RESNET)
            if attends_up[b]:
                pairs.append((f"up_blocks.{b}.attentions.{i}", f"output_blocks.{n}.1"))
        last = (layers + 1) * b + layers
        pairs.append((f"up_blocks.{b}.upsamplers.0.conv", f"output_blocks.{last}.{1 + attends_up[b]}.conv"))
    pairs += _below(("mid_block.resnets.0", "middle_block.0"), RESNET) + _below(
        ("mid_block.resnets.1", "middle_block.2"), RESNET
    )
    return [*pairs, ("mid_block.attentions.0", "middle_block.1")]


def _vae_pairs(levels: int, layers: int) -> Pairs:
    shortcut = [
        ("conv_shortcut", "nin_shortcut"),
        *((name, name) for name in ("norm1", "conv1", "norm2", "conv2")),
    ]
    pairs: Pairs = [("quant_conv", "quant_conv"), ("post_quant_conv", "post_quant_conv")]
    for side in ("encoder", "decoder"):
        pairs += [(f"{side}.conv_in", f"{side}.conv_in"), (f"{side}.conv_out", f"{side}.conv_out")]
        pairs.append((f"{side}.conv_norm_out", f"{side}.norm_out"))
        pairs += _below((f"{side}.mid_block.attentions.0", f"{side}.mid.attn_1"), MID_ATTENTION)
        for i in range(2):
            pairs += _below((f"{side}.mid_block.resnets.{i}", f"{side}.mid.block_{i + 1}"), shortcut)
    for b in range(levels):
        up = levels - 1 - b  # LDM numbers the decoder's levels from the finest
        pairs.append((f"encoder.down_blocks.{b}.downsamplers.0.conv", f"encoder.down.{b}.downsample.conv"))
        pairs.append((f"decoder.up_blocks.{b}.upsamplers.0.conv", f"decoder.up.{up}.upsample.conv"))
        for i in range(layers):
            pairs += _below((f"encoder.down_blocks.{b}.resnets.{i}", f"encoder.down.{b}.block.{i}"), shortcut)
        for i in range(layers + 1):
            pairs += _below((f"decoder.up_blocks.{b}.resnets.{i}", f"decoder.up.{up}.block.{i}"), shortcut)
    return pairs


def _count(state: State, pattern: str) -> int:
    """How many numbers the first group of a pattern takes among the keys: 1 + the highest."""
    return 1 + max((int(match[1]) for key in state if (match := re.match(pattern, key))), default=-1)


def _renamed(state: State, names: dict[str, str], what: str) -> State:
    """Every key with its beginning, up to a dot, exchanged.

    Raises:
        ValueError: a key that the layout does not have.
    """
    result = {}
    for key, value in state.items():
        parts = key.split(".")
        ends = [n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in names]
        if not ends:
            raise ValueError(
                f"{what}: expected the layout of Stable Diffusion 1.x or 2.x, got a tensor {key}; choose such a model"
            )
        result[".".join([names[".".join(parts[: ends[0]])], *parts[ends[0] :]])] = value
    return result


def unet_to_ldm(state: State) -> State:
    """diffusers' keys of a UNet -> LDM's. Raises ValueError: not such a UNet."""
    levels, layers = (
        _count(state, r"down_blocks\.(\d+)\."),
        _count(state, r"down_blocks\.0\.resnets\.(\d+)\."),
    )
    attends = [any(key.startswith(f"up_blocks.{b}.attentions.") for key in state) for b in range(levels)]
    return _renamed(state, dict(_unet_pairs(levels, layers, attends)), "UNet")


def unet_to_diffusers(state: State) -> State:
    """LDM's keys of a UNet -> diffusers'. Raises ValueError: not such a UNet."""
    blocks = _count(state, r"input_blocks\.(\d+)\.")
    if not blocks:
        raise ValueError(
            "UNet: expected the layout of Stable Diffusion 1.x or 2.x, with keys such as input_blocks.0.0.weight; remove a prefix"
        )
    layers = next((n for n in range(1, blocks) if f"input_blocks.{n}.0.op.weight" in state), blocks) - 1
    levels = blocks // (layers + 1)
    outs = [range((layers + 1) * b, (layers + 1) * (b + 1)) for b in range(levels)]
    attends = [
        any(key.startswith(f"output_blocks.{n}.1.transformer_blocks.") for key in state for n in block)
        for block in outs
    ]
    return _renamed(state, {ldm: theirs for theirs, ldm in _unet_pairs(levels, layers, attends)}, "UNet")


def vae_to_ldm(state: State) -> State:
    """diffusers' keys of an AutoencoderKL -> LDM's, whose mid attention is made of 1x1 convolutions."""
    levels, layers = (
        _count(state, r"encoder\.down_blocks\.(\d+)\."),
        _count(state, r"encoder\.down_blocks\.0\.resnets\.(\d+)\."),
    )
    ours = _renamed(state, dict(_vae_pairs(levels, layers)), "VAE")
    return {
        key: value[..., None, None] if ".attn_1." in key and value.ndim == 2 else value
        for key, value in ours.items()
    }


def vae_to_diffusers(state: State) -> State:
    """LDM's keys of an AutoencoderKL -> diffusers', whose mid attention is made of linear layers."""
    levels, layers = (
        _count(state, r"encoder\.down\.(\d+)\."),
        _count(state, r"encoder\.down\.0\.block\.(\d+)\."),
    )
    ours = _renamed(state, {ldm: theirs for theirs, ldm in _vae_pairs(levels, layers)}, "VAE")
    return {
        key: value[..., 0, 0] if ".attentions." in key and value.ndim == 4 else value
        for key, value in ours.items()
    }


def autoencoder_from(
    state: State, scaling_factor: float = 0.18215, norm_num_groups: int = 32
) -> AutoencoderKL:
    """A diffusers autoencoder with the weights of either layout; all of its size that shapes tell is read from them.

    Raises:
        ValueError: not the layout of Stable Diffusion's VAE.
    """
    if any(key.startswith("encoder.down.") for key in state):
        state = vae_to_diffusers(state)
    levels, layers = (
        _count(state, r"encoder\.down_blocks\.(\d+)\."),
        _count(state, r"encoder\.down_blocks\.0\.resnets\.(\d+)\."),
    )
    if not levels or "decoder.conv_in.weight" not in state:
        raise ValueError(
            "VAE: expected the weights of Stable Diffusion's autoencoder, got another kind of VAE; choose its own, not a tiny one"
        )
    channels = [len(state[f"encoder.down_blocks.{b}.resnets.0.conv1.weight"]) for b in range(levels)]
    try:
        from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    except ImportError as error:
        raise ImportError(
            "autoencoder_from needs the package diffusers; install it with pip install diffusers"
        ) from error
    with torch.device("meta"):
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType] stub
            up_block_types=("UpDecoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType] stub
            block_out_channels=tuple(channels),  # pyright: ignore[reportArgumentType] stub
            layers_per_block=layers,
            latent_channels=state["decoder.conv_in.weight"].shape[1],
            norm_num_groups=norm_num_groups,
            scaling_factor=scaling_factor,
            use_quant_conv="quant_conv.weight" in state,
            use_post_quant_conv="post_quant_conv.weight" in state,
        )
    missing, unknown = set(vae.state_dict()) - set(state), set(state) - set(vae.state_dict())
    if missing or unknown:
        raise ValueError(
            f"VAE: expected Stable Diffusion's autoencoder, {min(missing or unknown)} is {'missing' if missing else 'unknown'}"
        )
    vae.load_state_dict(state, assign=True)
    return vae.eval().requires_grad_(False)
