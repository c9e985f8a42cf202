"""An atlas for a mesh, and colours of a field baked into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .mesh import Mesh, vertex_normals
from .rasterize import interpolate, rasterize

Colour = Callable[[Tensor, Tensor], Tensor]  # points [K, 3], unit normals [K, 3] -> sRGB [K, 3] in 0..1
Progress = Callable[[int, int], None]  # (points done, points in all); may raise to interrupt

FAIRING_STEPS = (
    10  # before unwrapping: removes the steps of marching cubes, on which xatlas would cut a thousand charts
)
CHART_COST = 1.0  # xatlas: half its default; two dozen charts for a head, which pack well
GUTTER = 3  # texels between charts


def unwrap(mesh: Mesh, *, size: int = 512) -> Mesh:
    """The mesh with an atlas (xatlas): vertices on seams are doubled, everything else is kept.

    Charts are cut on a faired copy of the geometry, which has the same triangles and a tenth of the charts.

    Args:
        size: texels a side of the texture it is for; sets the room between charts.

    Returns:
        Mesh with uvs in 0..1 and without texture; colours of vertices are carried over.

    Raises:
        ValueError: a mesh without faces.
    """
    import xatlas

    if not len(mesh.faces):
        raise ValueError("unwrap: expected a mesh with faces, got none; extract the surface at a lower level")
    atlas = xatlas.Atlas()
    atlas.add_mesh(
        faired(mesh, FAIRING_STEPS).cpu().float().numpy(), mesh.faces.cpu().numpy().astype("uint32")
    )
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_cost = CHART_COST
    charts.roundness_weight = charts.straightness_weight = 0.0  # costs twice the time for the same coverage
    packing.resolution, packing.padding, packing.bilinear, packing.bruteForce = size, GUTTER, True, True
    atlas.generate(charts, packing)
    source, faces, uvs = (torch.from_numpy(part.copy()).to(mesh.vertices.device) for part in atlas[0])
    source, faces = source.long(), faces.long()
    pick = {
        name: value[source]
        for name in ("vertices", "normals", "vertex_colors")
        if (value := getattr(mesh, name)) is not None
    }
    return Mesh(**pick, faces=faces, uvs=uvs.to(mesh.vertices.dtype).clamp(0, 1))


def faired(mesh: Mesh, steps: int) -> Tensor:
    """Vertices [N, 3] after `steps` of Laplacian smoothing: each goes halfway to the mean of its neighbours."""
    start, end = mesh.faces.flatten(), mesh.faces.roll(-1, dims=1).flatten()
    start, end = torch.cat([start, end]), torch.cat([end, start])
    degree = torch.bincount(start, minlength=len(mesh.vertices)).clamp_min(1)[:, None]
    vertices = mesh.vertices
    for _ in range(steps):
        mean = torch.zeros_like(vertices).index_add_(0, start, vertices[end]) / degree
        vertices = (vertices + mean) / 2
    return vertices


@torch.no_grad()
def bake(
    mesh: Mesh, colour: Colour, size: int = 512, *, chunk: int = 1 << 16, callback: Progress | None = None
) -> Mesh:
    """The mesh with a texture: every texel asks for the colour of the point of the surface that it shows.

    Texels outside the charts take the colour of the nearest texel inside, so that neither bilinear lookups nor
    mip-maps bleed at seams.

    Args:
        mesh: with uvs. colour: asked `chunk` points at a time. size: texels a side.

    Returns:
        Mesh with texture [3, size, size].

    Raises:
        ValueError: a mesh without uvs, a size below 1, or an atlas that holds no texel's centre.
    """
    inside, points, normals = texels(mesh, size)
    texture = mesh.vertices.new_zeros(size, size, 3)
    texture[inside] = _colours(colour, points, normals, chunk, callback)
    return replace(mesh, texture=dilate(texture, inside).permute(2, 0, 1).contiguous(), vertex_colors=None)


def texels(mesh: Mesh, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where the texels of a mesh's atlas lie on its surface.

    Args:
        mesh: with uvs. size: texels a side.

    Returns:
        inside [size, size] bool, the texels in charts; points and normals [K, 3] of those, row by row, normals of
        any length.

    Raises:
        ValueError: as `bake`.
    """
    if mesh.uvs is None:
        raise ValueError("bake: expected a mesh with uvs, got none; unwrap it first")
    if size < 1:
        raise ValueError(f"bake: expected a positive texture size, got {size}; try 512")
    flat = torch.cat([mesh.uvs * size, torch.ones_like(mesh.uvs[:, :1])], -1)
    face_index, barycentric = rasterize(flat, mesh.faces, size, size)
    inside = face_index >= 0
    if not bool(inside.any()):
        raise ValueError(
            f"bake: no texel of {size}x{size} lies inside the mesh's atlas; take a larger size or unwrap the mesh again"
        )
    normals = vertex_normals(mesh) if mesh.normals is None else mesh.normals
    surface = interpolate(
        torch.cat([mesh.vertices, normals], -1), mesh.faces, face_index[inside], barycentric[inside]
    )
    return inside, surface[:, :3], surface[:, 3:]


@torch.no_grad()
def color_vertices(
    mesh: Mesh, colour: Colour, *, chunk: int = 1 << 16, callback: Progress | None = None
) -> Mesh:
    """The mesh with the colour [N, 3] of every vertex, instead of a texture."""
    normals = vertex_normals(mesh) if mesh.normals is None else mesh.normals
    return replace(
        mesh, vertex_colors=_colours(colour, mesh.vertices, normals, chunk, callback), texture=None
    )


def _colours(
    colour: Colour, points: Tensor, normals: Tensor, chunk: int, callback: Progress | None
) -> Tensor:
    """[K, 3] in 0..1 at points [K, 3] with normals [K, 3] of any length."""
    normals = F.normalize(normals, dim=-1)
    colours = torch.empty_like(points)
    for start in range(0, len(points), chunk):
        part = slice(start, min(start + chunk, len(points)))
        colours[part] = colour(points[part], normals[part]).to(colours)
        if callback is not None:
            callback(part.stop, len(points))
    if not bool(colours.isfinite().all()):
        raise ValueError(
            "bake: expected finite colours, got NaN or infinity; the head's weights or planes are broken, build it again"
        )
    return colours.clamp(0, 1)


def dilate(image: Tensor, valid: Tensor) -> Tensor:
    """The image [H, W, C] with every pixel where `valid` [H, W] is False replaced by the nearest one where it is True."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~valid.cpu().numpy(), return_distances=False, return_indices=True)
    row, column = torch.from_numpy(nearest).long().to(image.device)
    return image[row, column]
