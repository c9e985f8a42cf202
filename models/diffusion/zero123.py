"""Zero-123: a denoiser told of one picture and of how the camera moves away from it.

Liu et al. 2023, and Stable-Zero123. The picture's latent, which is not scaled, goes beside the noisy one, which is;
its CLIP embedding and four numbers of the camera, through `cc_projection`, are the only token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .denoiser import Conditioning


@dataclass(frozen=True)
class Pose:
    """Where a camera stands. Attributes: yaw, pitch: radians, yaw counter-clockwise seen from above. distance: scene units. [B] or one."""

    yaw: Tensor
    pitch: Tensor
    distance: Tensor


def camera_vector(target: Pose, source: Pose, *, stable: bool = True) -> Tensor:
    """[B, 4]: difference of polar angles, sine and cosine of the difference of azimuths, and a fourth number.

    Args:
        target: B cameras. source: the one that took the picture. stable: Stable-Zero123, whose fourth number is the picture's own polar
            angle; Zero-123's is the difference of distances.
    """
    azimuth = target.yaw - source.yaw
    polar = source.pitch - target.pitch
    fourth = math.pi / 2 - source.pitch if stable else target.distance - source.distance
    return torch.stack(
        torch.broadcast_tensors(polar, azimuth.sin(), azimuth.cos(), torch.as_tensor(fourth)), -1
    )


class ViewConditioning(nn.Module):
    """`cc_projection`: an image embedding and a camera vector -> the token. At first it hands the embedding on."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cc_projection = nn.Linear(width + 4, width)
        with torch.no_grad():
            self.cc_projection.weight.copy_(torch.eye(width, width + 4))
            self.cc_projection.bias.zero_()

    def forward(self, embedding: Tensor, camera: Tensor, picture: Tensor) -> Conditioning:
        """Args: embedding: [1 or B, 1, D]. camera: [B, 4]. picture: [1 or B, C, h, w] its latent, not scaled. B rows."""
        B = len(camera)
        together = torch.cat([embedding.expand(B, -1, -1), camera[:, None].to(embedding)], -1)
        return Conditioning(self.cc_projection(together), picture.expand(B, -1, -1, -1))


def without_picture(conditioning: Conditioning) -> Conditioning:
    """What guidance leaves out: zeros behind the projection and beside the latents."""
    concat = None if conditioning.concat is None else torch.zeros_like(conditioning.concat)
    return Conditioning(torch.zeros_like(conditioning.tokens), concat)
