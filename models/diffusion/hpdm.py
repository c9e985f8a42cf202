"""HPDM, the Hybrid Priors Diffusion Model of Portrait Diffusion: a frozen denoiser told what another view knows of this one.

Explicitly: what the driving view shows, projected to the target view, through BrushNet's branch (eqs. 6, 7). Implicitly: a second branch
sees the driving view's latent whole; its features are projected and merged into the first one's (eq. 8). Geometry: the coarse render and
its normals are merged into the projected latent (eq. 9). What the paper leaves open: models/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bounds import configured, flags, integers, numbers
from ..checkpoint import assigned, read_tensors, shipped_network
from ..projection import Projector, map_size
from .brushnet import Branch, BranchConfig, Merge, branch_config_of, set_to_zero
from .denoiser import Conditioning, InjectedDenoiser
from .schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class HpdmConfig:
    """Parts of an HPDM.

    Attributes:
        branch: size of both branches, the UNet's. geometry, implicit: whether it has these parts.
        hidden: channels inside the geo-block. kernel: pixels of the first convolution where features merge; the second's are 3.
        weight: w^Ex of eq. 7.
    """

    branch: BranchConfig
    geometry: bool = True
    implicit: bool = True
    hidden: int = 32
    kernel: int = 3
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.branch, BranchConfig):  # from a file's metadata
            object.__setattr__(self, "branch", configured(BranchConfig, self.branch, "hpdm", "of a branch "))
        integers(self, hidden=(0, 4096), kernel=(0, 16))
        numbers(self, weight=(-1e3, 1e3))
        flags(self, "geometry", "implicit")
        if self.hidden < 1 or self.kernel not in (1, 3):
            raise ValueError(
                f"HpdmConfig: expected hidden channels and a kernel of 1 or 3, got {self.hidden} and {self.kernel}"
            )


class Warp:
    """B driving views' surfaces and target cameras; where each map's cells come from is found once a size.

    Args:
        projectors: one a row. indices: those at hand before: (h, w) -> int64 [B, h, w].
    """

    def __init__(
        self, projectors: Sequence[Projector] = (), indices: Mapping[tuple[int, int], Tensor] | None = None
    ) -> None:
        self.projectors = tuple(projectors)
        self.indices = dict(indices or {})

    def __len__(self) -> int:
        return len(self.projectors) or len(next(iter(self.indices.values()), ()))

    def index(self, size: tuple[int, int]) -> Tensor:
        """int64 [B, h, w], -1 in the void."""
        if size not in self.indices:
            self.indices[size] = torch.stack([projector.splat(size).index for projector in self.projectors])
        return self.indices[size]

    def __call__(self, features: Tensor) -> Tensor:
        """Features [B, C, h, w] of the driving views as the targets see them, 0 in the void."""
        index = self.index(map_size(features)).to(features.device).flatten(1)[:, None]
        values = features.flatten(2).gather(2, index.clamp_min(0).expand(-1, features.shape[1], -1))
        return torch.where(index >= 0, values, 0).unflatten(2, features.shape[-2:])


@dataclass(frozen=True)
class Priors:
    """What an HPDM is told of B target views.

    Attributes:
        projected: [B, C, h, w] scaled latent of the driving view as the target sees it, black where nothing is known.
        known: [B, 1, h, w], 1 where something is.
        geometry: [B, 2C, h, w] scaled latents of the coarse render and of its normals; None where the HPDM has no geo-block.
        driver: [B, C, h, w] scaled latent of the driving view; warp: to the targets. None where the HPDM has no implicit branch.
        masked: [B, C, h, w] as projected, but grey where nothing is known; None where the base does not inpaint.
    """

    projected: Tensor
    known: Tensor
    geometry: Tensor | None = None
    driver: Tensor | None = None
    warp: Warp | None = None
    masked: Tensor | None = None

    def __len__(self) -> int:
        return len(self.projected)

    def geometry_for(self, z: Tensor) -> Tensor:
        """The geo-block's latents [B, 2C, h, w] beside noisy ones [B, C, h, w].

        Raises:
            ValueError: there are none, or others.
        """
        shape = (len(z), 2 * z.shape[1], *z.shape[2:])
        if self.geometry is None or self.geometry.shape != shape:
            form = "none" if self.geometry is None else str(list(self.geometry.shape))
            raise ValueError(
                f"hpdm: expected latents {list(shape)} of a coarse render and its normals for the geo-block, got {form}; render the head at "
                "the size of the views"
            )
        return self.geometry.to(z)

    def driver_for(self, z: Tensor) -> tuple[Tensor, Warp]:
        """The implicit branch's latents [B, C, h, w] beside noisy ones of that shape, and their way to the targets.

        Raises:
            ValueError: there are none, or others.
        """
        if (
            self.driver is None
            or self.warp is None
            or self.driver.shape != z.shape
            or len(self.warp) != len(z)
        ):
            shape = "none" if self.driver is None else str(list(self.driver.shape))
            rows = "none" if self.warp is None else len(self.warp)
            raise ValueError(
                f"hpdm: expected the driving view's latents {list(z.shape)} and as many projections for the implicit branch, got {shape} and "
                f"{rows}; encode the driving view with the model's own VAE"
            )
        return self.driver.to(z), self.warp


class Fusion(nn.Module):
    """Two features of one tap -> the first, changed by what both say; unchanged at first (eq. 8)."""

    def __init__(self, channels: int, groups: int, kernel: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, 2 * channels)
        self.conv1 = nn.Conv2d(2 * channels, channels, kernel, padding=kernel // 2)
        self.norm2 = nn.GroupNorm(groups, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        set_to_zero(self.conv2)

    def forward(self, explicit: Tensor, implicit: Tensor) -> Tensor:
        """[B, C, h, w] both."""
        x = self.conv1(F.silu(self.norm1(torch.cat([explicit, implicit], 1))))
        return explicit + self.conv2(F.silu(self.norm2(x)))


class GeoBlock(nn.Module):
    """Projected latent, latents of render and normals -> the projected latent, changed; unchanged at first (eq. 9)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3 * channels, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv3 = nn.Conv2d(hidden, channels, 3, padding=1)
        set_to_zero(self.conv3)

    def forward(self, projected: Tensor, geometry: Tensor) -> Tensor:
        """[B, C, h, w], [B, 2C, h, w] -> [B, C, h, w]."""
        x = F.silu(self.conv1(torch.cat([projected, geometry], 1)))
        return projected + self.conv3(F.silu(self.conv2(x)))


class Hpdm(nn.Module):
    """Noisy latents and priors -> what is added at every tap of the frozen UNet."""

    def __init__(self, config: HpdmConfig) -> None:
        super().__init__()
        self.config = config
        branch = config.branch
        self.explicit = Branch(branch)
        self.geometry = GeoBlock(branch.latent_channels, config.hidden) if config.geometry else None
        self.implicit = Branch(branch) if config.implicit else None
        self.fusions = (
            nn.ModuleList(Fusion(c, branch.groups, config.kernel) for c in branch.taps())
            if config.implicit
            else None
        )
        if self.implicit is not None:
            for conv in (
                self.implicit.zero_convolutions()
            ):  # its features are merged before any; there because it is a copy of the other
                conv.requires_grad_(False)

    def forward(
        self,
        z: Tensor,
        t: Tensor,
        priors: Priors,
        *,
        weight: float | None = None,
        geometry: bool = True,
        implicit: bool = True,
    ) -> list[Tensor]:
        """What is added at every tap.

        Args:
            z: [B, C, h, w] noisy latents of the targets. t: [B]. weight: w^Ex; None for the config's.
            geometry, implicit: whether these parts, where there are any, take part.

        Raises:
            ValueError: priors of other rows, or without a part that this HPDM needs.
        """
        if priors.projected.shape != z.shape or priors.known.shape != (len(z), 1, *z.shape[-2:]):
            raise ValueError(
                f"hpdm: expected projected latents {list(z.shape)} and a known mask with one channel, got "
                f"{list(priors.projected.shape)} and {list(priors.known.shape)}; encode with the model's own VAE"
            )
        projected, known = priors.projected.to(z), priors.known.to(z)
        merge = self._merge(z, t, priors) if implicit else None
        if geometry and self.geometry is not None:
            projected = self.geometry(projected, priors.geometry_for(z))
        features = self.explicit.features(z, t, torch.cat([projected, known], 1), merge=merge)
        return self.explicit.hand_over(features, self.config.weight if weight is None else weight)

    def _merge(self, z: Tensor, t: Tensor, priors: Priors) -> Merge | None:
        """How the implicit branch's features join the explicit one's; None where there is no such branch."""
        if self.implicit is None or self.fusions is None:
            return None
        fusions = self.fusions
        driver, warp = priors.driver_for(z)
        known = torch.ones_like(
            priors.known.to(z)
        )  # the driving view is known whole; a slice's strides would round otherwise
        implicit = [warp(feature) for feature in self.implicit.features(z, t, torch.cat([driver, known], 1))]
        return lambda tap, explicit: fusions[tap](explicit, implicit[tap])


@dataclass(frozen=True)
class HpdmDenoiser:
    """A denoiser that is told: the one contract again.

    Attributes:
        base: frozen. network: on the device and in the precision that it works in. priors: of B rows; a batch of k B rows holds the same
            latents k times, as guidance makes it. weight: w^Ex; None for the network's.
    """

    base: InjectedDenoiser
    network: Hpdm
    priors: Priors
    weight: float | None = None
    latent_channels: int = field(init=False)
    schedule: Schedule = field(init=False)

    def __post_init__(self) -> None:
        check_fits(self.network, self.base)
        object.__setattr__(self, "latent_channels", self.base.latent_channels)
        object.__setattr__(self, "schedule", self.base.schedule)

    def __call__(self, z: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        """As `Denoiser`'s: the noise in z [k B, C, h, w] at t [k B], k repetitions of B targets.

        Raises:
            ValueError: no whole repetitions; or as the base and `Hpdm`.
        """
        B = len(self.priors)
        if len(z) % B:
            raise ValueError(
                f"hpdm: expected whole repetitions of {B} targets, got {len(z)} rows; pass one row a target"
            )
        dtype = next(self.network.parameters()).dtype
        features = self.network(z[:B].to(dtype), t[:B], self.priors, weight=self.weight)
        features = [feature.repeat(len(z) // B, 1, 1, 1) for feature in features]
        return self.base.told(features)(z, t, conditioning)


def load_branches(path: Path) -> Hpdm:
    """Branches of a file: those of `train hpdm`, or a BrushNet's, which becomes an explicit branch alone, in the file's precision.

    Frozen, on the CPU.

    Raises:
        ValueError: as `checkpoint.read` and `check_state`; a file of neither kind, BrushNet for Stable Diffusion XL, or PowerPaint's.
    """
    tensors, metadata = read_tensors(path, "hpdm")
    if "kind" in metadata:
        return shipped_hpdm(path)
    branch = branch_config_of(tensors)
    if any(".attentions." in key for key in tensors):
        raise ValueError(
            f"hpdm: expected BrushNet's branches, which have no attention, got PowerPaint v2's in {path.name}; use "
            "BrushNet's random_mask or segmentation_mask for Stable Diffusion 1.5"
        )
    if branch.added_time:
        raise ValueError(
            f"hpdm: expected branches for Stable Diffusion 1.x or 2.x, got BrushNet for XL in {path.name}; use another"
        )
    config = HpdmConfig(branch=branch, geometry=False, implicit=False)
    dtype = tensors["conv_in_condition.weight"].dtype  # one of all, where a file should mix them
    explicit = {f"explicit.{key}": value.to(dtype) for key, value in tensors.items()}
    return assigned(lambda: Hpdm(config).requires_grad_(False).eval(), explicit, path.name)


def check_fits(network: Hpdm, denoiser: InjectedDenoiser) -> None:
    """Raises ValueError unless branches were made for a UNet of this denoiser's size."""
    branch = network.config.branch
    channels, layers = denoiser.size
    if branch.latent_channels != denoiser.latent_channels:
        raise ValueError(
            f"hpdm: expected branches for latents of {denoiser.latent_channels} channels, got some for {branch.latent_channels}; "
            "use branches and diffusion model of one family"
        )
    if (branch.channels, branch.layers) != (tuple(channels), layers):
        raise ValueError(
            f"hpdm: expected branches for a UNet with {list(channels)} channels and {layers} layers, got some for {list(branch.channels)} and "
            f"{branch.layers}; use those made for this model"
        )


def shipped_hpdm(path: Path | None = None) -> Hpdm:
    """The branches that come with the pack, or others of their kind, frozen, on the CPU."""
    return shipped_network("hpdm", HpdmConfig, Hpdm, path)
