"""EG3D: identity code and camera -> tri-plane -> features along rays -> super-resolved image.

EG3D (Chan et al. 2022), sections 4 and 5; keys and shapes of the parameters are its checkpoints'.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..camera import camera_from_label, rays
from ..field.decoders import decoder_of
from ..field.triplane import TriplaneField
from ..field.volume_rendering import Draws, RenderConfig, render_rays
from .config import GeneratorConfig
from .stylegan2 import MappingNetwork, SynthesisBlock, SynthesisNetwork, fir_taps
from .upscaling import UPSCALINGS


@dataclass(frozen=True)
class Synthesis:
    """One batch of images.

    Attributes:
        image: [B, 3, S, S] super-resolved, about -1 .. 1, not clamped. image_raw: [B, 3, R, R], likewise.
        depth: [B, 1, R, R] distance along rays. opacity: [B, 1, R, R].
        features: [B, F, R, R], of which image_raw was made, about -1 .. 1.
        mask: [B, 1, R, R] of the head, a little wider than 0 .. 1; None where the model has none.
    """

    image: Tensor
    image_raw: Tensor
    depth: Tensor
    opacity: Tensor
    features: Tensor
    mask: Tensor | None = None


def resized(image: Tensor, size: int, antialias: bool = True) -> Tensor:
    """[B, C, H, W] -> [B, C, size, size], bilinear; half precision goes through float32, which is all that processors resize."""
    precise = image.to(torch.promote_types(image.dtype, torch.float32))
    wide = F.interpolate(
        precise, size=(size, size), mode="bilinear", align_corners=False, antialias=antialias
    )
    return wide.to(image.dtype)


class SuperResolution(nn.Module):
    """Two synthesis blocks that go on from rendered features and their colours, with the last style alone."""

    resample_filter: Tensor
    block0: SynthesisBlock
    block1: SynthesisBlock

    def __init__(self, config: GeneratorConfig, *, operations=torch.nn) -> None:
        super().__init__()
        upscaling = UPSCALINGS[config.super_resolution]
        self.input = config.feature_resolution
        self.enlarge_only = upscaling.enlarge_only
        self.antialias = config.sr_antialias and config.super_resolution != "Deepfp32"
        if config.super_resolution != "8XDC":
            self.register_buffer("resample_filter", fir_taps())
        size, inputs = self.input, config.field.features
        for i, (outputs, up) in enumerate(
            zip(config.sr_channels or upscaling.widths, upscaling.ups, strict=True)
        ):
            size *= 1 + up
            block = SynthesisBlock(
                inputs, outputs, config.w_dim, size, 3, up=up, clamp=config.sr_clamp, operations=operations
            )
            self.add_module(f"block{i}", block)
            inputs = outputs
        self.resolution = size

    def worked_at(self, raw: int) -> int:
        """The pixels at which a raw picture of so many is worked on."""
        return raw if self.enlarge_only and raw > self.input else self.input

    def output(self, raw: int) -> int:
        """The pixels of the image that is made of a raw picture of so many."""
        return self.resolution // self.input * self.worked_at(raw)

    def forward(self, rgb: Tensor, features: Tensor, ws: Tensor, noise_mode: str = "none") -> Tensor:
        """rgb [B, 3, H, W], features [B, F, H, W], ws [B, any, w_dim] -> [B, 3, S, S], S = `output` of H."""
        return self.piece(rgb, features, ws, rgb.shape[-1], noise_mode)

    def piece(
        self, rgb: Tensor, features: Tensor, ws: Tensor, whole: int, noise_mode: str = "none"
    ) -> Tensor:
        """As the call, for square pieces of pictures of `whole` pixels; those resized alone are not exact at borders.

        Args:
            rgb: [B, 3, s, s]. features: [B, F, s, s]. ws: [B, any, w_dim].

        Returns:
            [B, 3, S, S], S = s * `output` of `whole` / `whole`.
        """
        side = rgb.shape[-1] * self.worked_at(whole) // whole
        if side != rgb.shape[-1]:
            rgb, features = (resized(x, side, self.antialias) for x in (rgb, features))
        return self.blocks(rgb, features, ws, noise_mode)

    def blocks(self, rgb: Tensor, features: Tensor, ws: Tensor, noise_mode: str = "none") -> Tensor:
        """As the call, for inputs that have the size that the module works from, or for pieces of them where it adds no noise.

        Args:
            rgb: [B, 3, s, s]. features: [B, F, s, s]. ws: [B, any, w_dim].

        Returns:
            [B, 3, S, S], S = s * `resolution` / `input`.
        """
        last = ws[:, -1:].expand(-1, 3, -1)
        if features.is_cpu:  # half as fast otherwise: few channels, many pixels
            features = features.contiguous(memory_format=torch.channels_last)
        features, rgb = self.block0(features, rgb, last, noise_mode)
        return self.block1(features, rgb, last, noise_mode)[1].contiguous()


class Backbone(nn.Module):
    """Mapping and synthesis of the planes."""

    def __init__(self, config: GeneratorConfig, *, operations=torch.nn) -> None:
        super().__init__()
        planes = config.field
        self.synthesis = SynthesisNetwork(
            config.w_dim,
            planes.resolution,
            config.map_rows,
            channel_base=config.channel_base,
            channel_max=config.channel_max,
            clamp=config.conv_clamp,
            base_resolution=config.base_resolution,
            operations=operations,
        )
        self.mapping = MappingNetwork(
            config.z_dim,
            config.c_dim,
            config.w_dim,
            self.synthesis.num_ws,
            num_layers=config.mapping_layers,
            embed_features=config.embed_features,
            layer_features=config.layer_features,
            operations=operations,
        )


class Generator(nn.Module):
    """A generator of the family as EG3D has it; `PanoHeadGenerator` adds to it."""

    def __init__(self, config: GeneratorConfig, *, operations=torch.nn) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config, operations=operations)
        self.decoder = decoder_of(config.field, operations=operations)
        sizes = self.backbone.synthesis.resolutions
        if config.mean_resolution not in (0, *sizes):
            raise ValueError(
                f"GeneratorConfig: expected mean_resolution to be 0 or one of {sizes}, got {config.mean_resolution}"
            )
        if config.mean_resolution:
            self.mean_planes = nn.Parameter(
                torch.zeros(config.map_rows, config.mean_resolution, config.mean_resolution)
            )
        self.superresolution = (
            None if config.super_resolution == "none" else SuperResolution(config, operations=operations)
        )

    @property
    def num_ws(self) -> int:
        """Rows of styles."""
        return self.backbone.synthesis.num_ws

    @property
    def resolution(self) -> int:
        """Pixels of the final image."""
        R = self.config.raw_resolution
        return R if self.superresolution is None else self.superresolution.output(R)

    @property
    def super_resolves(self) -> bool:
        """Whether the final image is made by super-resolution."""
        return self.superresolution is not None

    def with_render(self, render: RenderConfig) -> Generator:
        """The same weights, shared, whose rays are sampled otherwise."""
        twin = copy(self)
        twin.config = replace(self.config, render=render)
        return twin

    def tuned_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All that a head's picture depends on, by name, but no strengths of noise, which fit nothing."""
        elsewhere = ("backbone.mapping.", "t_mapping.")
        for name, parameter in self.named_parameters():
            if not name.startswith(elsewhere) and not name.endswith("noise_strength"):
                yield name, parameter

    def _conditioning(self, c: Tensor | None) -> Tensor | None:
        """The label as the mappings see it."""
        if c is None:
            return None
        return torch.zeros_like(c) if self.config.conditioning_zero else c * self.config.c_scale

    def mapping(
        self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """Identity codes z [B, z_dim], camera labels c [B, 25] (none where c_dim is 0) -> ws [B, num_ws, w_dim].

        Args:
            c: of the camera that the head is imagined for, best kept frontal while another one renders.
            psi: truncation, 1 for none. cutoff: rows that are truncated, None for all.
        """
        return self.backbone.mapping(z, self._conditioning(c), psi, cutoff)

    def planes(
        self,
        ws: Tensor,
        noise_mode: str = "const",
        *,
        generator: torch.Generator | None = None,
        stop: int | None = None,
    ) -> Tensor:
        """ws [B, num_ws, w_dim] -> [B, 3, C, (D,) H, W]; stop: as `SynthesisNetwork`'s."""
        mean = self.mean_planes if self.config.mean_resolution else None
        flat = self.backbone.synthesis(ws, noise_mode, generator=generator, mean=mean, stop=stop)
        return flat.unflatten(1, self.config.field.planes_shape[:-2])

    def colour_layer(self, ws: Tensor) -> tuple[Tensor, Tensor] | None:
        """What `TriplaneField.to_rgb` wants of styles [B, any, w_dim]; None where the first features are the colours."""
        return None

    def field(self, planes: Tensor, ws: Tensor | None = None) -> TriplaneField:
        """Planes [B, 3, C, (D,) H, W] as a field; its colours need ws [B, any, w_dim] where they have a layer of their own."""
        return TriplaneField(
            planes, self.decoder, self.config.field, None if ws is None else self.colour_layer(ws)
        )

    def sample(self, points: Tensor, ws: Tensor, noise_mode: str = "const") -> tuple[Tensor, Tensor]:
        """Points [B, N, 3] -> raw density [B, N], which is the decoder's constant outside the box, and features [B, N, F]."""
        return self.field(self.planes(ws, noise_mode)).raw(points)

    def signed(self, features: Tensor) -> Tensor:
        """Composited features as later layers take them: sigmoids from [0, 1] to [-1, 1], others as they are."""
        return features * 2 - 1 if self.config.field.activation == "sigmoid" else features

    def colours(self, features: Tensor, ws: Tensor) -> Tensor:
        """Signed features [B, F, R, R] of styles [B, any, w_dim] -> image_raw [B, 3, R, R]."""
        return features[:, :3]

    @property
    def has_background(self) -> bool:
        """Whether `behind` draws something."""
        return False

    def behind(self, ws: Tensor, size: int) -> Tensor | None:
        """Features [B, F, size, size] of the backdrop of styles [B, any, w_dim]; None for a generator without."""
        return None

    def compose(
        self,
        features: Tensor,
        opacity: Tensor,
        ws: Tensor,
        *,
        ws_background: Tensor | None = None,
        noise_mode: str = "const",
    ) -> tuple[Tensor, Tensor]:
        """What is shown of signed features [B, F, R, R] and their opacity [B, 1, R, R]: features, and image_raw [B, 3, R, R].

        Args:
            ws_background: [B, any, w_dim] styles of the backdrop, None for those of the head; for models that have one.

        Raises:
            ValueError: a backdrop for a model without.
        """
        if ws_background is not None:
            raise ValueError(
                "synthesis: expected no ws_background, for this generator draws no background; leave it out"
            )
        return features, self.colours(features, ws)

    def mask(self, opacity: Tensor) -> Tensor | None:
        """The head's mask, from the opacity [B, 1, R, R]."""
        return None

    def super_resolve(self, rgb: Tensor, features: Tensor, ws: Tensor) -> Tensor:
        """image_raw [B, 3, R, R] and features [B, F, R, R], about -1 .. 1 -> image [B, 3, resolution, resolution]."""
        if self.superresolution is None:
            return rgb
        return self.superresolution(rgb, features, ws, self.config.sr_noise_mode)

    def super_resolve_piece(self, rgb: Tensor, features: Tensor, ws: Tensor) -> Tensor:
        """As `super_resolve`, without noise, for square pieces [B, 3, s, s] and [B, F, s, s]."""
        if self.superresolution is None:
            return rgb
        return self.superresolution.piece(rgb, features, ws, self.config.raw_resolution)

    def synthesis(
        self,
        ws: Tensor,
        c: Tensor,
        *,
        resolution: int | None = None,
        noise_mode: str = "const",
        draws: Draws | None = None,
        planes: Tensor | None = None,
        ws_background: Tensor | None = None,
    ) -> Synthesis:
        """Images of heads ws [B, num_ws, w_dim] from the cameras of labels c [B, 25].

        Args:
            resolution: pixels of the raw image, None for the config's. draws: of the renderer, None for the middle.
            planes: of these ws, where they are already known. ws_background: as `compose`.
        """
        R = resolution or self.config.raw_resolution
        if planes is None:
            planes = self.planes(ws, noise_mode)
        origins, directions = (x.flatten(1, 2) for x in rays(camera_from_label(c), R, R))
        samples = render_rays(self.field(planes, ws), origins, directions, self.config.render, draws=draws)
        features, depth, opacity = (
            x.mT.unflatten(2, (R, R))
            for x in (samples.features, samples.depth[..., None], samples.opacity[..., None])
        )
        features, rgb = self.compose(
            self.signed(features), opacity, ws, ws_background=ws_background, noise_mode=noise_mode
        )
        return Synthesis(
            self.super_resolve(rgb, features, ws), rgb, depth, opacity, features, self.mask(opacity)
        )

    def rendering_label(self, z: Tensor, c: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """The label [B, 25] of the camera from which the whole model renders where it is given c [B, 25]; see `mapping`."""
        return c

    def forward(
        self,
        z: Tensor,
        c: Tensor,
        psi: float = 1.0,
        cutoff: int | None = None,
        *,
        resolution: int | None = None,
        noise_mode: str = "const",
        draws: Draws | None = None,
    ) -> Synthesis:
        """The whole model: images of codes z [B, z_dim] from the cameras c [B, 25], which condition them, too."""
        ws = self.mapping(z, c if self.config.c_dim else None, psi, cutoff)
        return self.synthesis(
            ws,
            self.rendering_label(z, c, psi, cutoff),
            resolution=resolution,
            noise_mode=noise_mode,
            draws=draws,
        )
