"""The networks that ship, put together for the main path, on a device."""

from __future__ import annotations

from pathlib import Path

import torch

from .checkpoint import read, shipped
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


def refiner_on(device: torch.device) -> Turbo:
    """The refiner that ships, on a device."""
    turbo = shipped_refiner()
    for network in (turbo.vae, turbo.denoiser.unet, turbo.skips):
        if network is not None:
            network.to(device)
    return turbo


def distillation_on(device: torch.device, prior: HeadGenerator, preset: str) -> DistilledRefinement:
    """Portrait Diffusion's stages with what ships, on a device."""
    guides, network, block = (
        Guides(embedded_model(), shipped_zero123()),
        shipped_hpdm(),
        learnt_block(prior.config.field),
    )
    for module in (guides.model.vae, guides.model.denoiser.unet, guides.zero123, network):
        module.to(device)
    return DistilledRefinement(guides=guides, network=network, block=block, refinement=REFINEMENTS[preset])
