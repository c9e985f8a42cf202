"""A body as what hair lies on, and where hair begins on it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...synthetic.people.hair.roots import Roots, spread
from ...synthetic.people.parts import Body
from ...synthetic.people.streams import Draws

NEAR = 1.5  # closer than this the nearest point's plane is the surface, centimetres


class Solid:
    """Distances to a surface told by points with normals."""

    def __init__(self, points: Tensor, normals: Tensor) -> None:
        """Args: points: [N, 3] centimetres. normals: [N, 3] unit, outward."""
        from scipy.spatial import KDTree

        self.tree = KDTree(points.numpy())
        self.points, self.normals = points, normals

    def __call__(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Signed distance [...] and outward unit direction [..., 3] at places [..., 3]."""
        flat = places.reshape(-1, 3)
        away, nearest = self.tree.query(flat.numpy())
        away = torch.from_numpy(away).to(flat.dtype)
        offset, normal = flat - self.points[nearest], self.normals[nearest]
        plane = (offset * normal).sum(1)
        share = ((away - NEAR) / NEAR).clamp(0, 1)
        distance = torch.lerp(plane, torch.where(plane < 0, -away, away), share)
        beyond = F.normalize(torch.where(plane[:, None] < 0, normal, offset), dim=1)
        outward = F.normalize(torch.lerp(normal, beyond, share[:, None]), dim=1)
        return distance.view(places.shape[:-1]), outward.view(places.shape)


def relaxed(vertices: Tensor, faces: Tensor, share: Tensor, steps: int = 6) -> Tensor:
    """Vertices [N, 3] drawn towards their neighbours' mean, as cloth spans hollows and hair lies over ears; share [N, 1], 0 to 1."""
    neighbours = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = torch.zeros(len(vertices), 1).index_add_(0, neighbours[:, 0], torch.ones(len(neighbours), 1))
    for _ in range(steps):
        total = torch.zeros_like(vertices).index_add_(0, neighbours[:, 0], vertices[neighbours[:, 1]])
        vertices = torch.lerp(vertices, total / count.clamp_min(1), 0.4 * share)
    return vertices


def scatter(body: Body, density: Tensor, count: int, draws: Draws) -> Roots:
    """Roots in proportion to area and density, in the order of the faces and evenly spread along it.

    Args:
        density: [N] >= 0 at the body's vertices. count: how many; none where the density is 0 everywhere.
    """
    faces = body.faces[density[body.faces].amax(1) > 0.02]
    corners = body.vertices[faces]
    area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(dim=1)
    chosen, weights, random = spread(faces, (area * density[faces].mean(1)).double(), count, draws)
    up = F.normalize((body.normals[chosen] * weights[..., None]).sum(1), dim=1)
    return Roots(
        rest=(body.rest[chosen] * weights[..., None]).sum(1),
        place=(body.vertices[chosen] * weights[..., None]).sum(1),
        normal=up,
        up=up,
        chance=random[:, 3],
        other=random[:, 4],
        density=(density[chosen] * weights).sum(1),
    )
