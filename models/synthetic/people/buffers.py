"""What a camera's samples see of a mesh, and the fewer points that are shaded for them.

A pixel has several samples; those that see one surface at about one distance share one shaded point, with the mean of what they see
(as multisampling on graphics cards shades once a pixel). Masks, distances and normals stay those of the samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...camera import Camera, project
from ...mesh.rasterize import rasterize
from .parts import Paint
from .scene import Mesh
from .shading import Points

SAMPLES = 2  # a side of the grid of samples in a pixel
TOGETHER = 0.012  # scene units: samples of a pixel so near to each other are of one surface


@dataclass(frozen=True, kw_only=True)
class Seen:
    """P samples that see a mesh, and the G points that are shaded.

    Attributes:
        sample: [P] index into R x R. distance: [P] along rays. normal: [P, 3] unit, world.
        point: [P] which shaded point a sample shows. owner: [G] surface of a point. rest: [G, 3]. points: G `Points`.
    """

    sample: Tensor
    distance: Tensor
    normal: Tensor
    point: Tensor
    owner: Tensor
    rest: Tensor
    points: Points


def see(mesh: Mesh, camera: Camera, fine: int) -> Seen:
    """The nearest surface at every sample.

    Args:
        mesh: N vertices. camera: unbatched. fine: R, samples a side.
    """
    image, depth = project(camera, mesh.vertices)
    drawn = _towards(mesh, camera)
    face, weights = rasterize(torch.cat([image * fine, depth[:, None]], 1), mesh.faces[drawn], fine, fine)
    sample = (face.flatten() >= 0).nonzero()[:, 0]
    face = drawn[face.flatten()[sample]]
    corners, weights = mesh.faces[face], weights.view(-1, 3)[sample]
    table = torch.cat([getattr(mesh, name) for name in _LAYERS] + [mesh.lamps], 1)
    values = table[corners[:, 0]] * weights[:, :1]
    for i in (1, 2):
        values += table[corners[:, i]] * weights[:, i : i + 1]
    back = camera.position - values[:, :3]
    distance = back.norm(dim=1)
    normal = F.normalize(values[:, 6:9], dim=1)
    behind = mesh.two_sided[face] & ((normal * back).sum(1) < 0)
    flip = torch.where(behind, -1.0, 1.0)[:, None]
    values[:, 6:12] *= flip
    owner = mesh.owner[face]
    point, first, count = _shared(sample, owner, distance, fine, len(mesh.surfaces))
    mean = torch.zeros(len(count), values.shape[1]).index_add_(0, point, values) / count[:, None]
    place, rest, normals, coat, sky, cavity, lamps = mean.split([3, 3, 3, 3, 3, 1, mesh.lamps.shape[1]], 1)
    return Seen(
        sample=sample,
        distance=distance,
        normal=normal * flip,
        point=point,
        owner=owner[first],
        rest=rest,
        points=Points(
            normal=F.normalize(normals, dim=1),
            coat=F.normalize(coat, dim=1),
            view=F.normalize(camera.position - place, dim=1),
            sky=sky,
            lamps=lamps,
            cavity=cavity[:, 0],
        ),
    )


_LAYERS = ("vertices", "rest", "normals", "coat", "sky", "cavity")  # of a mesh, as `see` splits them again


def _shared(
    sample: Tensor, owner: Tensor, distance: Tensor, fine: int, surfaces: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Which point each sample [P] shows, a sample of each point [G], and how many samples it has [G]."""
    pixel = pixels(sample, fine)
    near = torch.full(((fine // SAMPLES) ** 2,), torch.inf).scatter_reduce_(0, pixel, distance, "amin")
    far = distance > near[pixel] + TOGETHER
    key = (pixel * surfaces + owner) * 2 + far
    taken = torch.zeros(2 * surfaces * (fine // SAMPLES) ** 2, dtype=torch.int32)
    taken[key] = 1
    slot = taken.cumsum(0) - 1
    point = slot[key]
    groups = int(slot[-1]) + 1
    first = torch.zeros(groups, dtype=torch.long).scatter_reduce_(
        0, point, torch.arange(len(sample)), "amin", include_self=False
    )
    count = torch.zeros(groups).index_add_(0, point, torch.ones(len(sample)))
    return point, first, count


def _towards(mesh: Mesh, camera: Camera) -> Tensor:
    """[K] faces that a camera may see: those of closed surfaces only from outside."""
    corners = mesh.vertices[mesh.faces]
    across = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = ((camera.position - corners[:, 0]) * across).sum(1) > 0
    return (facing | mesh.two_sided).nonzero()[:, 0]


def painted(mesh: Mesh, owner: Tensor, rest: Tensor) -> Paint:
    """The paint of points [G] of several surfaces; rest [G, 3]."""
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


def pixels(sample: Tensor, fine: int) -> Tensor:
    """[P] pixels that samples [P] of an R x R grid lie in."""
    row, column = sample // fine, sample % fine
    return row // SAMPLES * (fine // SAMPLES) + column // SAMPLES


def pixel_means(layers: Tensor) -> Tensor:
    """[C, S, S] of samples [C, R, R]."""
    rows = torch.stack([layers[:, i::SAMPLES] for i in range(SAMPLES)]).sum(0)
    return torch.stack([rows[:, :, i::SAMPLES] for i in range(SAMPLES)]).sum(0) / SAMPLES**2
