"""Exact pictures of a person: colour, soft mask, distance and normals from any camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...camera import Camera, project
from ...mesh.rasterize import rasterize
from ..rendering import Views
from .parts import Paint
from .person import Person
from .scene import Mesh, Scene
from .shading import Points, exposed, irradiance, reflection

SAMPLES = 2  # a side of the grid of samples in a pixel
GLOW = (0.0040, 0.0015)  # scene units: how far red and green light spread within skin
SKIN = 0.35  # scatter of red from which a surface counts as skin
TOGETHER = 0.012  # scene units: samples of a pixel so near to its nearest one are one surface


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
    if scene.clear is not None:
        samples = _behind_glass(samples, scene, scene.clear, camera, fine)
    return _pooled(samples, camera)


def _surfaces(scene: Scene, camera: Camera, fine: int) -> Samples:
    """The opaque surfaces alone."""
    mesh = scene.solid
    owner, points, rest, place, distance = visible(mesh, camera, fine)
    paint = painted(mesh, owner, rest)
    seen = place.nonzero()[:, 0]
    light = _spread(irradiance(points, paint, scene.light), paint.scatter[:, 0] > SKIN, seen, fine, camera)
    colour = paint.albedo * light + reflection(points, paint, scene.light)
    return Samples(
        colour=_scattered(colour, seen, fine),
        cover=place.float().view(fine, fine),
        distance=_scattered(distance[:, None], seen, fine, torch.inf)[..., 0],
        normal=_scattered(points.normal, seen, fine),
    )


def _behind_glass(samples: Samples, scene: Scene, mesh: Mesh, camera: Camera, fine: int) -> Samples:
    """What is seen through the nearest transparent surface; distance and normals stay those of what lies behind."""
    owner, points, rest, place, distance = visible(mesh, camera, fine)
    paint = painted(mesh, owner, rest)
    seen = place.nonzero()[:, 0]
    near = distance < samples.distance.flatten()[seen]
    cover = (paint.opacity * near)[:, None]
    diffuse = paint.albedo * irradiance(points, paint, scene.light)
    front = cover * diffuse + near[:, None] * reflection(points, paint, scene.light)
    colour = samples.colour.flatten(0, 1).clone()
    whole = samples.cover.flatten().clone()
    colour[seen] = (1 - cover) * colour[seen] + front
    return replace(samples, colour=colour.view_as(samples.colour), cover=whole.view(fine, fine))


def visible(mesh: Mesh, camera: Camera, fine: int) -> tuple[Tensor, Points, Tensor, Tensor, Tensor]:
    """The nearest surface at every sample.

    Args:
        mesh: N vertices. camera: unbatched. fine: R, samples a side.

    Returns:
        owner [P], `Points` [P], rest [P, 3], whether a sample [R R] sees anything, distance [P].
    """
    image, depth = project(camera, mesh.vertices)
    screen = torch.cat([image * fine, depth[:, None]], 1)
    drawn = _towards(mesh, camera)
    face, weights = rasterize(screen, mesh.faces[drawn], fine, fine)
    place = (face >= 0).flatten()
    face = drawn[face.flatten()[place]]
    weights = weights.view(-1, 3)[place]
    table = torch.cat(
        [mesh.vertices, mesh.rest, mesh.normals, mesh.coat, mesh.sky, mesh.cavity[:, None], mesh.lamps], 1
    )
    corners = mesh.faces[face]
    values = sum(table[corners[:, i]] * weights[:, i : i + 1] for i in range(3))
    position, rest, normal, coat, sky, cavity, lamps = values.split(
        [3, 3, 3, 3, 3, 1, mesh.lamps.shape[1]], 1
    )
    back = camera.position - position
    distance = back.norm(dim=1)
    view = back / distance[:, None]
    normal, coat = F.normalize(normal, dim=1), F.normalize(coat, dim=1)
    flip = torch.where(mesh.two_sided[face] & ((normal * view).sum(1) < 0), -1.0, 1.0)[:, None]
    points = Points(
        normal=normal * flip, coat=coat * flip, view=view, sky=sky, lamps=lamps, cavity=cavity[:, 0]
    )
    return mesh.owner[face], points, rest, place, distance


def painted(mesh: Mesh, owner: Tensor, rest: Tensor) -> Paint:
    """The paint of points [P] of several surfaces; rest [P, 3]."""
    size = len(rest)
    whole = Paint(
        albedo=torch.zeros(size, 3),
        roughness=torch.ones(size),
        specular=torch.zeros(size),
        scatter=torch.zeros(size, 3),
        bump=torch.zeros(size, 3),
        opacity=torch.ones(size),
    )
    for i, surface in enumerate(mesh.surfaces):
        index = (owner == i).nonzero()[:, 0]
        if len(index):
            part = surface.paint(rest[index])
            for name in ("albedo", "roughness", "specular", "scatter", "bump", "opacity"):
                getattr(whole, name)[index] = getattr(part, name)
    return whole


def _towards(mesh: Mesh, camera: Camera) -> Tensor:
    """[K] faces that a camera may see: those of closed surfaces only from outside."""
    corners = mesh.vertices[mesh.faces]
    across = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = ((camera.position - corners[:, 0]) * across).sum(1) > 0
    return (facing | mesh.two_sided).nonzero()[:, 0]


def _spread(light: Tensor, skin: Tensor, seen: Tensor, fine: int, camera: Camera) -> Tensor:
    """Light [P, 3] spread within skin across the picture, red farthest (Jimenez et al., "Separable Subsurface Scattering", 2015)."""
    pixels = float(camera.intrinsics[0, 0] * fine / camera.position.norm())
    image = torch.zeros(3, fine * fine)
    image[2, seen] = skin.float()
    image[:2, seen] = light[:, :2].T * skin
    image = image.view(3, fine, fine)
    spread = light.clone()
    for channel, reach in enumerate(GLOW):
        if reach * pixels > 0.4:
            blurred = _blurred(image[[channel, 2]], reach * pixels).view(2, -1)[:, seen]
            spread[:, channel] = torch.where(skin, blurred[0] / blurred[1].clamp_min(1e-3), light[:, channel])
    return spread


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """[C, R, R] under a Gaussian of `sigma` samples."""
    reach = max(1, round(2.2 * sigma))
    kernel = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma * sigma))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    rows = F.conv2d(image[:, None], kernel, padding=(0, reach))
    return F.conv2d(rows, kernel.mT, padding=(reach, 0))[:, 0]


def _scattered(values: Tensor, seen: Tensor, fine: int, empty: float = 0.0) -> Tensor:
    """[R, R, C] of values [P, C] at samples `seen` [P]."""
    image = torch.full((fine * fine, values.shape[1]), empty)
    image[seen] = values
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
    pooled = F.avg_pool2d(layers.permute(2, 0, 1), SAMPLES)
    share = pooled[8:9].clamp_min(1e-6)
    return pooled[:3], pooled[3:4], pooled[4:5] / share, F.normalize(pooled[5:8], dim=0)
