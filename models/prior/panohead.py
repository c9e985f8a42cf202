"""PanoHead: what it adds to EG3D for heads seen from all around.

PanoHead (An et al. 2023), section 3: tri-grids (see `FieldConfig.depth`), a background of its own behind the head, colours read
off the features by a layer of their own, and a learned correction of the camera.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .config import GeneratorConfig
from .eg3d import Generator, resized
from .stylegan2 import MappingNetwork, SynthesisNetwork, ToRGB


class PanoHeadGenerator(Generator):
    """EG3D's generator with a background, a colour layer and a camera offset, each where the config has it."""

    def __init__(self, config: GeneratorConfig, *, operations=torch.nn) -> None:
        super().__init__(config, operations=operations)
        F = config.field.features
        self.torgb = ToRGB(F, 3, config.w_dim, operations=operations) if config.raw_rgb else None
        self.bcg_synthesis = None
        if config.background:
            self.bcg_synthesis = SynthesisNetwork(
                config.w_dim,
                config.feature_resolution,
                F,
                channel_base=config.channel_base // 2,
                channel_max=config.channel_max,
                clamp=config.conv_clamp,
                operations=operations,
            )
        self.t_mapping = None
        if config.camera_offset:
            self.t_mapping = MappingNetwork(
                config.z_dim,
                config.c_dim,
                3,
                1,
                num_layers=config.mapping_layers,
                embed_features=config.embed_features,
                layer_features=config.layer_features,
                rate=1.0,
                linear_end=True,
                operations=operations,
            )

    def colour_layer(self, ws: Tensor) -> tuple[Tensor, Tensor] | None:
        """Matrix [B, 3, F] and bias [3] of the colour layer for styles [B, any, w_dim], where there is one."""
        return None if self.torgb is None else (self.torgb.matrix(ws[:, -1]), self.torgb.bias)

    def colours(self, features: Tensor, ws: Tensor) -> Tensor:
        """As EG3D's, or through the colour layer: [B, F, R, R] and ws [B, any, w_dim] -> [B, 3, R, R]."""
        return features[:, :3] if self.torgb is None else self.torgb(features, ws[:, -1])

    def background(self, ws: Tensor, noise_mode: str = "const") -> Tensor:
        """Styles [B, any, w_dim], the first ones count -> features [B, F, S, S] of the backdrop, about -1 .. 1.

        Raises:
            ValueError: the generator has no background.
        """
        synthesis = self.bcg_synthesis
        if synthesis is None:
            raise ValueError(
                "background: expected a generator with a background, got one without; compose its features as they are"
            )
        rows = torch.arange(synthesis.num_ws, device=ws.device).clamp(max=ws.shape[1] - 1)
        return synthesis(ws[:, rows], noise_mode)

    @property
    def has_background(self) -> bool:
        """Whether `behind` draws something."""
        return self.bcg_synthesis is not None

    def behind(self, ws: Tensor, size: int) -> Tensor | None:
        """Features [B, F, size, size] of the backdrop of styles [B, any, w_dim]; None where there is none."""
        return resized(self.background(ws), size) if self.has_background else None

    def compose(
        self,
        features: Tensor,
        opacity: Tensor,
        ws: Tensor,
        *,
        ws_background: Tensor | None = None,
        noise_mode: str = "const",
    ) -> tuple[Tensor, Tensor]:
        """As EG3D's, over the background of `ws_background` [B, any, w_dim] (None: of ws), through the colour layer."""
        if self.bcg_synthesis is not None:
            behind = self.background(ws if ws_background is None else ws_background, noise_mode)
            features = features + (1 - opacity) * resized(behind, features.shape[-1])
        return features, self.colours(features, ws)

    def mask(self, opacity: Tensor) -> Tensor:
        """The head's mask, from the opacity [B, 1, R, R]."""
        return opacity * 1.002 - 0.001

    def offset(
        self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """How far the camera of label c [B, 25] is moved for codes z [B, z_dim]: [B, 3], scene units.

        Raises:
            ValueError: the generator moves no cameras.
        """
        if self.t_mapping is None:
            raise ValueError(
                "offset: expected a generator with a camera offset, got one without; take its cameras as they are"
            )
        return self.t_mapping(z, self._conditioning(c), psi, cutoff)[:, 0]

    def rendering_label(self, z: Tensor, c: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """c [B, 25] with the camera moved by the learned offset. Only the whole model does so; `synthesis` takes cameras as they are."""
        if self.t_mapping is None:
            return c
        shift = torch.zeros_like(c)
        shift[:, [3, 7, 11]] = self.offset(
            z, c if self.config.c_dim else None, psi, cutoff
        )  # the translation of row-major cam2world
        return c + shift
