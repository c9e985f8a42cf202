"""What all avatars share: the decoder, the mean of their planes, and how planes are brought to the range that diffusion works in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..bounds import configured, numbers
from ..checkpoint import shipped_network
from ..field.decoders import decoder_of
from ..field.triplane import FieldConfig
from ..head import Head
from .fitting import resized

KIND = "avatar_decoder"


@dataclass(frozen=True, kw_only=True)
class SharedDecoderConfig:
    """Attributes: field: of all planes; its resolution is the mean planes' own. scale: diffused planes are scale times planes less their mean.

    The paper diffuses the planes as they are: a mean of zeros, and scale 1.
    """

    field: FieldConfig = field(default_factory=FieldConfig)
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.field, FieldConfig):
            object.__setattr__(self, "field", configured(FieldConfig, self.field, "avatar decoder's field"))
        numbers(self, scale=(1e-3, 1e3))


class SharedDecoder(nn.Module):
    """The decoder of RodinHD's section 3.1, and mean planes [1, 3, C, (D,) R, R]."""

    mean: Tensor

    def __init__(self, config: SharedDecoderConfig, *, operations=torch.nn) -> None:
        super().__init__()
        self.config = config
        self.decoder = decoder_of(config.field, operations=operations)
        self.register_buffer("mean", torch.zeros(1, *config.field.planes_shape))

    def normalised(self, planes: Tensor) -> Tensor:
        """Fitted planes [B, 3, C, (D,) r, r] -> what diffusion learns, -1 .. 1."""
        return ((planes - resized(self.mean, planes.shape[-1])) * self.config.scale).clamp(-1, 1)

    def planes(self, normal: Tensor) -> Tensor:
        """The inverse: diffused planes [B, 3, C, (D,) r, r] -> planes that the decoder reads."""
        return resized(self.mean, normal.shape[-1]) + normal / self.config.scale

    def head(self, planes: Tensor) -> Head:
        """A head of planes [1, 3, C, (D,) r, r] that the decoder reads."""
        return Head(planes, self.decoder, replace(self.config.field, resolution=planes.shape[-1]))


def shared_decoder(path: Path | None = None) -> SharedDecoder:
    """The decoder that comes with the pack, or one from a file, frozen, on the CPU.

    Raises:
        ValueError: as `checkpoint.shipped_network`.
    """
    return shipped_network(KIND, SharedDecoderConfig, SharedDecoder, path)
