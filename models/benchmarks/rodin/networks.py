"""The networks that `bench rodin --generate` judges: what ships, and the variants in the cache; those that are missing are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ...avatar.cascade import generate_coarse
from ...avatar.conditioning import portrait_conditions, portrait_image
from ...avatar.model import (
    AUTOENCODER,
    BASE_KIND,
    DECODER,
    DECODER_KIND,
    UPSAMPLER_KIND,
    AvatarModel,
    BaseFileConfig,
    avatar,
    check_bases,
    load_avatar,
)
from ...avatar.schedules import schedule_of
from ...avatar.shared_decoder import SharedDecoder, shared_decoder
from ...avatar.unet import BaseUNet
from ...bounds import configured
from ...checkpoint import build, read_with_facts, shipped
from ...diffusion.embedded import shipped_autoencoder
from ...diffusion.lora import fingerprint
from ...head import Head
from ...photo.alignment import AlignedPortrait
from ...training.avatar_variants import VARIANTS, variant_path

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

Draw = Callable[[AlignedPortrait, torch.Generator], Head]
SHIPS, ALONE = "what ships", "what ships, base model alone"
GUIDANCE = (1.0, 2.0, 4.0)  # beside the file's own; the paper has one value, 1.3, and no table of others
VARIANT_ROWS = {
    "linear": "linear schedule",
    "multi_scale": "strong schedule, multi-scale",
    "token": "one global token",
    "one_scale": "one scale",
    "naive": "high resolution at once, linear schedule",
}
UPSAMPLED = "multi_scale"  # the variant that is told fine planes, too, as "naive" is
TRAINED_BY = {BASE_KIND: "train avatar-base", UPSAMPLER_KIND: "train avatar-upsampler"}


@dataclass(frozen=True)
class BaseAlone:
    """A base model without an upsampler: its planes are the head's."""

    shared: SharedDecoder
    vae: AutoencoderKL
    network: BaseUNet
    file: BaseFileConfig

    @torch.no_grad()
    def head(self, portrait: AlignedPortrait, draws: torch.Generator) -> Head:
        """As `avatar`, of coarse planes; of equal draws, the same that the upsampler of a whole model is given."""
        file = self.file
        image = portrait_image(portrait, file.portrait.size)
        planes = generate_coarse(
            self.network,
            schedule_of(file.schedule),
            portrait_conditions(self.vae, image, file.portrait),
            draws,
            steps=file.steps,
            guidance_scale=file.guidance_scale,
        )
        return self.shared.head(self.shared.planes(planes))


@dataclass(frozen=True)
class Files:
    """Where networks lie. Attributes: decoder, base, upsampler: what ships, there or not. variants: those that are there, by name."""

    decoder: Path
    base: Path
    upsampler: Path
    variants: dict[str, Path]

    def missing(self) -> dict[str, str]:
        """Names of files that are not there, and what makes them."""
        ships = {
            kind: command
            for (kind, command), path in zip(TRAINED_BY.items(), (self.base, self.upsampler), strict=True)
            if not path.is_file()
        }
        rows = {
            variant_path(name).name: f"train avatar-base --variant {name} --steps N"
            for name in VARIANTS
            if name not in self.variants
        }
        return {f"{kind}.safetensors": command for kind, command in ships.items()} | rows


def files_present() -> Files:
    """The files of this checkout and of the cache; says which are missing.

    Raises:
        ValueError: no base model at all.
    """
    variants = {name: variant_path(name) for name in VARIANTS if variant_path(name).is_file()}
    files = Files(shipped(DECODER_KIND), shipped(BASE_KIND), shipped(UPSAMPLER_KIND), variants)
    if not files.base.is_file() and not variants:
        raise ValueError(
            f"bench rodin --generate: expected a base model, {files.base.name} among the weights that ship or a variant of it in the cache, "
            f"found none; run `{TRAINED_BY[BASE_KIND]}`"
        )
    for name, command in files.missing().items():
        print(f"{name} is missing, and its rows with it; `{command}` makes it", flush=True)
    return files


class Networks:
    """What files hold, each read when it is first asked for."""

    def __init__(self, files: Files) -> None:
        self.files = files

    @cached_property
    def shared(self) -> SharedDecoder:
        """The decoder of all rows."""
        return shared_decoder(self.files.decoder)

    @cached_property
    def vae(self) -> AutoencoderKL:
        """What tells all of them of portraits."""
        return shipped_autoencoder()

    def alone(self, path: Path) -> BaseAlone:
        """A base model's file.

        Raises:
            ValueError: as `load_avatar`.
        """
        values, state, facts = read_with_facts(path, BASE_KIND)
        file = configured(BaseFileConfig, values, BASE_KIND)
        what = f"{BASE_KIND} weights: {path.name}"
        check_bases(facts, {DECODER: fingerprint(self.shared), AUTOENCODER: fingerprint(self.vae)}, what)
        network = build(lambda: BaseUNet(file.network).requires_grad_(False).eval(), state, what)
        return BaseAlone(self.shared, self.vae, network, file)

    def whole(self, path: Path) -> AvatarModel:
        """A base model's file with the upsampler that ships.

        Raises:
            ValueError: as `load_avatar`.
        """
        return load_avatar(self.files.decoder, path, self.files.upsampler)

    def draws(self) -> dict[str, Draw]:
        """What makes avatars of portraits, by the row's name, of all files that are there; read at once."""
        files, rows = self.files, dict[str, Draw]()
        if files.base.is_file():
            rows[ALONE] = self.alone(files.base).head
            if files.upsampler.is_file():
                model = self.whole(files.base)
                rows[SHIPS] = told(model, None)
                rows |= {guided(scale): told(model, scale) for scale in GUIDANCE}
        for name, path in files.variants.items():
            rows[VARIANT_ROWS[name]] = self.alone(path).head
            if name == UPSAMPLED and files.upsampler.is_file():
                rows[f"{VARIANT_ROWS[name]}, upsampled"] = told(self.whole(path), None)
        return rows


def told(model: AvatarModel, guidance_scale: float | None) -> Draw:
    """A whole model at a guidance scale; None for its own."""
    return lambda portrait, draws: avatar(model, portrait, draws, guidance_scale=guidance_scale)


def guided(scale: float) -> str:
    """The row's name of what ships at a guidance scale."""
    return f"{SHIPS}, guidance {scale:g}"
