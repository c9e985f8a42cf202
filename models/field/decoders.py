"""The decoder of frequencies, which all of RodinHD's heads share, and the decoder that a config asks for.

RodinHD (Zhang et al. 2024), section 3.1; layout and sizes as in the released code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .triplane import FREQUENCIES, Decoder, FieldConfig


def decoder_of(config: FieldConfig, *, operations=torch.nn) -> nn.Module:
    """A new decoder of the config's kind: features [..., C] -> raw density [...], features [..., F]."""
    kind = AvatarDecoder if config.decoder == FREQUENCIES else Decoder
    return kind(config, operations=operations)


def encode(x: Tensor, degree: int) -> Tensor:
    """Frequencies of x [..., C]: x, sin x, cos x, sin 2x, cos 2x, ..., sin and cos of 2^(degree - 1) x: [..., (1 + 2 degree) C].

    Unlike NeRF's (Mildenhall et al. 2020, eq. 4) without pi, and each block goes over all channels.
    """
    waves = [wave(x * 2**octave) for octave in range(degree) for wave in (torch.sin, torch.cos)]
    return torch.cat([x, *waves], -1)


class AvatarDecoder(nn.Module):
    """Two nets: the last quarter of the channels makes the density, and what that net hands on makes colours with all others.

    Keys as released: sigma_net.0 and .2, color_net.0, .1, .2, ..., without biases. The raw density is the logarithm of the density.
    """

    def __init__(self, config: FieldConfig, *, directions: bool = False, operations=torch.nn) -> None:
        """Args: directions: colours depend on the ray's direction, too, as in the released code; fields and meshes have none.

        Raises:
            ValueError: a config of another decoder.
        """
        super().__init__()
        if config.decoder != FREQUENCIES:
            raise ValueError(
                f"AvatarDecoder: expected a config whose decoder is {FREQUENCIES}, got {config.decoder}; make it by `decoder_of`"
            )
        self.channels, self.degree, self.directions = config.channels, config.degree, directions
        blocks, width = 1 + 2 * config.degree, config.hidden
        density = config.channels // 4
        self.sigma_net = nn.Sequential(
            operations.Linear(blocks * density, width),
            nn.Softplus(),
            operations.Linear(width, 1 + width),
        )
        inputs = blocks * (config.channels - density + 3 * directions) + width
        sizes = [inputs, *[width] * (config.colour_layers - 1), 3]
        self.color_net = nn.ModuleList(
            operations.Linear(before, after, bias=False)
            for before, after in zip(sizes[:-1], sizes[1:], strict=True)
        )

    def forward(self, features: Tensor, directions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean features of the planes -> log-density and colours in 0 .. 1.

        Args:
            features: [..., C]. directions: [..., 3] unit length, for a decoder that was made for them, and for no other.

        Returns:
            [...], natural logarithm of a density per scene unit, and [..., 3].

        Raises:
            ValueError: features of other channels; directions that are missing, too many or of another shape.
        """
        self._check(features, directions)
        density, colour = features[..., -(self.channels // 4) :], features[..., : -(self.channels // 4)]
        raw, hint = self.sigma_net(encode(density, self.degree)).split(
            [1, self.sigma_net[0].out_features], -1
        )
        parts = [encode(colour, self.degree), hint]
        if directions is not None:
            parts.append(encode(directions, self.degree))
        hidden = torch.cat(parts, -1)
        for layer in self.color_net[:-1]:
            hidden = layer(hidden).relu()
        rgb = self.color_net[-1](hidden).sigmoid()
        return raw[..., 0].to(features), rgb.to(features)  # autocast's half has no room for exp(raw)

    def _check(self, features: Tensor, directions: Tensor | None) -> None:
        if features.shape[-1] != self.channels:
            raise ValueError(
                f"AvatarDecoder: expected features [..., {self.channels}], got {list(features.shape)}; read planes of its config"
            )
        if (directions is not None) != self.directions:
            wanted, came = ("directions", "none") if self.directions else ("no directions", "some")
            raise ValueError(
                f"AvatarDecoder: expected {wanted}, got {came}; "
                "give them to decoders that are made with directions=True, and make those of heads without"
            )
        if directions is not None and directions.shape != (*features.shape[:-1], 3):
            raise ValueError(
                f"AvatarDecoder: expected a direction for each feature, {[*features.shape[:-1], 3]}, got {list(directions.shape)}; "
                "expand them over the ray's samples"
            )
