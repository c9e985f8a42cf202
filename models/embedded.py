"""The networks that ship, put together for the main path, on a device."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from .avatar.model import AvatarModel, load_avatar
from .checkpoint import read, shipped
from .diffusion.denoiser import DiffusersDenoiser
from .diffusion.embedded import shipped_unet
from .diffusion.embedded_zero123 import shipped_zero123
from .diffusion.hpdm import shipped_hpdm
from .diffusion.new_views import embedded_model
from .diffusion.turbo import Turbo
from .diffusion.turbo_weights import shipped_refiner
from .distillation.refinement import PRESETS as REFINEMENTS
from .distillation.restoration import Guides
from .metrics.vgg import load_vgg
from .photo.network import alignment_network_from
from .portrait import Weights
from .prior.contract import HeadGenerator
from .prior.detail_block import learnt_block
from .prior.discriminator import shipped_critic
from .prior.encoder import shipped_encoder
from .prior.families import load_generator
from .refinements import DistilledRefinement


def load_weights(device: torch.device, vgg: Path | None = None) -> Weights:
    """The networks that ship, and the user's VGG16 from a file, on a device."""
    aligner = alignment_network_from(*read(shipped("alignment"), "alignment"))
    prior, encoder, critic = load_generator(shipped("prior")), shipped_encoder(), shipped_critic()
    judge = None if vgg is None else load_vgg(vgg).to(device)
    return Weights(aligner.to(device), prior.to(device), encoder.to(device), critic.to(device), judge)


def avatar_on(device: torch.device) -> AvatarModel:
    """The model of avatars that ships, on a device."""
    return load_avatar().to(device)


def refiner_on(device: torch.device) -> Turbo:
    """The refiner that ships, on a device."""
    turbo = shipped_refiner()
    networks: list[nn.Module] = [turbo.vae, unet_of(turbo.denoiser)]
    for network in networks if turbo.skips is None else [*networks, turbo.skips]:
        network.to(device)
    return turbo


def unet_of(denoiser: object) -> nn.Module:
    """The network of a denoiser that calls it itself, as those that ship do.

    Raises:
        TypeError: it has another kind of network behind it.
    """
    if not isinstance(denoiser, DiffusersDenoiser):
        raise TypeError(
            f"unet_of: expected a DiffusersDenoiser, got {type(denoiser).__name__}; move its network by whatever holds it"
        )
    return denoiser.unet


def distillation_on(device: torch.device, prior: HeadGenerator, preset: str) -> DistilledRefinement:
    """Portrait Diffusion's stages with what ships, on a device."""
    base, zero123 = shipped_unet(), shipped_zero123()
    guides = Guides(embedded_model(base), zero123)
    network, block = shipped_hpdm(), learnt_block(prior.config.field)
    modules: list[nn.Module] = [guides.model.vae, base.unet, zero123, network]
    for module in modules:
        module.to(device)
    return DistilledRefinement(guides=guides, network=network, block=block, refinement=REFINEMENTS[preset])
