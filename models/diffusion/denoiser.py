"""The one contract of all denoisers: scaled noisy latents, timesteps and conditioning in, predicted noise out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from .injection import diffusers_sites, injected
from .schedule import Schedule, noise_from
from .view_mixing import check_rows, view_mixing

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


@dataclass(frozen=True)
class Conditioning:
    """What a denoiser is told beside the latents.

    Attributes:
        tokens: [B, L, D] for cross-attention. concat: [B, C, h, w] latents that go beside the noisy ones (Zero-123's), or None.
    """

    tokens: Tensor
    concat: Tensor | None = None

    def __post_init__(self) -> None:
        if self.tokens.ndim != 3 or (
            self.concat is not None and (self.concat.ndim != 4 or len(self.concat) != len(self.tokens))
        ):
            raise ValueError(
                "Conditioning: expected tokens [B, L, D] and concat [B, C, h, w] or None, got "
                f"{list(self.tokens.shape)} and {None if self.concat is None else list(self.concat.shape)}; one row each per latent"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    @staticmethod
    def cat(*parts: Conditioning) -> Conditioning:
        """Rows of several, one below the other.

        Raises:
            ValueError: one has concat latents where another has none.
        """
        concats = [part.concat for part in parts if part.concat is not None]
        if len(concats) not in (0, len(parts)):
            raise ValueError(
                f"Conditioning.cat: expected concat latents in all of {len(parts)} parts or in none, got {len(concats)}"
            )
        return Conditioning(
            torch.cat([part.tokens for part in parts]), torch.cat(concats) if concats else None
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> Conditioning:
        return Conditioning(change(self.tokens), None if self.concat is None else change(self.concat))

    def rows(self, index: Tensor | slice) -> Conditioning:
        """Some of the rows: their numbers [N], a mask [B] bool, or a slice."""
        return self._each(lambda value: value[index])

    def repeated(self, rows: int) -> Conditioning:
        """One row for each of a batch's, where there is one for all.

        Raises:
            ValueError: neither one row nor as many.
        """
        if len(self) not in (1, rows):
            raise ValueError(
                f"conditioning: expected 1 row or {rows}, one per latent, got {len(self)}; repeat it"
            )
        return self._each(lambda value: value.expand(rows, *value.shape[1:]))

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Conditioning:
        """Elsewhere, in another precision."""
        return self._each(lambda value: value.to(device, dtype))


class Denoiser(Protocol):
    """What every later stage sees.

    Attributes:
        schedule: of its timesteps. latent_channels: C of its latents.
    """

    @property
    def schedule(self) -> Schedule: ...

    @property
    def latent_channels(self) -> int: ...

    def __call__(self, z: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """The noise in z [B, C, h, w] (scaled, variance preserving) at t [B] int64, whatever the network predicts: [B, C, h, w]."""
        ...


class ViewDenoiser(Denoiser, Protocol):
    """A denoiser whose rows can be views of one thing."""

    def mixed(self, views: int) -> ViewDenoiser:
        """The same denoiser, in which `views` adjacent rows of a batch see each other in self-attention."""
        ...


class InjectedDenoiser(Denoiser, Protocol):
    """A denoiser into which a branch can feed.

    Attributes:
        size: of its UNet: channels of every level, and ResNets a level.
        extra_channels: that it takes beside the latents, as an inpainting model or a Zero-123 does; 0 for none.
    """

    @property
    def size(self) -> tuple[tuple[int, ...], int]: ...

    @property
    def extra_channels(self) -> int: ...

    def told(self, features: Sequence[Tensor]) -> InjectedDenoiser:
        """The same denoiser, whose UNet adds a feature [B, C, h, w] at every tap; their order is `brushnet.BranchConfig.taps`'."""
        ...


def guided(
    denoiser: Denoiser,
    z: Tensor,
    t: Tensor,
    conditional: Conditioning,
    unconditional: Conditioning,
    guidance_scale: float,
) -> Tensor:
    """Classifier-free guidance, uncond + s (cond - uncond) (Ho & Salimans 2022), in one call with 2B rows.

    Args:
        z: [B, C, h, w] scaled noisy latents. t: [B] int64. conditional, unconditional: B rows each.

    Returns:
        [B, C, h, w], the guided noise.
    """
    both = denoiser(torch.cat([z, z]), torch.cat([t, t]), Conditioning.cat(unconditional, conditional))
    uncond, cond = both.chunk(2)
    return uncond + guidance_scale * (cond - uncond)


def check_latents(z: Tensor, t: Tensor, conditioning: Conditioning, channels: int) -> None:
    """What both backs expect of their arguments.

    Args:
        z: [B, channels, h, w]. t: [B] int64. conditioning: B rows.

    Raises:
        ValueError: latents of other channels, or not one timestep and one conditioning for each.
    """
    if z.ndim != 4 or z.shape[1] != channels:
        raise ValueError(
            f"denoiser: expected latents [B, {channels}, h, w], got {list(z.shape)}; encode with the model's own VAE"
        )
    if t.shape != z.shape[:1] or t.dtype != torch.int64:
        raise ValueError(
            f"denoiser: expected timesteps [{len(z)}] int64, got {list(t.shape)} {t.dtype}; one per latent"
        )
    if len(conditioning) != len(z):
        raise ValueError(
            f"denoiser: expected {len(z)} rows of conditioning, got {len(conditioning)}; one per latent"
        )


def check_beside(z: Tensor, conditioning: Conditioning, channels: int) -> None:
    """What goes beside latents z [B, C, h, w] has the channels that the UNet takes.

    Raises:
        ValueError: it has others.
    """
    own = 0 if conditioning.concat is None else conditioning.concat.shape[1]
    if own != channels:
        raise ValueError(
            f"denoiser: the UNet takes {z.shape[1] + channels} channels, got {z.shape[1]} of latents and {own} beside them; "
            "give the conditioning that the model was trained with"
        )


@dataclass(frozen=True)
class DiffusersDenoiser:
    """A diffusers UNet behind the contract.

    Attributes:
        unet: the network, on the device and in the precision that it works in.
        schedule: how it was trained. views: adjacent rows that see each other. features: added at the UNet's taps.
    """

    unet: UNet2DConditionModel
    schedule: Schedule
    views: int = 1
    features: tuple[Tensor, ...] | None = None

    @property
    def latent_channels(self) -> int:
        return self.unet.config["out_channels"]

    @property
    def size(self) -> tuple[tuple[int, ...], int]:
        return tuple(self.unet.config["block_out_channels"]), self.unet.config["layers_per_block"]

    @property
    def extra_channels(self) -> int:
        return self.unet.config["in_channels"] - self.latent_channels

    def mixed(self, views: int) -> DiffusersDenoiser:
        return replace(self, views=views)

    def told(self, features: Sequence[Tensor]) -> DiffusersDenoiser:
        """As `InjectedDenoiser.told`: features [B, C, h, w], one a tap."""
        return replace(self, features=tuple(features))

    def __call__(self, z: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """As `Denoiser`'s: the noise in z [B, C, h, w] at t [B] int64, in z's precision: [B, C, h, w].

        Raises:
            ValueError: as `check_latents`; no whole groups of views; conditioning of other channels than the
                UNet takes.
        """
        check_latents(z, t, conditioning, self.latent_channels)
        check_rows(len(z), self.views)
        x = z if conditioning.concat is None else torch.cat([z, conditioning.concat.to(z)], 1)
        check_beside(z, conditioning, self.extra_channels)
        dtype = self.unet.dtype
        with view_mixing(self.unet, self.views), injected(lambda: diffusers_sites(self.unet), self.features):
            output = self.unet(x.to(dtype), t, conditioning.tokens.to(x.device, dtype)).sample
        return noise_from(self.schedule, output.to(z.dtype), z, t)
