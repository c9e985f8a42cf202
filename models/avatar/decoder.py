"""The field of RodinHD's heads: planes as released in our box, with the decoder that all heads share.

RodinHD (Zhang et al. 2024), section 3.1; sizes as in the released code.
"""

from __future__ import annotations

from ..field.decoders import AvatarDecoder, decoder_of
from ..field.triplane import FREQUENCIES, OURS, FieldConfig

__all__ = ["AvatarDecoder", "avatar_field", "decoder_of"]


def avatar_field(
    *,
    channels: int = 32,
    resolution: int = 512,
    hidden: int = 128,
    bound: float = 1.0,
    degree: int = 2,
    colour_layers: int = 3,
) -> FieldConfig:
    """The config of planes as released: their outermost texels' centres lie on the faces of a box from -bound to bound.

    That is `align_corners=True`. Ours, where the box ends at the outermost texels' edges, reads the same at every point when its side
    is 2 bound R / (R - 1): half a texel more on each side, over which the planes fade out.

    Args:
        resolution: R, texels along a plane's side, at least 2. bound: scene units. Others: as of `FieldConfig`.

    Raises:
        ValueError: planes of one texel; as `FieldConfig`.
    """
    if resolution < 2:
        raise ValueError(
            f"avatar_field: expected planes of 2 texels a side or more, got {resolution}; texels on both faces of a box are two"
        )
    return FieldConfig(
        plane_axes=OURS,
        box_side=2 * bound * resolution / (resolution - 1),
        channels=channels,
        depth=0,
        resolution=resolution,
        hidden=hidden,
        density_shift=0.0,
        decoder=FREQUENCIES,
        degree=degree,
        colour_layers=colour_layers,
    )
