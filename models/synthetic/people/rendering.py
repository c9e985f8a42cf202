"""Exact pictures of a person: colour, soft mask, distance and normals from any camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...camera import Camera
from ..rendering import Views
from .buffers import SAMPLES, TOGETHER, Seen, painted, pixel_means, pixels, see
from .hair.ribbons import ribbons
from .hair.shading import shade
from .person import Person
from .scene import Mesh, Scene, Strands
from .shading import exposed, irradiance, reflection

GLOW = (0.0040, 0.0015)  # scene units: how far red and green light spread within skin
SKIN = 0.35  # scatter of red from which a surface counts as skin


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What R x R samples see.

    Attributes:
        colour: [R, R, 3] linear. cover: [R, R] 0 or 1. distance: [R, R] along rays, infinite where empty. normal: [R, R, 3] world.
    """

    colour: Tensor
    cover: Tensor
    distance: Tensor
    normal: Tensor


@torch.no_grad()
def render(person: Person, camera: Camera, size: int, *, background: Tensor | None = None) -> Views:
    """Views of a person from a batch of cameras.

    Args:
        person: of `draw_person`. camera: batch [V]. size: S, pixels.
        background: [3, S, S] or [V, 3, S, S] sRGB; None for white.

    Returns:
        `Views` whose mask is soft: the share of a pixel that the person covers.

    Raises:
        ValueError: a camera without one batch dimension.
    """
    if len(camera.shape) != 1:
        raise ValueError(
            f"render: expected cameras [V], got batch {list(camera.shape)}; index or flatten the camera first"
        )
    pictures = [_view(person.scene, camera[i], size) for i in range(len(camera.cam2world))]
    premultiplied, mask, distance, normal = (torch.stack(part) for part in zip(*pictures, strict=True))
    behind = torch.ones(3, 1, 1) if background is None else background
    return Views(premultiplied + (1 - mask) * behind, mask, distance, normal)


def _view(scene: Scene, camera: Camera, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Premultiplied sRGB [3, S, S], mask [1, S, S], distance [1, S, S], normal [3, S, S] of one camera."""
    fine = size * SAMPLES
    samples = _surfaces(scene, camera, fine)
    for piece in scene.strands:
        samples = _with_hair(samples, scene, piece, camera, fine)
    if scene.clear is not None:
        samples = _behind_glass(samples, scene, scene.clear, camera, fine)
    return _pooled(samples, camera)


def _surfaces(scene: Scene, camera: Camera, fine: int) -> Samples:
    """The opaque surfaces alone."""
    seen = see(scene.solid, camera, fine)
    paint = painted(scene.solid, seen.owner, seen.rest)
    light = irradiance(seen.points, paint, scene.light)
    light = _spread(light, paint.scatter[:, 0] > SKIN, seen, fine, camera)
    colour = paint.albedo * light + reflection(seen.points, paint, scene.light)
    whole = fine * fine
    cover, distance = torch.zeros(whole), torch.full((whole,), torch.inf)
    cover[seen.sample], distance[seen.sample] = 1.0, seen.distance
    return Samples(
        colour=_scattered(colour[seen.point], seen.sample, fine),
        cover=cover.view(fine, fine),
        distance=distance.view(fine, fine),
        normal=_scattered(seen.normal, seen.sample, fine),
    )


def _with_hair(samples: Samples, scene: Scene, piece: Strands, camera: Camera, fine: int) -> Samples:
    """One piece of hair in front of what was there."""
    seen = ribbons(piece.hair, camera, fine, samples.distance)
    colour, normal = shade(piece.hair, seen, piece.sky, piece.lamps, scene.light, camera.position)
    layers = (
        (samples.colour, colour),
        (samples.cover, torch.ones(len(seen.sample))),
        (samples.distance, seen.distance),
        (samples.normal, normal),
    )
    merged = []
    for image, values in layers:
        flat = image.flatten(0, 1).clone()
        flat[seen.sample] = values
        merged.append(flat.view_as(image))
    return Samples(colour=merged[0], cover=merged[1], distance=merged[2], normal=merged[3])


def _behind_glass(samples: Samples, scene: Scene, mesh: Mesh, camera: Camera, fine: int) -> Samples:
    """What is seen through the nearest transparent surface; mask, distance and normals stay those of what lies behind."""
    seen = see(mesh, camera, fine)
    paint = painted(mesh, seen.owner, seen.rest)
    near = (seen.distance < samples.distance.flatten()[seen.sample]) & (
        samples.cover.flatten()[seen.sample] > 0
    )
    opacity = paint.opacity[:, None]
    front = opacity * paint.albedo * irradiance(seen.points, paint, scene.light)
    front = front + reflection(seen.points, paint, scene.light)
    colour = samples.colour.flatten(0, 1).clone()
    through = (1 - opacity[seen.point]) * colour[seen.sample] + front[seen.point]
    colour[seen.sample] = torch.where(near[:, None], through, colour[seen.sample])
    return replace(samples, colour=colour.view_as(samples.colour))


def _spread(light: Tensor, skin: Tensor, seen: Seen, fine: int, camera: Camera) -> Tensor:
    """Light [G, 3] spread within skin across the picture, red farthest (Jimenez et al., "Separable Subsurface Scattering", 2015)."""
    size = fine // SAMPLES
    scale = float(camera.intrinsics[0, 0] * size / camera.position.norm())
    layers = torch.zeros(3, fine * fine)
    layers[:, seen.sample] = (torch.cat([light[:, :2], torch.ones(len(light), 1)], 1) * skin[:, None]).T[
        :, seen.point
    ]
    image = pixel_means(layers.view(3, fine, fine))
    pixel = torch.zeros(len(light), dtype=torch.long)
    pixel[seen.point] = pixels(seen.sample, fine)
    spread = light.clone()
    for channel, reach in enumerate(GLOW):
        if reach * scale > 0.4:
            sharp = image[[channel, 2]]
            change = _ratio(_blurred(sharp, reach * scale)) - _ratio(sharp)
            spread[:, channel] += change.flatten()[pixel] * skin
    return spread.clamp_min(0)


def _ratio(layers: Tensor) -> Tensor:
    """[S, S] the first of two layers [2, S, S] per cover, the second."""
    return layers[0] / layers[1].clamp_min(1e-3)


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """[C, S, S] under a Gaussian of `sigma` pixels."""
    reach = max(1, round(2.2 * sigma))
    kernel = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma * sigma))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    rows = F.conv2d(image[:, None], kernel, padding=(0, reach))
    return F.conv2d(rows, kernel.mT, padding=(reach, 0))[:, 0]


def _scattered(values: Tensor, sample: Tensor, fine: int) -> Tensor:
    """[R, R, C] of values [P, C] at samples [P], 0 elsewhere."""
    image = torch.zeros(fine * fine, values.shape[1])
    image[sample] = values
    return image.view(fine, fine, -1)


def _pooled(samples: Samples, camera: Camera) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Samples -> pixels, as of `_view`; distance and normal are those of the nearest surface of a pixel."""
    cover = samples.cover
    colour = exposed(samples.colour) * cover[..., None]
    near = -F.max_pool2d(-samples.distance[None], SAMPLES)
    together = samples.distance <= F.interpolate(near[None], scale_factor=SAMPLES)[0, 0] + TOGETHER
    together = together.float() * cover
    normal = samples.normal @ camera.cam2world[:3, :3]  # from world to camera axes
    distance = torch.where(cover > 0, samples.distance, 0.0)
    layers = torch.cat(
        [
            colour,
            cover[..., None],
            (distance * together)[..., None],
            normal * together[..., None],
            together[..., None],
        ],
        -1,
    )
    pooled = pixel_means(layers.permute(2, 0, 1))
    share = pooled[8:9].clamp_min(1e-6)
    return pooled[:3], pooled[3:4], pooled[4:5] / share, F.normalize(pooled[5:8], dim=0)
