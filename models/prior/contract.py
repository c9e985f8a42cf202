"""What every later stage may ask of a generator of heads, whatever its family, and no more; `families` has them.

A generator maps identity codes to styles, styles to planes, and reads planes as a field; it may super-resolve what that field shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from ..camera import frontal, label_from_camera
from ..field.triplane import FieldConfig, TriplaneField
from ..field.volume_rendering import RenderConfig

MEAN_CODES = 10_000  # that the mean of W is taken over, as StyleGAN2's projector does
TRUNCATION = 0.5  # of the other starts of an inversion, around that mean


class GeneratorSizes(Protocol):
    """What a generator's config, a dataclass, says to everybody.

    Attributes:
        z_dim: length of an identity code. w_dim: of a style. c_dim: of the camera label that its mapping takes, 0 for none.
        raw_resolution: pixels of a picture before super-resolution. field: how planes are read. render: how rays are sampled.
    """

    __dataclass_fields__: ClassVar[dict[str, Field]]

    @property
    def z_dim(self) -> int: ...
    @property
    def w_dim(self) -> int: ...
    @property
    def c_dim(self) -> int: ...
    @property
    def raw_resolution(self) -> int: ...
    @property
    def field(self) -> FieldConfig: ...
    @property
    def render(self) -> RenderConfig: ...


class HeadGenerator(Protocol):
    """A module that makes heads.

    Attributes:
        config: its sizes. decoder: features -> raw density and features. num_ws: rows of styles. resolution: pixels of the final picture.
        super_resolves: whether that is larger than, or other than, the raw one. has_background: whether it draws what is behind a head.
    """

    @property
    def config(self) -> GeneratorSizes: ...
    @property
    def decoder(self) -> nn.Module: ...
    @property
    def num_ws(self) -> int: ...
    @property
    def resolution(self) -> int: ...
    @property
    def super_resolves(self) -> bool: ...
    @property
    def has_background(self) -> bool: ...

    def mapping(
        self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """Codes [B, z_dim], labels [B, c_dim] where the family has them -> styles [B, num_ws, w_dim]."""
        ...

    def planes(self, ws: Tensor) -> Tensor:
        """Styles [B, num_ws, w_dim] -> planes [B, 3, C, (D,) H, W]."""
        ...

    def field(self, planes: Tensor, ws: Tensor | None = None) -> TriplaneField:
        """Planes [B, 3, C, (D,) H, W] as a field.

        Its colours need the styles ws [B, any, w_dim] where they have a layer of their own.
        """
        ...

    def colour_layer(self, ws: Tensor) -> tuple[Tensor, Tensor] | None:
        """What `TriplaneField.to_rgb` wants of styles [B, any, w_dim]."""
        ...

    def signed(self, features: Tensor) -> Tensor:
        """Composited features [B, F, R, R] as later layers take them."""
        ...

    def colours(self, features: Tensor, ws: Tensor) -> Tensor:
        """Signed features [B, F, R, R] -> the raw picture [B, 3, R, R], about -1 .. 1."""
        ...

    def behind(self, ws: Tensor, size: int) -> Tensor | None:
        """Features [B, F, size, size] of what is behind the heads of styles [B, num_ws, w_dim]; None where it draws none."""
        ...

    def rendering_label(self, z: Tensor, c: Tensor) -> Tensor:
        """The label [B, 25] of the camera that the whole model moves one of label c [B, 25] to, for codes z [B, z_dim]."""
        ...

    def super_resolve(self, rgb: Tensor, features: Tensor, ws: Tensor) -> Tensor:
        """Raw picture [B, 3, R, R], signed features [B, F, R, R] -> [B, 3, resolution, resolution], about -1 .. 1."""
        ...

    def super_resolve_piece(self, rgb: Tensor, features: Tensor, ws: Tensor) -> Tensor:
        """As `super_resolve`, for square pieces of the raw picture [B, 3, s, s] and features [B, F, s, s].

        Args:
            rgb, features: s is a multiple of 16 pixels, or the whole. ws: [B, num_ws, w_dim].

        Returns:
            [B, 3, S, S], S = s * resolution / raw_resolution.
        """
        ...

    def with_render(self, render: RenderConfig) -> HeadGenerator:
        """The same weights, whose rays are sampled otherwise."""
        ...

    def tuned_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Those that the picture of one head depends on, by name: what pivotal tuning moves."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]: ...
    def state_dict(self) -> dict[str, Tensor]:
        """Its tensors [...] of any shape, by name."""
        ...

    def requires_grad_(self, requires_grad: bool = True) -> HeadGenerator: ...
    def to(self, *args) -> HeadGenerator: ...


def conditioning(generator: HeadGenerator, codes: Tensor) -> Tensor | None:
    """The camera label [B, 25] that heads of codes [B, z_dim] are imagined for, or None for a family without.

    It is the frontal camera's, whichever camera renders: EG3D (Chan et al. 2022), section 4.3, keeps the two apart at inference, or the
    face would turn with the camera.
    """
    if not generator.config.c_dim:
        return None
    return label_from_camera(frontal()).to(codes).expand(len(codes), -1)


def styles(generator: HeadGenerator, codes: Tensor) -> Tensor:
    """Identity codes [B, z_dim] -> styles [B, num_ws, w_dim], imagined from the front where the family asks from where."""
    return generator.mapping(codes, conditioning(generator, codes))


@torch.no_grad()
def average_styles(generator: HeadGenerator) -> Tensor:
    """The mean style that a generator kept of its training, for every row: [1, num_ws, w_dim]."""
    code = next(generator.parameters()).new_zeros(1, generator.config.z_dim)
    return generator.mapping(code, conditioning(generator, code), psi=0.0)


@torch.no_grad()
def mean_styles(
    generator: HeadGenerator, draws: torch.Generator, like: Tensor, others: int = 7
) -> tuple[Tensor, float]:
    """The mean of W over MEAN_CODES codes, and `others` codes' styles drawn half-way to it: [1 + others, num_ws, w_dim].

    Args:
        draws: a CPU generator. like: whose device and type the codes take.

    Returns:
        Those, and the root of a style's mean squared distance from the mean, by which StyleGAN2's projector (Karras et al. 2020,
        appendix D) measures its noise.
    """
    codes = torch.randn(MEAN_CODES, generator.config.z_dim, generator=draws).to(like)
    parts = [styles(generator, part) for part in codes.split(256)]
    mean = torch.stack([part.sum(0) for part in parts]).sum(0, keepdim=True) / MEAN_CODES
    squares = torch.stack([(part - mean)[:, 0].square().sum() for part in parts]).sum()
    near = torch.lerp(mean, styles(generator, codes[:others]), TRUNCATION) if others else mean[:0]
    return torch.cat([mean, near]), float(squares / MEAN_CODES) ** 0.5
