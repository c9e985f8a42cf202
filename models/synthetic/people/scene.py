"""A person made ready for cameras: one mesh of all surfaces, and the light that reaches each of its vertices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .hair.mass import hair_cloud, solid_cloud, strand_light
from .light import Light
from .occlusion import Sky, dense_points, lamp_visibility, sky_maps, sky_transfer, sparse_points
from .parts import Hair, Surface

STRAND_STEP = 2  # every second strand stands for its neighbour where hair throws shadows


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """Surfaces as one mesh of N vertices.

    Attributes:
        vertices, rest, normals, coat: [N, 3]; coat: normals of a wet layer on top, else the same as normals.
        faces: [F, 3]. owner: [F] index of the surface. two_sided: [F] bool, whether its back is seen.
        sky: [N, 3] irradiance over pi from the sky. lamps: [N, L] visibility of each lamp. cavity: [N, 1] 1 in the open, less in folds.
        surfaces: those that own faces.
    """

    vertices: Tensor
    rest: Tensor
    normals: Tensor
    coat: Tensor
    faces: Tensor
    owner: Tensor
    two_sided: Tensor
    sky: Tensor
    lamps: Tensor
    cavity: Tensor
    surfaces: tuple[Surface, ...]


@dataclass(frozen=True, kw_only=True)
class Strands:
    """One piece of hair and the light at its points. Attributes: sky: [N, K, 3] as of `Mesh`. lamps: [N, K, L]."""

    hair: Hair
    sky: Tensor
    lamps: Tensor


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What cameras look at. Attributes: solid, clear: opaque and transparent surfaces; the latter may be None."""

    solid: Mesh
    clear: Mesh | None
    strands: tuple[Strands, ...]
    light: Light


def make_scene(surfaces: list[Surface], hair: list[Hair], light: Light) -> Scene:
    """Surfaces and hair of a person in a light."""
    used = [_used(surface) for surface in surfaces]
    solid = [surface for surface in used if not surface.transparent]
    clear = [surface for surface in used if surface.transparent]
    outer = [surface for surface in solid if surface.recess == 0.0]
    dense = torch.cat([dense_points(surface.vertices, surface.faces) for surface in outer])
    broad = [surface for surface in outer if not surface.thin]
    sparse = torch.cat([sparse_points(surface.vertices, surface.faces) for surface in broad])
    strands = [piece.strands for piece in hair if piece.name == "hair"]
    cloud = [strand_points(some[::STRAND_STEP]) for some in strands]
    sky = sky_maps(torch.cat([sparse, *(some[:: 2 * STRAND_STEP].flatten(0, 1) for some in strands)]))
    occluders = torch.cat([dense, *cloud])
    return Scene(
        solid=_mesh(solid, sky, occluders, light),
        clear=_mesh(clear, sky, occluders, light) if clear else None,
        strands=_strands(hair, sparse, light),
        light=light,
    )


def strand_points(strands: Tensor) -> Tensor:
    """[P, 3] points along strands [N, K, 3], twice as dense as theirs."""
    return torch.cat([strands.flatten(0, 1), ((strands[:, 1:] + strands[:, :-1]) / 2).flatten(0, 1)])


def smooth_normals(surface: Surface) -> Tensor:
    """[N, 3] unit normals of a surface, each face by its area; its own where it brings them."""
    if surface.normals is not None:
        return surface.normals
    corners = surface.vertices[surface.faces]
    across = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    total = torch.zeros_like(surface.vertices)
    for corner in surface.faces.unbind(1):
        total.index_add_(0, corner, across)
    return F.normalize(total, dim=-1)


def _mesh(surfaces: list[Surface], sky: Sky, occluders: Tensor, light: Light) -> Mesh:
    normals = [smooth_normals(surface) for surface in surfaces]
    starts = torch.tensor([0] + [len(surface.vertices) for surface in surfaces]).cumsum(0)
    vertices = torch.cat([surface.vertices for surface in surfaces])
    normal = torch.cat(normals)
    raised = torch.cat([s.vertices + s.recess * n for s, n in zip(surfaces, normals, strict=True)])
    transfer = sky_transfer(raised, normal, sky)
    return Mesh(
        vertices=vertices,
        rest=torch.cat([surface.rest for surface in surfaces]),
        normals=normal,
        coat=torch.cat([n if s.coat is None else s.coat for s, n in zip(surfaces, normals, strict=True)]),
        faces=torch.cat([s.faces + start for s, start in zip(surfaces, starts.tolist())]),
        owner=torch.cat([torch.full((len(s.faces),), i) for i, s in enumerate(surfaces)]),
        two_sided=torch.cat([torch.full((len(s.faces),), s.two_sided) for s in surfaces]),
        sky=(transfer @ light.sky).clamp_min(0),
        lamps=torch.stack([lamp_visibility(raised, normal, occluders, lamp) for lamp in light.lamps], 1),
        cavity=torch.cat([_cavity(s, n) for s, n in zip(surfaces, normals, strict=True)])[:, None],
        surfaces=tuple(surfaces),
    )


def _used(surface: Surface) -> Surface:
    """A surface without the vertices that none of its faces has."""
    used, faces = surface.faces.unique(return_inverse=True)
    return Surface(
        vertices=surface.vertices[used],
        faces=faces,
        rest=surface.rest[used],
        paint=surface.paint,
        name=surface.name,
        transparent=surface.transparent,
        two_sided=surface.two_sided,
        normals=None if surface.normals is None else surface.normals[used],
        coat=None if surface.coat is None else surface.coat[used],
        cavity=None if surface.cavity is None else surface.cavity[used],
        recess=surface.recess,
        thin=surface.thin,
    )


def _cavity(surface: Surface, normals: Tensor) -> Tensor:
    """[N] 1 where a surface is flat or bulges, less where it folds: what a depth map's cells are too coarse for."""
    if surface.cavity is not None:
        return surface.cavity
    total, count = torch.zeros_like(surface.vertices), torch.zeros(len(surface.vertices), 1)
    for corner, following in ((0, 1), (1, 2), (2, 0)):
        start, end = surface.faces[:, corner], surface.faces[:, following]
        total.index_add_(0, start, surface.vertices[end])
        count.index_add_(0, start, torch.ones(len(start), 1))
    away = total / count.clamp_min(1) - surface.vertices
    size = away.norm(dim=1).clamp_min(1e-5) + 0.002
    hollow = ((away * normals).sum(1) / size).clamp_min(0)
    return 1 - 0.75 * hollow.clamp_max(0.8)


def _strands(hair: list[Hair], solid: Tensor, light: Light) -> tuple[Strands, ...]:
    if not hair:
        return ()
    grid, block = hair_cloud(hair), solid_cloud(solid)
    lit = [strand_light(piece, grid, block, light) for piece in hair]
    return tuple(
        Strands(hair=piece, sky=sky, lamps=lamps) for piece, (sky, lamps) in zip(hair, lit, strict=True)
    )
