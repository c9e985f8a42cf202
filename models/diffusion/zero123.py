"""Zero-123: a denoiser told of one picture and of how the camera moves away from it.

Liu et al. 2023, and Stable-Zero123. The picture's latent, which is not scaled, goes beside the noisy one, which is;
its CLIP embedding and four numbers of the camera, through `cc_projection`, are the only token.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from ..camera import Camera, yaw_pitch
from .autoencoder import encode
from .denoiser import Conditioning, Denoiser

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

SIZE = 256  # pixels that the public ones know


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


class PictureGuide(Protocol):
    """A Zero-123, whatever is behind it.

    Attributes:
        name: for people. size: pixels that it knows. vae: its own autoencoder; None where it shares the latents of the model beside it.
    """

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def vae(self) -> AutoencoderKL | None: ...

    def denoiser(self) -> Denoiser:
        """Behind the contract; it takes the picture's latent beside the noisy one."""
        ...

    def embedding(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, S, S] on white -> [B, 1, D], what an image tower sees."""
        ...

    def conditioning(self, embedding: Tensor, latent: Tensor, source: Pose, target: Pose) -> Conditioning:
        """Of targets [B], from pictures with such embeddings [1 or B, 1, D] and unscaled latents [1 or B, C, h, w]."""
        ...


@dataclass(frozen=True, kw_only=True)
class PublicZero123:
    """Zero123-XL or Stable-Zero123: a `PictureGuide`.

    Attributes:
        name: for people. network: of eight channels. image_tower: pictures [B, 3, S, S] on white -> CLIP's embeddings [B, 1, D].
        projection: `cc_projection`. vae: its autoencoder. stable: whose camera vector it knows, as of `camera_vector`.
    """

    name: str
    network: Denoiser
    image_tower: Callable[[Tensor], Tensor]
    projection: ViewConditioning
    vae: AutoencoderKL
    stable: bool
    size: int = SIZE

    def denoiser(self) -> Denoiser:
        return self.network

    def embedding(self, pictures: Tensor) -> Tensor:
        """As `PictureGuide.embedding`: pictures [B, 3, S, S] -> [B, 1, D].

        Raises:
            ValueError: an image tower whose embeddings the projection does not take.
        """
        embedding = self.image_tower(pictures)
        width = self.projection.cc_projection.in_features - 4
        if embedding.shape[-1] != width:
            raise ValueError(
                f"zero123: expected image embeddings of {width} numbers (CLIP ViT-L/14's are 768), got {embedding.shape[-1]}; "
                "wire the CLIP_VISION of the same checkpoint"
            )
        return embedding

    def conditioning(self, embedding: Tensor, latent: Tensor, source: Pose, target: Pose) -> Conditioning:
        """As `PictureGuide.conditioning`: B rows, from an embedding [1, 1, D] and a latent [1, C, h, w]."""
        return self.projection(embedding, camera_vector(target, source, stable=self.stable), latent)


@dataclass(frozen=True)
class Picture:
    """One view that is known, as a Zero-123 takes it. Attributes: embedding: [1, 1, D]. latent: [1, C, h, w] unscaled. pose: its camera's."""

    embedding: Tensor
    latent: Tensor
    pose: Pose


def pose_of(cameras: Camera) -> Pose:
    """Of cameras [...] around the origin."""
    yaw, pitch = yaw_pitch(cameras)
    return Pose(yaw, pitch, cameras.position.norm(dim=-1))


@torch.no_grad()
def known_picture(guide: PictureGuide, vae: AutoencoderKL, image: Tensor, camera: Camera) -> Picture:
    """Of a canonical frame [3, S, S] on white and its camera. Args: vae: the guide's own, or that of the model beside it."""
    latent = encode(vae, image[None]) / vae.config["scaling_factor"]
    return Picture(guide.embedding(image[None]), latent, pose_of(camera))


def told_of(guide: PictureGuide, picture: Picture, cameras: Camera) -> tuple[Conditioning, Conditioning]:
    """What cameras [B] are told, and what guidance leaves out."""
    conditioning = guide.conditioning(picture.embedding, picture.latent, picture.pose, pose_of(cameras))
    return conditioning, without_picture(conditioning)
