"""What an HPDM is told, made from a driving view and a head: projected picture, coarse render and normals, all as latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera
from ..projection import ProjectionConfig, Projector, map_size, projector
from .autoencoder import encode, factor
from .brushnet import known_mask
from .hpdm import Priors, Warp
from .inpainting import around_void

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL


RIM = 0.025  # share of the side within which a picture may show background
WHITE = 0.9  # colour from which on it does


@dataclass(frozen=True)
class DrivingView:
    """A view that knows the person, and the depth that a head has there.

    Attributes:
        image: [3, S, S] in [0, 1] on white. distance: [S, S] along unit rays, scene units. mask: [S, S]. camera: unbatched.
    """

    image: Tensor
    distance: Tensor
    mask: Tensor
    camera: Camera

    def to(self, target: Camera, config: ProjectionConfig | None = None) -> Projector:
        """Its projection to another camera."""
        return projector(self.distance, self.surface(), self.camera, target, config=config)

    def surface(self) -> Tensor:
        """The mask [S, S], 0 or 1, without what the head's outline covers of the background.

        That is what is white near the outline; inside, white is a colour. A head is never quite as wide as
        its picture; from aside the strip of background would be a white seam.
        """
        solid = (self.mask > 0.5).float()
        reach = max(1, round(RIM * solid.shape[-1]))
        near = F.max_pool2d(1 - solid[None], 2 * reach + 1, 1, reach)[0] > 0
        white = (self.image > WHITE).all(0)
        surface = solid * ~(near & white)
        return surface if surface.any() else solid


@dataclass(frozen=True)
class ProjectedView:
    """A driving view as a target sees it. Attributes: image: [3, S, S] in [0, 1], black in the void. known: [1, S, S], 0 or 1."""

    image: Tensor
    known: Tensor


def projected_view(driver: DrivingView, projection: Projector) -> ProjectedView:
    """Eq. 6."""
    image, known = projection.picture(driver.image)
    return ProjectedView(image.clamp(0, 1), known)


def normal_map(normal: Tensor) -> Tensor:
    """Camera-space normals [B, 3, H, W] (OpenCV axes) as pictures in [0, 1]; towards the camera where there is none."""
    empty = normal.square().sum(1, keepdim=True) < 0.25
    towards = normal.new_tensor([0.0, 0.0, -1.0])[:, None, None]
    return (
        torch.where(empty, towards, normal) * normal.new_tensor([1.0, -1.0, -1.0])[:, None, None] + 1
    ) / 2  # as OpenGL's


@torch.no_grad()
def view_priors(
    vae: AutoencoderKL,
    drivers: Sequence[DrivingView],
    targets: Camera,
    renders: Tensor,
    normals: Tensor,
    *,
    config: ProjectionConfig | None = None,
    geometry: Tensor | None = None,
    inpaints: bool = False,
) -> tuple[Priors, list[ProjectedView]]:
    """Priors of B targets, each with its driver, and the projected pictures that they come from.

    Args:
        targets: [B]. renders, normals: [B, 3, S, S], the head's coarse views from them; normals in camera space.
        geometry: their latents, `geometry_latents`, where they are at hand.
        inpaints: whether the denoiser is told of the void by itself, too.

    Raises:
        ValueError: not one driver and one render a target.
    """
    B = len(drivers)
    if targets.shape != (B,) or len(renders) != B or renders.shape != normals.shape:
        raise ValueError(
            f"priors: expected a driver, a render and normals for each of {list(targets.shape)} targets, got {B} drivers, "
            f"{list(renders.shape)} and {list(normals.shape)}; pair them"
        )
    projections = [driver.to(targets[i], config) for i, driver in enumerate(drivers)]
    views = [projected_view(*pair) for pair in zip(drivers, projections, strict=True)]
    images = torch.stack([view.image for view in views])
    masks = torch.stack([view.known for view in views])
    H, W = map_size(images)
    size = (H // factor(vae), W // factor(vae))
    projected, driving = (encode(vae, x) for x in (images, torch.stack([driver.image for driver in drivers])))
    geometry = geometry_latents(vae, renders, normals) if geometry is None else geometry
    masked = around_void(vae, images, masks) if inpaints else None
    return Priors(projected, known_mask(1 - masks, size), geometry, driving, Warp(projections), masked), views


def geometry_latents(vae: AutoencoderKL, renders: Tensor, normals: Tensor) -> Tensor:
    """[B, 2C, h, w] of coarse renders and camera-space normals [B, 3, S, S]: what the geo-block is told (eq. 9)."""
    return torch.cat([encode(vae, x) for x in (renders, normal_map(normals))], 1)
