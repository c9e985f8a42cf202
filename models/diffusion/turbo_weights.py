"""The refiner's own weights in one file: LoRA of the UNet, LoRA of the decoder, skips. Bound to the base that they were trained on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ..checkpoint import load_into, read_tensors, save_tensors, shipped
from .autoencoder import Skips, skips_for
from .denoiser import Conditioning, DiffusersDenoiser
from .embedded import shipped_autoencoder, shipped_unet
from .lora import Fingerprint, Lora, check_base, fingerprint, merged, packed, unpacked
from .schedule import Schedule
from .turbo import Turbo, TurboConfig

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel

KIND = "turbo"
UNET, VAE, SKIPS = "unet.", "vae.", "skips."


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
    bases = {name: [base.layout, base.samples] for name, base in (("unet", weights.unet_base), ("vae", weights.vae_base))}
    config = json.dumps(asdict(TurboConfig()))  # what it was trained for
    metadata = {"kind": KIND, "config": config, "scales": json.dumps(scales), "bases": json.dumps(bases), "gamma": json.dumps(gamma)}
    save_tensors(path, {key: value.detach().cpu().half().contiguous() for key, value in tensors.items()}, metadata | facts)


def load_turbo(path: Path, unet: nn.Module, vae: AutoencoderKL) -> TurboWeights:
    """The refiner's weights for this base.

    Raises:
        ValueError: as `read_tensors`; another kind of file; or made on another UNet or autoencoder.
    """
    state, metadata = read_tensors(path, "turbo refiner")
    if metadata.get("kind") != KIND:
        raise ValueError(
            f"turbo refiner: expected a file of kind {KIND}, but {Path(path).name} holds {metadata.get('kind', 'no kind of ours')}; "
            "choose one that `train turbo` wrote"
        )
    bases = {name: Fingerprint(layout, tuple(samples)) for name, (layout, samples) in json.loads(metadata["bases"]).items()}
    check_base(bases["unet"], fingerprint(unet), f"the UNet's part of {Path(path).name}")
    check_base(bases["vae"], fingerprint(vae), f"the autoencoder's part of {Path(path).name}")
    lora, gamma = unpacked(state, json.loads(metadata["scales"])), json.loads(metadata["gamma"])
    skips = None
    if gamma is not None:
        skips = skips_for(vae, gamma).requires_grad_(False)
        load_into(skips, {key.removeprefix(SKIPS): value.float() for key, value in state.items() if key.startswith(SKIPS)}, "turbo refiner")
    return TurboWeights(lora.within(UNET), lora.within(VAE), skips, state["tokens"].float(), bases["unet"], bases["vae"])


def refiner(
    weights: TurboWeights, unet: UNet2DConditionModel, vae: AutoencoderKL, schedule: Schedule, config: TurboConfig | None = None
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
