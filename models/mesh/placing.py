"""Meshes of others in the portraits' frame."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from ..camera import FOCAL, RADIUS
from .mesh import Mesh

FILLED = 0.9  # of what a frontal frame shows, by a mesh that is put into it


def turned(mesh: Mesh, yaw: float) -> Mesh:
    """A mesh turned about the upright axis through the origin: what looked along +z then looks towards a camera at that yaw (radians)."""
    c, s = math.cos(yaw), math.sin(yaw)
    rotation = mesh.vertices.new_tensor([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    normals = None if mesh.normals is None else mesh.normals @ rotation.T
    return replace(mesh, vertices=mesh.vertices @ rotation.T, normals=normals)


def into_frame(mesh: Mesh) -> Mesh:
    """A mesh in the middle, as large as a frame shows it whole from every side, above and below, too.

    A ball about the middle of its bounding box that holds it fills 90 % of what a frontal frame shows there.

    Raises:
        ValueError: a mesh without extent.
    """
    corners = torch.stack([mesh.vertices.amin(0), mesh.vertices.amax(0)])
    centre = corners.mean(0)
    vertices = mesh.vertices - centre
    extent = 2 * float(vertices.norm(dim=-1).max())
    if not extent > 0:
        raise ValueError(
            "mesh: expected one with an extent, got all vertices in one place; check the node that made it"
        )
    return replace(mesh, vertices=vertices * (FILLED * RADIUS / FOCAL / extent))
