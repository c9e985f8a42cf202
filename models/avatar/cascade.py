"""RodinHD's cascade: a portrait's conditions to coarse planes, and on to fine ones (eqs. 1, 4 and 5; sections 3.2 and 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import configured, integers, numbers
from ..diffusion.schedule import Schedule
from .conditioning import Conditions, PortraitConfig
from .planes import PLANES, roll_in, roll_out
from .schedules import BASE, UPSAMPLER, ScheduleConfig, guided_noise, sample, sampling_steps, schedule_of
from .unet import BaseConfig, BaseUNet
from .upsampler import Upsampler, UpsamplerConfig

Progress = Callable[[int, int, Tensor], None]  # steps done, of how many, clean planes [B, 3, C, H, W] so far
Part = TypeVar("Part")
REACH = 4.0  # sigmas of a blur's kernel


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """How coarse planes are spoilt for the upsampler's training, so that a base model's faults are known to it (section 4.2).

    The paper names no numbers; chances and noise are the released code's, the rest is ours.

    Attributes:
        blur_chance: of a row. blur: most of its sigma, texels. shrink_chance: of a row. shrink: most of how much it is shrunk before it is
            enlarged again.
        least_noise, most_noise: standard deviation, in planes of -1 .. 1.
        inference_noise: the one that generated planes get: a level of the training's, so that the upsampler takes them as its own.
    """

    blur_chance: float = 0.25
    blur: float = 2.0
    shrink_chance: float = 0.5
    shrink: float = 2.0
    least_noise: float = 5 / 255
    most_noise: float = 25 / 255
    inference_noise: float = 5 / 255

    def __post_init__(self) -> None:
        numbers(
            self,
            blur_chance=(0, 1),
            blur=(0.1, 64),
            shrink_chance=(0, 1),
            shrink=(1, 64),
            least_noise=(0, 10),
            most_noise=(0, 10),
            inference_noise=(0, 10),
        )
        if self.least_noise > self.most_noise:
            raise ValueError(
                f"AugmentationConfig: expected least_noise up to most_noise, got {self.least_noise} and {self.most_noise}; order them so"
            )


@dataclass(frozen=True, kw_only=True)
class AvatarConfig:
    """A whole model of avatars; the defaults are the paper's. Parts may be plain values, as a file's JSON has them.

    Attributes:
        base, upsampler: the networks. base_schedule, upsampler_schedule: how they were trained. portrait: how they are told of one.
        augmentation: of coarse planes. guidance_scale: of the base model; the upsampler has none. base_steps, upsampler_steps: of sampling.
    """

    base: BaseConfig = field(default_factory=BaseConfig)
    upsampler: UpsamplerConfig = field(default_factory=UpsamplerConfig)
    base_schedule: ScheduleConfig = BASE
    upsampler_schedule: ScheduleConfig = UPSAMPLER
    portrait: PortraitConfig = field(default_factory=PortraitConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    guidance_scale: float = 1.3
    base_steps: int = 10
    upsampler_steps: int = 10

    def __post_init__(self) -> None:
        self._part("base", BaseConfig)
        self._part("upsampler", UpsamplerConfig)
        self._part("base_schedule", ScheduleConfig)
        self._part("upsampler_schedule", ScheduleConfig)
        self._part("portrait", PortraitConfig)
        self._part("augmentation", AugmentationConfig)
        numbers(self, guidance_scale=(0, 100))
        integers(
            self,
            base_steps=(1, self.base_schedule.count),
            upsampler_steps=(1, self.upsampler_schedule.count),
        )
        predictions = (self.base_schedule.prediction, self.upsampler_schedule.prediction)
        # beside a predicted sample no variance is learnt
        if predictions[0] == "sample" or predictions[1] != "sample":
            raise ValueError(
                f"AvatarConfig: expected a base model that predicts epsilon or v_prediction and an upsampler that predicts sample, got {predictions}; "
                "choose such schedules"
            )
        coarse, fine = self.base, self.upsampler
        if coarse.plane_channels != fine.plane_channels or coarse.size > fine.size:
            raise ValueError(
                "AvatarConfig: expected planes of as many channels from both networks, and finer ones from the upsampler, got "
                f"{coarse.plane_channels} x {coarse.size} and {fine.plane_channels} x {fine.size}; choose networks that belong together"
            )
        taps = max((*coarse.map_taps, *fine.map_taps, -1))
        if taps >= len(self.portrait.blocks):
            raise ValueError(
                f"AvatarConfig: expected at least {taps + 1} maps of the portrait, got blocks {self.portrait.blocks}; name more blocks"
            )

    def _part(self, name: str, kind: type[Part]) -> None:
        """Makes plain values a config of their kind."""
        part = getattr(self, name)
        if not isinstance(part, kind):
            object.__setattr__(self, name, configured(kind, part, f"avatar model's {name}"))


class Cascade(nn.Module):
    """Both networks under one state dict, as a weights file holds them: `base.` and `upsampler.`."""

    def __init__(self, config: AvatarConfig, *, operations=nn) -> None:
        super().__init__()
        self.config = config
        self.base = BaseUNet(config.base, operations=operations)
        self.upsampler = Upsampler(config.upsampler, operations=operations)


def generate(
    cascade: Cascade,
    conditions: Conditions,
    generator: torch.Generator,
    callback: Progress | None = None,
    config: AvatarConfig | None = None,
) -> Tensor:
    """Eq. 1: fine planes [B, 3, C, H, W] in -1 .. 1 of portraits, by the config's steps and guidance.

    Args:
        conditions: one row for each avatar; `null()` for avatars of nobody.
        generator: of all noise, drawn on its device; by its seed, planes are the same.
        callback: told the steps done, those of both stages together, and the clean planes so far: coarse ones, then fine ones. May raise to
            interrupt.
        config: the cascade's with other steps or guidance; None for its own.

    Raises:
        ValueError: conditions that the networks do not read.
    """
    config = config or cascade.config
    total = config.base_steps + config.upsampler_steps

    coarse = generate_coarse(
        cascade.base,
        schedule_of(config.base_schedule),
        conditions,
        generator,
        steps=config.base_steps,
        guidance_scale=config.guidance_scale,
        callback=_later(callback, 0, total),
    )
    noise = draw_noise(coarse.shape, generator, coarse)
    return generate_fine(
        cascade.upsampler,
        schedule_of(config.upsampler_schedule),
        coarse + config.augmentation.inference_noise * noise,
        conditions,
        generator,
        steps=config.upsampler_steps,
        callback=_later(callback, config.base_steps, total),
    )


@torch.no_grad()
def generate_coarse(
    base: BaseUNet,
    schedule: Schedule,
    conditions: Conditions,
    generator: torch.Generator,
    *,
    steps: int = 10,
    guidance_scale: float = 1.3,
    callback: Progress | None = None,
) -> Tensor:
    """The base model's planes [B, 3, C, h, h] in -1 .. 1, float32; as `generate`.

    Raises:
        ValueError: as `BaseUNet.forward`, or steps outside 1 .. T.
    """
    B, C, size = len(conditions), base.config.plane_channels, base.config.size
    weight = base.conv1.weight
    portraits = conditions.to(weight.device, weight.dtype)
    pairs = portraits.beside(portraits.null())

    def predict(z: Tensor, time: Tensor) -> Tensor:
        z = z.to(weight.dtype)
        if guidance_scale == 1:
            return base(z, time, portraits)[:, :C].float()
        conditional, unconditional = base(torch.cat([z, z]), torch.cat([time, time]), pairs).float().chunk(2)
        return guided_noise(conditional, unconditional, guidance_scale, C)

    noise = draw_noise((B, C, size, PLANES * size), generator, weight)
    return roll_in(
        sample(schedule, predict, noise, sampling_steps(schedule, steps), generator, _unrolled(callback))
    )


@torch.no_grad()
def generate_fine(
    upsampler: Upsampler,
    schedule: Schedule,
    coarse: Tensor,
    conditions: Conditions,
    generator: torch.Generator,
    *,
    steps: int = 10,
    callback: Progress | None = None,
) -> Tensor:
    """The upsampler's planes [B, 3, C, H, H] in -1 .. 1, float32, of coarse ones [B, 3, C, h, h]; as `generate`, without guidance.

    Raises:
        ValueError: as `Upsampler.forward`, or steps outside 1 .. T.
    """
    B, C, size = len(conditions), upsampler.config.plane_channels, upsampler.config.size
    weight = upsampler.conv1.weight
    portraits, low = conditions.to(weight.device, weight.dtype), roll_out(coarse).to(weight)

    def predict(z: Tensor, time: Tensor) -> Tensor:
        return upsampler(z.to(weight.dtype), time, low, portraits).float()

    noise = draw_noise((B, C, size, PLANES * size), generator, weight)
    return roll_in(
        sample(schedule, predict, noise, sampling_steps(schedule, steps), generator, _unrolled(callback))
    )


def _later(callback: Progress | None, offset: int, total: int) -> Progress | None:
    """A callback of a stage that begins after `offset` of `total` steps."""
    if callback is None:
        return None
    return lambda done, _, planes: callback(offset + done, total, planes)


def _unrolled(callback: Progress | None) -> Progress | None:
    """A callback that is told planes, not wide images."""
    return None if callback is None else lambda done, count, wide: callback(done, count, roll_in(wide))


def draw_noise(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    """Normal noise [...] in float32, drawn on the generator's device and moved to that of `like` [...]."""
    return torch.randn(shape, generator=generator, device=generator.device).to(like.device)


def spoil(coarse: Tensor, config: AugmentationConfig, generator: torch.Generator) -> Tensor:
    """Coarse planes [B, 3, C, h, h] as a base model might have made them: some blurred, some shrunk and enlarged again, all noisy.

    Each row has its own draws; its planes share them.

    Raises:
        ValueError: no planes.
    """
    if coarse.ndim != 5 or coarse.shape[1] != PLANES:
        raise ValueError(
            f"spoil: expected coarse planes [B, 3, C, h, h], got {list(coarse.shape)}; resize fitted planes to the base model's size"
        )
    draws = torch.rand(len(coarse), 5, generator=generator, device=generator.device).tolist()
    rows = []
    for planes, (blur_draw, sigma, shrink_draw, factor, level) in zip(coarse, draws, strict=True):
        if blur_draw < config.blur_chance:
            planes = blurred(planes, 0.1 + sigma * (config.blur - 0.1))
        if shrink_draw < config.shrink_chance:
            side = planes.shape[-1]
            small = max(round(side / (1 + factor * (config.shrink - 1))), 1)
            planes = F.interpolate(planes, size=(small, small), mode="bilinear", antialias=True)
            planes = F.interpolate(planes, size=(side, side), mode="bicubic", align_corners=False)
        noise = draw_noise(planes.shape, generator, planes).to(planes)
        spread = config.least_noise + level * (config.most_noise - config.least_noise)
        rows.append(planes + spread * noise)
    return torch.stack(rows)


def blurred(planes: Tensor, sigma: float) -> Tensor:
    """Planes [3, C, h, w] under a Gaussian of sigma texels; edges are repeated beyond themselves."""
    radius = max(round(REACH * sigma), 1)
    x = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(planes)
    padded = F.pad(planes, (radius,) * 4, mode="replicate").flatten(0, 1)[:, None]
    smooth = F.conv2d(F.conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return smooth.view_as(planes)
