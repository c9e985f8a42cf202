"""The triangle mesh that the room's stages hand on, and its closed-form measures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Mesh:
    """Triangles in the world, with at most one kind of colour needed: a texture, or colours of vertices.

    Attributes:
        vertices: [N, 3] scene units.
        faces: [M, 3] int64, counter-clockwise seen from outside.
        normals: [N, 3] unit length, or None.
        uvs: [N, 2] as in glTF: (0, 0) is the texture's top left corner, v runs down; or None. Seams duplicate vertices.
        texture: [3, H, W] sRGB in 0..1, needs `uvs`; or None.
        vertex_colors: [N, 3] sRGB in 0..1; or None.
    """

    vertices: Tensor
    faces: Tensor
    normals: Tensor | None = None
    uvs: Tensor | None = None
    texture: Tensor | None = None
    vertex_colors: Tensor | None = None

    def __post_init__(self) -> None:
        count = self.vertices.shape[0] if self.vertices.ndim else 0
        _expect("vertices", self.vertices, (count, 3))
        _expect("faces", self.faces, (self.faces.shape[0] if self.faces.ndim else 0, 3))
        for name, width in (("normals", 3), ("uvs", 2), ("vertex_colors", 3)):
            _expect(name, getattr(self, name), (count, width))
        if self.faces.dtype != torch.int64:
            raise ValueError(f"Mesh: expected int64 faces, got {self.faces.dtype}; convert with faces.long()")
        if self.faces.numel() and not 0 <= int(self.faces.min()) <= int(self.faces.max()) < count:
            low, high = int(self.faces.min()), int(self.faces.max())
            raise ValueError(
                f"Mesh: expected faces to index {count} vertices, got indices {low}..{high}; drop those faces"
            )
        if self.texture is not None and (
            self.texture.ndim != 3 or self.texture.shape[0] != 3 or self.uvs is None
        ):
            raise ValueError(
                f"Mesh: expected a texture [3, H, W] together with uvs, got {list(self.texture.shape)}; pass both"
            )

    def to(self, *args) -> Mesh:
        """As `Tensor.to` for every tensor of numbers; faces change device only."""
        tensors = {
            name: value.to(*args)
            for name, value in vars(self).items()
            if value is not None and name != "faces"
        }
        return replace(self, **tensors, faces=self.faces.to(tensors["vertices"].device))


def _expect(name: str, value: Tensor | None, shape: tuple[int, ...]) -> None:
    if value is not None and tuple(value.shape) != shape:
        raise ValueError(
            f"Mesh: expected {name} {list(shape)}, got {list(value.shape)}; one row per vertex or face"
        )


def corners(mesh: Mesh) -> Tensor:
    """[M, 3, 3]: the three corner positions of every face."""
    return mesh.vertices[mesh.faces]


def area_vectors(mesh: Mesh) -> Tensor:
    """[M, 3]: outward, as long as the face's area."""
    a, b, c = corners(mesh).unbind(1)
    return torch.linalg.cross(b - a, c - a) / 2


def area(mesh: Mesh) -> Tensor:
    """Surface area [], square scene units."""
    return area_vectors(mesh).norm(dim=-1).sum()


def volume(mesh: Mesh) -> Tensor:
    """Enclosed volume [], cubic scene units (divergence theorem); negative where faces point inwards."""
    return (area_vectors(mesh) * corners(mesh).mean(1)).sum() / 3


def vertex_normals(mesh: Mesh) -> Tensor:
    """[N, 3]: unit normals, every face counting by its area; +y where a vertex has no area around it.

    Vertices at one position share theirs, so that the seams of an atlas stay invisible.
    """
    positions, index = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    total = torch.zeros_like(positions)
    total.index_add_(0, index[mesh.faces.flatten()], area_vectors(mesh).repeat_interleave(3, dim=0))
    length = total.norm(dim=-1, keepdim=True)
    up = total.new_tensor([0.0, 1.0, 0.0]).expand_as(total)
    return torch.where(length > 1e-20, total / length.clamp_min(1e-20), up)[index]


def merge_coincident(mesh: Mesh) -> Mesh:
    """The same surface with one vertex per position, as geometry only: faces that lose a corner by it disappear."""
    vertices, index = torch.unique(mesh.vertices, dim=0, return_inverse=True)
    faces = index[mesh.faces]
    a, b, c = faces.unbind(1)
    return Mesh(vertices, faces[(a != b) & (b != c) & (c != a)])


def is_watertight(mesh: Mesh) -> bool:
    """Whether every edge has one face on either side, wound alike. Vertices at one position count as one (seams of an atlas)."""
    faces = merge_coincident(mesh).faces
    if faces.numel() == 0:
        return False
    count = int(faces.max()) + 1
    start, end = faces.flatten(), faces.roll(-1, dims=1).flatten()
    there, uses = torch.unique(start * count + end, return_counts=True)
    back = torch.unique(end * count + start)
    return bool((uses == 1).all()) and torch.equal(there, back)
