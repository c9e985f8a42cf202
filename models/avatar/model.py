"""A whole model of avatars out of its files: the decoder that all share, base model, upsampler. And an avatar of a portrait, or of nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, nn

from ..bounds import configured, integers, numbers
from ..checkpoint import build, json_entry, read_with_facts, shipped, write
from ..devices import placed
from ..diffusion.autoencoder import factor
from ..diffusion.embedded import shipped_autoencoder
from ..diffusion.lora import Fingerprint, fingerprint, fingerprint_from
from ..field.triplane import OURS
from ..head import Head
from ..photo.alignment import AlignedPortrait
from .cascade import AugmentationConfig, AvatarConfig, Cascade, generate
from .conditioning import Conditions, PortraitConfig, portrait_conditions, portrait_image
from .schedules import BASE, UPSAMPLER, ScheduleConfig
from .shared_decoder import KIND as DECODER_KIND
from .shared_decoder import SharedDecoder, shared_decoder
from .unet import BaseConfig, BaseUNet
from .upsampler import Upsampler, UpsamplerConfig

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

BASE_KIND, UPSAMPLER_KIND = "avatar_base", "avatar_upsampler"
KINDS = (DECODER_KIND, BASE_KIND, UPSAMPLER_KIND)
PATCHES = 64  # along a side of a latent or map, each a token that every place attends to (paper: 8)
DECODER, AUTOENCODER = "decoder", "autoencoder"  # what a network of the cascade was trained beside
Progress = Callable[[int, int, Head], None]  # steps done, of how many, the head so far
Part = TypeVar("Part")


@dataclass(frozen=True, kw_only=True)
class BaseFileConfig:
    """The config of a base model's file. Attributes: as those of `AvatarConfig`; network is its `base`. Parts may be plain values."""

    network: BaseConfig = field(default_factory=BaseConfig)
    schedule: ScheduleConfig = BASE
    portrait: PortraitConfig = field(default_factory=PortraitConfig)
    guidance_scale: float = 1.3
    steps: int = 10

    def __post_init__(self) -> None:
        _make_part(self, "network", BaseConfig)
        _make_part(self, "schedule", ScheduleConfig)
        _make_part(self, "portrait", PortraitConfig)
        numbers(self, guidance_scale=(0, 100))
        integers(self, steps=(1, self.schedule.count))


@dataclass(frozen=True, kw_only=True)
class UpsamplerFileConfig:
    """The config of an upsampler's file. Attributes: as those of `AvatarConfig`; network is its `upsampler`."""

    network: UpsamplerConfig = field(default_factory=UpsamplerConfig)
    schedule: ScheduleConfig = UPSAMPLER
    portrait: PortraitConfig = field(default_factory=PortraitConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    steps: int = 10

    def __post_init__(self) -> None:
        _make_part(self, "network", UpsamplerConfig)
        _make_part(self, "schedule", ScheduleConfig)
        _make_part(self, "portrait", PortraitConfig)
        _make_part(self, "augmentation", AugmentationConfig)
        integers(self, steps=(1, self.schedule.count))


def _make_part(config: object, name: str, kind: type[Part]) -> None:
    """Makes plain values of a config, as a file's JSON has them, a config of their kind."""
    part = getattr(config, name)
    if not isinstance(part, kind):
        object.__setattr__(config, name, configured(kind, part, f"avatar model's {name}"))


def joined(base: BaseFileConfig, upsampler: UpsamplerFileConfig) -> AvatarConfig:
    """The config of both files.

    Raises:
        ValueError: networks that read portraits in two ways; as `AvatarConfig`.
    """
    if base.portrait != upsampler.portrait:
        raise ValueError(
            f"avatar model: expected base model and upsampler to be told of a portrait alike, got {base.portrait} and "
            f"{upsampler.portrait}; choose files that were trained together"
        )
    return AvatarConfig(
        base=base.network,
        upsampler=upsampler.network,
        base_schedule=base.schedule,
        upsampler_schedule=upsampler.schedule,
        portrait=base.portrait,
        augmentation=upsampler.augmentation,
        guidance_scale=base.guidance_scale,
        base_steps=base.steps,
        upsampler_steps=upsampler.steps,
    )


@dataclass(frozen=True)
class AvatarModel:
    """Attributes: shared: the decoder, and how planes are brought to -1 .. 1. cascade: draws planes. vae: tells it of portraits."""

    shared: SharedDecoder
    cascade: Cascade
    vae: AutoencoderKL

    def __post_init__(self) -> None:
        planes, config = self.shared.config.field, self.cascade.config
        if planes.depth or planes.plane_axes != OURS or planes.channels != config.base.plane_channels:
            raise ValueError(
                f"avatar model: expected a decoder of planes {', '.join(OURS)} without slices, of {config.base.plane_channels} channels as the "
                f"networks draw them, got one of {', '.join(planes.plane_axes)}, {planes.depth} slices and {planes.channels} channels; "
                "choose files that were trained together"
            )
        for network in (config.base, config.upsampler):
            self._check_reading(network)

    def _check_reading(self, network: BaseConfig | UpsamplerConfig) -> None:
        """Raises ValueError unless a network can read what the autoencoder tells of a portrait."""
        portrait, vae = self.cascade.config.portrait, self.vae
        widths, blocks = vae.config["block_out_channels"], portrait.blocks
        if max(blocks, default=0) >= len(widths) or portrait.size % factor(vae):
            raise ValueError(
                f"avatar model: expected an autoencoder with blocks {blocks} that reads portraits of {portrait.size} pixels, got one with "
                f"{len(widths)} blocks, which reads multiples of {factor(vae)}; choose files made by this pack"
            )
        sides = [portrait.size >> min(i + 1, len(widths) - 1) for i in blocks]
        sources = [
            (vae.config["latent_channels"], portrait.size // factor(vae)),
            *((widths[blocks[tap]], sides[tap]) for tap in network.map_taps),
        ]
        patches = [
            (network.latent_channels, network.latent_patch),
            *zip(network.map_channels, network.map_patches, strict=True),
        ]
        if any(
            own != width or not 1 <= side // patch <= PATCHES
            for (width, side), (own, patch) in zip(sources, patches, strict=True)
        ):
            raise ValueError(
                f"avatar model: expected networks that read the autoencoder's latent and maps, of channels and sides {sources}, by up to "
                f"{PATCHES} patches a side, got ones that read channels and patches {patches}; choose files that were trained with this autoencoder"
            )

    def modules(self) -> list[nn.Module]:
        """All that is moved together."""
        return [self.shared, self.cascade, self.vae]

    def to(self, device: torch.device) -> AvatarModel:
        """The same, moved."""
        placed(self.vae, device)
        return AvatarModel(self.shared.to(device), self.cascade.to(device), self.vae)

    @torch.no_grad()
    def conditions(self, portrait: AlignedPortrait | None) -> Conditions:
        """What the cascade is told of a portrait, one row; without one, what stands for nobody."""
        config = self.cascade.config.portrait
        if portrait is not None:
            return portrait_conditions(self.vae, portrait_image(portrait, config.size), config)
        white = torch.ones(1, 3, config.size, config.size, device=self.vae.device)
        return portrait_conditions(self.vae, white, config).null()


@torch.no_grad()
def avatar(
    model: AvatarModel,
    portrait: AlignedPortrait | None,
    generator: torch.Generator,
    *,
    steps: int | None = None,
    guidance_scale: float | None = None,
    callback: Progress | None = None,
) -> Head:
    """Eqs. 1 and 2: the head of a portrait, or of nobody.

    Args:
        portrait: on the model's device; None for somebody new. generator: a CPU generator; by its seed, heads are the same.
        steps: of each stage, an upsampler's at most what it was trained with. guidance_scale: of the base model. None for the model's.
        callback: told the steps done, those of both stages, and the head so far: of coarse planes, then of fine ones. May raise to
            interrupt.

    Raises:
        ValueError: steps or guidance out of range, or a portrait of nothing.
    """
    if portrait is not None and portrait.mask.max() < 0.5:
        raise ValueError(
            "avatar: expected a mask with a foreground, got an empty one; wire a MASK in which the person is 1"
        )
    config = model.cascade.config
    if steps is not None:
        most = config.upsampler_schedule.count
        config = replace(config, base_steps=steps, upsampler_steps=min(steps, most))
    if guidance_scale is not None:
        config = replace(config, guidance_scale=guidance_scale)
    if portrait is None:
        config = replace(config, guidance_scale=1.0)  # there is nothing to be guided by

    def head(planes: Tensor) -> Head:
        return replace(model.shared.head(model.shared.planes(planes)), reference=portrait)

    def report(done: int, total: int, planes: Tensor) -> None:
        if callback is not None:
            callback(done, total, head(planes))

    return head(generate(model.cascade, model.conditions(portrait), generator, report, config))


def load_avatar(
    decoder: Path | None = None, base: Path | None = None, upsampler: Path | None = None
) -> AvatarModel:
    """A model of the files that come with the pack, or of a user's, frozen, on the CPU.

    Raises:
        ValueError: as `checkpoint.read_with_facts` and `build`; files that do not fit each other, or the autoencoder that ships.
    """
    shared, vae = shared_decoder(decoder), shipped_autoencoder()
    bases = {DECODER: fingerprint(shared), AUTOENCODER: fingerprint(vae)}
    path = base or shipped(BASE_KIND)
    values, state, facts = read_with_facts(path, BASE_KIND)
    first = configured(BaseFileConfig, values, BASE_KIND)
    check_bases(facts, bases, f"{BASE_KIND} weights: {path.name}")
    path = upsampler or shipped(UPSAMPLER_KIND)
    values, fine_state, facts = read_with_facts(path, UPSAMPLER_KIND)
    second = configured(UpsamplerFileConfig, values, UPSAMPLER_KIND)
    check_bases(facts, bases, f"{UPSAMPLER_KIND} weights: {path.name}")
    config = joined(first, second)
    whole = {f"base.{key}": value for key, value in state.items()}
    whole |= {f"upsampler.{key}": value for key, value in fine_state.items()}
    cascade = build(lambda: Cascade(config).requires_grad_(False).eval(), whole, "avatar model")
    return AvatarModel(shared, cascade, vae)


def save_base(
    path: Path, network: BaseUNet, config: BaseFileConfig, shared: SharedDecoder, vae: nn.Module, **facts: str
) -> None:
    """Write a base model in half precision, bound to the decoder and to the autoencoder that it was trained beside."""
    write(path, BASE_KIND, config, network, bases=_bases(shared, vae), **facts)


def save_upsampler(
    path: Path,
    network: Upsampler,
    config: UpsamplerFileConfig,
    shared: SharedDecoder,
    vae: nn.Module,
    **facts: str,
) -> None:
    """As `save_base`, an upsampler."""
    write(path, UPSAMPLER_KIND, config, network, bases=_bases(shared, vae), **facts)


def _bases(shared: SharedDecoder, vae: nn.Module) -> str:
    """What `check_bases` reads."""
    return json.dumps(
        {
            name: [own.layout, own.samples]
            for name, own in ((DECODER, fingerprint(shared)), (AUTOENCODER, fingerprint(vae)))
        }
    )


def check_bases(facts: dict[str, str], bases: dict[str, Fingerprint], what: str) -> None:
    """Whether a file's network was trained beside these networks: others give it planes and portraits that mean something else.

    Args:
        facts: the file's metadata. bases: by name, those that are here. what: the file's role and name, for errors.

    Raises:
        ValueError: it was trained beside others, or does not say beside which.
    """
    entries = json_entry(facts, "bases", what)
    for name, base in bases.items():
        own = fingerprint_from(entries.get(name) if isinstance(entries, dict) else entries, what)
        if not own.same(base):
            raise ValueError(
                f"{what}: expected the {name} that it was trained with, got another one; choose files that were trained together"
            )
