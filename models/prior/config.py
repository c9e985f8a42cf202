"""What a generator of EG3D's family is made of.

EG3D (Chan et al. 2022), sections 4 and 5, with what PanoHead (An et al. 2023) adds.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ..bounds import flags, integer_tuple, integers, numbers, shown
from ..field.triplane import FieldConfig
from ..field.volume_rendering import RenderConfig
from .stylegan2 import NOISE_MODES
from .upscaling import UPSCALINGS

CHUNK = 2**30  # bytes that a file may have a chunk of rays take; whoever renders may take more


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """What a generator of the family is made of; comes with the checkpoint.

    Attributes:
        z_dim: length of an identity code. w_dim: of a style. c_dim: of a camera label; 0 for a mapping of codes alone.
        mapping_layers: fully connected layers of the mapping. embed_features, layer_features: its widths; None for w_dim.
        channel_base, channel_max: the backbone has min(channel_base / r, channel_max) channels at r pixels.
        base_resolution: pixels of the learned constant. conv_clamp: largest magnitude in the backbone, None for any.
        mean_resolution: pixels of a learned mean of the planes' skip image; 0 for none, as in the family. Heads that share one frame
            have eyes, lips and hairline there.
        field: what the backbone writes. render: how it is read.
        raw_resolution: pixels of the image before super-resolution.
        super_resolution: one of `UPSCALINGS`, or "none". sr_resolution: pixels that it works from; None for the module's own.
        sr_channels: widths of its two blocks; None for the module's own. sr_noise_mode: of its layers.
        sr_antialias: when its input is resized. sr_clamp: largest magnitude in it, None for any.
        conditioning_zero: the mapping sees a label of zeros. c_scale: what labels are multiplied with before the mapping.
        background: PanoHead's separate image behind the head. raw_rgb: colours are read off the features by a layer of their own.
        camera_offset: the model moves the camera that it is given.
    """

    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 25
    mapping_layers: int = 2
    embed_features: int | None = None
    layer_features: int | None = None
    channel_base: int = 32768
    channel_max: int = 512
    base_resolution: int = 4
    mean_resolution: int = 0
    conv_clamp: float | None = None
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    render: RenderConfig = dataclasses.field(default_factory=RenderConfig)
    raw_resolution: int = 64
    super_resolution: str = "8XDC"
    sr_resolution: int | None = None
    sr_channels: tuple[int, int] | None = None
    sr_noise_mode: str = "none"
    sr_antialias: bool = True
    sr_clamp: float | None = 256.0
    conditioning_zero: bool = False
    c_scale: float = 1.0
    background: bool = False
    raw_rgb: bool = False
    camera_offset: bool = False

    def __post_init__(self) -> None:
        integers(self, z_dim=(0, 8192), w_dim=(0, 8192), c_dim=(0, 1024), mapping_layers=(1, 32))
        integers(
            self,
            embed_features=(1, 8192),
            layer_features=(1, 8192),
            channel_base=(1, 2**17),
            channel_max=(1, 4096),
        )
        integers(
            self,
            base_resolution=(1, 512),
            mean_resolution=(0, 1024),
            raw_resolution=(0, 512),
            sr_resolution=(1, 512),
        )
        integer_tuple(self, "sr_channels", count=(2, 2), each=(1, 4096))
        numbers(self, conv_clamp=(0, 1e9), sr_clamp=(0, 1e9), c_scale=(-1e6, 1e6))
        flags(self, "sr_antialias", "conditioning_zero", "background", "raw_rgb", "camera_offset")
        self._check_parts()
        if self.super_resolution not in (*UPSCALINGS, "none"):
            raise ValueError(
                f"GeneratorConfig: expected super_resolution to be none or one of {', '.join(UPSCALINGS)}, got {shown(self.super_resolution)}; "
                "choose a file made by this pack"
            )
        if self.sr_noise_mode not in NOISE_MODES:
            raise ValueError(
                f"GeneratorConfig: expected sr_noise_mode to be one of {', '.join(NOISE_MODES)}, got {shown(self.sr_noise_mode)}; "
                "choose a file made by this pack"
            )
        if min(self.z_dim, self.w_dim, self.mapping_layers, self.raw_resolution) < 1 or self.c_dim not in (
            0,
            25,
        ):
            raise ValueError(
                f"GeneratorConfig: sizes must be positive and c_dim 0 or 25, got {self}; fix the checkpoint's config"
            )

    def _check_parts(self) -> None:
        if not isinstance(self.field, FieldConfig) or not isinstance(self.render, RenderConfig):
            raise ValueError(
                f"GeneratorConfig: expected configs of field and render, got {shown(self.field)} and {shown(self.render)}; make both"
            )
        if self.render.chunk_bytes > CHUNK:
            raise ValueError(
                f"GeneratorConfig: expected chunks of rays of up to {CHUNK} bytes, got {self.render.chunk_bytes}; choose a file made by this pack"
            )

    @property
    def map_rows(self) -> int:
        """Channels of the map that the backbone makes, the planes' own."""
        return 3 * self.field.channels * max(1, self.field.depth)

    @property
    def feature_resolution(self) -> int:
        """Pixels at which super-resolution (and the background before it) works."""
        if self.super_resolution == "none":
            return self.sr_resolution or self.raw_resolution
        return self.sr_resolution or UPSCALINGS[self.super_resolution].input
