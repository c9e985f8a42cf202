"""SphereHead: PanoHead's generator on the planes of two spheres.

SphereHead (Li et al. 2024), section 3: the backbone makes one map, which two layers each turn into the planes of a sphere; see
`field.spheres` for how these are read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..bounds import integers
from .config import GeneratorConfig
from .panohead import PanoHeadGenerator


@dataclass(frozen=True, kw_only=True)
class SphereHeadConfig(GeneratorConfig):
    """As `GeneratorConfig`, with a field on spheres.

    Attributes:
        map_channels: of the backbone's map. mixed_channels: between the two layers that make planes of it.
    """

    map_channels: int = 512
    mixed_channels: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        integers(self, map_channels=(1, 4096), mixed_channels=(1, 4096))
        if not self.field.spheres or self.mean_resolution:
            raise ValueError(
                f"SphereHeadConfig: expected a field on spheres and no mean_resolution, got spheres {self.field.spheres} and "
                f"{self.mean_resolution}; fix the checkpoint's config"
            )

    @property
    def map_rows(self) -> int:
        """Channels of the map that the backbone makes, which become planes."""
        return self.map_channels


class Mix(nn.Module):
    """A 1 x 1 convolution with equalised learning rate, without bias and activation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))

    def matrix(self) -> Tensor:
        """[outputs, inputs], as it acts."""
        return self.weight[:, :, 0, 0] * self.weight.shape[1] ** -0.5


class SphereMix(nn.Sequential):
    """Two such layers, which make one sphere's planes of the map."""

    def __init__(self, inputs: int, mixed: int, outputs: int) -> None:
        super().__init__(Mix(inputs, mixed), Mix(mixed, outputs))

    def matrix(self) -> Tensor:
        """Both at once, for nothing comes between them: [outputs, inputs]."""
        first, second = (layer.matrix() for layer in self if isinstance(layer, Mix))
        return second @ first


class SphereHeadGenerator(PanoHeadGenerator):
    """PanoHead's generator whose planes are two spheres'."""

    config: SphereHeadConfig

    def __init__(self, config: SphereHeadConfig, *, operations=torch.nn) -> None:
        super().__init__(config, operations=operations)
        sizes = config.map_channels, config.mixed_channels, 3 * config.field.channels
        self.ConvA, self.ConvB = SphereMix(*sizes), SphereMix(*sizes)

    def planes(
        self,
        ws: Tensor,
        noise_mode: str = "const",
        *,
        generator: torch.Generator | None = None,
        stop: int | None = None,
    ) -> Tensor:
        """ws [B, num_ws, w_dim] -> [B, 3, C, 2, H, W], the last but two a sphere; stop: as `SynthesisNetwork`'s."""
        image = self.backbone.synthesis(ws, noise_mode, generator=generator, stop=stop)
        mixtures = torch.stack([self.ConvA.matrix(), self.ConvB.matrix()], 1)  # [3 * C, 2, map_channels]
        rows = mixtures.to(image.dtype).unflatten(0, (3, -1))
        flat = rows.flatten(0, 2) @ image.flatten(2)
        return flat.unflatten(2, image.shape[2:]).unflatten(1, self.config.field.planes_shape[:-2])
