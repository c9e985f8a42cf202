"""Difix (Wu et al. 2025) as its authors publish it, as a refiner: a UNet of SD-Turbo's size, fine-tuned whole, and an autoencoder with a
LoRA and skips from its encoder to its decoder.

Read from its folder's safetensors; the Python files beside them are neither read nor run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ..checkpoint import assigned, load_into, read_tensors
from .autoencoder import Skips, skips_for
from .embedded import library
from .lora import Lora, merge_, read_peft
from .stable_diffusion import autoencoder_from
from .turbo import TurboConfig

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

DECODER, SKIP = "decoder.", "decoder.skip_conv_"
PROMPT = "remove degradation"
CONFIG = TurboConfig(t=199, r=0.0)  # what it was trained at, without noise
HEAD = 64  # channels of an attention head, as Stable Diffusion 2.x's
GAMMA = 1.0


@dataclass(frozen=True)
class DifixAutoencoder:
    """Attributes: vae: with its LoRA merged. skips: likewise."""

    vae: AutoencoderKL
    skips: Skips


def difix_autoencoder(state: Mapping[str, Tensor], *, groups: int = 32) -> DifixAutoencoder:
    """Of Difix' `vae/diffusion_pytorch_model.safetensors`, or the same after peft has been merged; frozen, float32, on the CPU.

    Args:
        state: diffusers' names of an AutoencoderKL, `decoder.skip_conv_1` .. `_4` [out, in, 1, 1], and peft's of a LoRA. groups: of its
            norms, which weights do not tell.

    Raises:
        ValueError: it has no skips, or others than its size needs; or as `read_peft` and `autoencoder_from`.
    """
    has_lora = any(".lora_" in key for key in state)
    lora = read_peft(dict(state)) if has_lora else Lora({})
    base = {
        key.replace(".base_layer.", "."): value.float() for key, value in state.items() if ".lora_" not in key
    }
    own = {key.removeprefix(DECODER): value for key, value in base.items() if key.startswith(SKIP)}
    if not own:
        raise ValueError(
            "difix: expected an autoencoder with skips (decoder.skip_conv_1 and further), got one without; choose the one in Difix' folder vae"
        )
    vae = autoencoder_from(
        {key: value for key, value in base.items() if not key.startswith(SKIP)}, norm_num_groups=groups
    )
    skips = skips_for(vae, GAMMA).requires_grad_(False).eval()
    load_into(skips, own, "difix")
    merge_(vae, lora.without(SKIP))
    merge_(skips, lora.within(DECODER).within("skip_conv_").below("skip_conv_"))
    return DifixAutoencoder(vae, skips)


def unet_from(state: Mapping[str, Tensor], *, head: int = HEAD, groups: int = 32) -> UNet2DConditionModel:
    """A stock diffusers UNet with such weights, in their precision; all of its size that shapes tell is read from them.

    Args:
        state: diffusers' names of a UNet2DConditionModel of Stable Diffusion 2.x, conv_in.weight [channels, C, 3, 3]. head: channels of an
            attention head. groups: of its norms.

    Raises:
        ValueError: not such a UNet's weights.
    """
    first, last = state.get("conv_in.weight"), state.get("conv_out.weight")
    levels = [level for level in range(8) if f"down_blocks.{level}.resnets.0.conv2.weight" in state]
    attends = [f"down_blocks.{level}.attentions.0.proj_in.weight" in state for level in levels]
    widths = {value.shape[1] for key, value in state.items() if key.endswith("attn2.to_k.weight")}
    if first is None or last is None or not levels or len(widths) != 1:
        raise ValueError(
            "difix: expected the weights of a UNet in diffusers' layout (conv_in, down_blocks, attn2), got others; choose Difix' folder, with "
            "unet/diffusion_pytorch_model.safetensors in it"
        )
    channels = tuple(len(state[f"down_blocks.{level}.resnets.0.conv2.weight"]) for level in levels)
    projection = next(value for key, value in state.items() if key.endswith(".proj_in.weight"))
    layers = sum(f"down_blocks.0.resnets.{layer}.conv2.weight" in state for layer in range(8))
    network = library().UNet2DConditionModel
    return assigned(
        lambda: (
            network(
                in_channels=first.shape[1],
                out_channels=len(last),
                block_out_channels=channels,
                layers_per_block=layers,
                norm_num_groups=groups,
                cross_attention_dim=widths.copy().pop(),
                attention_head_dim=tuple(max(width // head, 1) for width in channels),  # pyright: ignore[reportArgumentType] stub
                use_linear_projection=projection.ndim == 2,
                down_block_types=tuple("CrossAttnDownBlock2D" if one else "DownBlock2D" for one in attends),
                up_block_types=tuple(
                    "CrossAttnUpBlock2D" if one else "UpBlock2D" for one in reversed(attends)
                ),
            )
            .requires_grad_(False)
            .eval()
        ),
        dict(state),
        "difix",
    )


def read_difix(vae: Path) -> tuple[DifixAutoencoder, UNet2DConditionModel | None]:
    """Both of a folder, by its autoencoder's file; no UNet where `../unet` has none, for a MODEL stands in its place then.

    Raises:
        ValueError: as `read_tensors`, `difix_autoencoder` and `unet_from`.
    """
    autoencoder = difix_autoencoder(read_tensors(vae, "difix")[0])
    unet = vae.parent.parent / "unet" / vae.name
    whole = vae.parent.name == "vae" and unet.is_file()
    return autoencoder, unet_from(read_tensors(unet, "difix")[0]) if whole else None
