"""The refiner's own weights in one file: LoRA of the UNet, LoRA of the decoder, skips. Bound to the base that they were trained on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..bounds import shown
from ..checkpoint import NO_KIND, json_entry, kind_of, load_into, read_tensors, save_tensors, shipped
from ..recognition import kind_of_file
from .autoencoder import Skips, skips_for
from .denoiser import Conditioning, DiffusersDenoiser
from .embedded import shipped_autoencoder, shipped_unet
from .lora import Fingerprint, Lora, check_base, fingerprint, fingerprint_from, merged, packed, unpacked
from .schedule import Schedule
from .turbo import Turbo, TurboConfig

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

KIND = "turbo"
UNET, VAE, SKIPS = "unet.", "vae.", "skips."
GAMMA = 1e3  # the most that a file may have of the skips' scale
TOKENS = 4096  # and of the prompt's length


@dataclass(frozen=True)
class TurboWeights:
    """What `train turbo` makes.

    Attributes:
        unet, vae: LoRAs of the base's UNet and autoencoder. skips: from its encoder to its decoder, or None.
        tokens: [1, L, D] the prompt that it was trained with. unet_base, vae_base: what they were trained on.
    """

    unet: Lora
    vae: Lora
    skips: Skips | None
    tokens: Tensor
    unet_base: Fingerprint
    vae_base: Fingerprint


def save_turbo(path: Path, weights: TurboWeights, **facts: str) -> None:
    """Write the file, in half precision."""
    tensors, scales = packed(Lora(weights.unet.below(UNET).updates | weights.vae.below(VAE).updates))
    tensors["tokens"] = weights.tokens
    gamma = None
    if weights.skips is not None:
        gamma = weights.skips.gamma
        tensors |= {SKIPS + key: value for key, value in weights.skips.state_dict().items()}
    bases = {
        name: [base.layout, base.samples]
        for name, base in (("unet", weights.unet_base), ("vae", weights.vae_base))
    }
    config = json.dumps(asdict(TurboConfig()))  # what it was trained for
    metadata = {
        "kind": KIND,
        "config": config,
        "scales": json.dumps(scales),
        "bases": json.dumps(bases),
        "gamma": json.dumps(gamma),
    }
    save_tensors(
        path,
        {key: value.detach().cpu().half().contiguous() for key, value in tensors.items()},
        metadata | facts,
    )


def load_turbo(path: Path, unet: nn.Module | dict[str, Tensor], vae: AutoencoderKL) -> TurboWeights:
    """The refiner's weights for this base.

    Raises:
        ValueError: as `read_tensors`; another kind of file; or made on another UNet or autoencoder.
    """
    state, metadata = read_tensors(path, "turbo refiner")
    if metadata.get("kind") != KIND:
        raise ValueError(
            f"turbo refiner: expected a file of kind {KIND}, but {Path(path).name} holds {kind_of(metadata, kind_of_file(path) or NO_KIND)}; "
            "choose one that `train turbo` wrote"
        )
    what = f"turbo refiner: {Path(path).name}"
    bases = json_entry(metadata, "bases", what)
    bases = {
        name: fingerprint_from(bases.get(name) if isinstance(bases, dict) else bases, what)
        for name in ("unet", "vae")
    }
    check_base(bases["unet"], fingerprint(unet), f"the UNet's part of {Path(path).name}")
    check_base(bases["vae"], fingerprint(vae), f"the autoencoder's part of {Path(path).name}")
    lora = unpacked(state, json_entry(metadata, "scales", what))
    gamma = _checked_gamma(json_entry(metadata, "gamma", what), what)
    tokens = _checked_tokens(state.get("tokens"), unet, what)
    skips = None
    if gamma is not None:
        skips = skips_for(vae, gamma).requires_grad_(False)
        load_into(
            skips,
            {key.removeprefix(SKIPS): value.float() for key, value in state.items() if key.startswith(SKIPS)},
            "turbo refiner",
        )
    return TurboWeights(
        lora.within(UNET), lora.within(VAE), skips, tokens.float(), bases["unet"], bases["vae"]
    )


def _checked_gamma(gamma: object, what: str) -> float | None:
    """The skips' scale of a file; raises ValueError unless it is a number or none."""
    if gamma is None:
        return None
    if isinstance(gamma, bool) or not isinstance(gamma, int | float) or not abs(gamma) <= GAMMA:
        raise ValueError(
            f"{what}: expected a gamma from {-GAMMA:g} to {GAMMA:g}, got {shown(gamma)}; choose a file made by this pack"
        )
    return gamma


def _checked_tokens(tokens: Tensor | None, unet: nn.Module | dict[str, Tensor], what: str) -> Tensor:
    """The prompt of a file; raises ValueError unless it is one that this UNet takes."""
    state = unet.state_dict() if isinstance(unet, nn.Module) else unet
    widths = {value.shape[1] for key, value in state.items() if key.endswith("attn2.to_k.weight")}
    if (
        tokens is None
        or tokens.ndim != 3
        or len(tokens) != 1
        or not 1 <= tokens.shape[1] <= TOKENS
        or not tokens.is_floating_point()
        or not tokens.isfinite().all()
        or not {tokens.shape[2]} >= widths
    ):
        form = (
            "none"
            if tokens is None
            else f"{list(tokens.shape)} of {str(tokens.dtype).removeprefix('torch.')}"
        )
        raise ValueError(
            f"{what}: expected finite tokens [1, L, {', '.join(map(str, sorted(widths)))}] with L up to {TOKENS}, got {form}; "
            "choose a file made by this pack"
        )
    return tokens


def refiner(
    weights: TurboWeights,
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    schedule: Schedule,
    config: TurboConfig | None = None,
) -> Turbo:
    """A refiner of merged copies of the base's networks: merging is done once, and nothing of the base is changed."""
    denoiser = DiffusersDenoiser(merged(unet, weights.unet), schedule)
    return Turbo(
        denoiser=denoiser,
        vae=merged(vae, weights.vae),
        conditioning=Conditioning(weights.tokens),
        skips=weights.skips,
        config=config or TurboConfig(),
    )


def shipped_refiner(path: Path | None = None, config: TurboConfig | None = None) -> Turbo:
    """The refiner that comes with the pack, or one of the user's on the embedded base, on the CPU."""
    base, vae = shipped_unet(), shipped_autoencoder()
    weights = load_turbo(path or shipped("turbo"), base.unet, vae)
    return refiner(weights, base.unet, vae, base.denoiser().schedule, config)
