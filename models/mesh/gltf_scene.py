"""What a GLB's scene shows, within the limits: transforms of nodes, and primitives of meshes as arrays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial

import numpy as np

from .gltf_buffers import FLOAT, FRACTION, UNSIGNED, Buffers
from .gltf_limits import (
    AGAIN,
    MAX_DEPTH,
    MAX_NODES,
    MAX_PIECES,
    MAX_TRIANGLES,
    MAX_VERTICES,
    entries,
    entry,
    finite,
    mapping,
    refusal,
    within,
)

POINTS, LINES, TRIANGLES, STRIP = 0, 1, 4, 5  # modes of a primitive
SIMPLER = "simplify the model or export a part of it"
IDENTITY = np.eye(4)


@dataclass(frozen=True)
class Primitive:
    """Triangles as the file has them, nothing copied.

    Attributes:
        positions: [N, 3] float32, metres. indices: [K] unsigned, or None: each position once, in order.
        strip: whether an index makes a triangle with the two before it. normals: [N, 3] float32, or None.
        uvs: [N, 2], v down, colours: [N, 3 or 4], linear; float32 or integers that mean 0..1; or None.
        material: its number, or None.
    """

    positions: np.ndarray
    indices: np.ndarray | None
    strip: bool
    normals: np.ndarray | None
    uvs: np.ndarray | None
    colours: np.ndarray | None
    material: int | None

    @property
    def triangles(self) -> int:
        """How many it has."""
        count = len(self.positions) if self.indices is None else len(self.indices)
        return max(0, count - 2) if self.strip else count // 3

    def faces(self) -> np.ndarray:
        """[M, 3] int64.

        Raises:
            ValueError: an index beyond the positions.
        """
        from trimesh.util import triangle_strips_to_faces

        indices = np.arange(len(self.positions)) if self.indices is None else self.indices
        if len(indices) and int(indices.max()) >= len(self.positions):
            raise refusal(f"indices of {len(self.positions)} vertices", f"{int(indices.max())}", AGAIN)
        return triangle_strips_to_faces([indices]) if self.strip else indices.reshape(-1, 3).astype(np.int64)


def pieces(header: dict, buffers: Buffers) -> list[tuple[np.ndarray, Primitive]]:
    """(matrix [4, 4] to the world, primitive) of all triangles that the scene shows; counted before one is read.

    Raises:
        ValueError: JSON that is no glTF's, more than a limit, or numbers that are not finite.
    """
    uses_in_scene = shown_meshes(header)
    uses = Counter(mesh for _, _, mesh in uses_in_scene)
    primitives = {mesh: drawn_primitives(header, mesh) for mesh in uses}
    within(
        sum(uses[mesh] * len(primitives[mesh]) for mesh in uses), MAX_PIECES, "pieces in the scene", SIMPLER
    )
    meshes = {
        mesh: [
            primitive_of(one, buffers) for one in primitives[mesh] if one.get("mode", TRIANGLES) >= TRIANGLES
        ]
        for mesh in uses
    }
    every = [(uses[mesh], primitive) for mesh in uses for primitive in meshes[mesh]]
    within(
        sum(count * len(primitive.positions) for count, primitive in every),
        MAX_VERTICES,
        "vertices in the scene",
        SIMPLER,
    )
    within(
        sum(count * primitive.triangles for count, primitive in every),
        MAX_TRIANGLES,
        "triangles in the scene",
        SIMPLER,
    )
    for _, primitive in every:
        check_values(primitive)
    return [
        (alone if len(primitives[mesh]) == 1 else world, primitive)
        for alone, world, mesh in uses_in_scene
        for primitive in meshes[mesh]
    ]


def shown_meshes(header: dict) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """(matrix, matrix, number of a mesh) of each node with one; order and bits are those of trimesh's reader.

    The first matrix is for a mesh of one piece, the second for one of several. As in trimesh, steps within
    1e-8 of none are left out on ways of more than one step, and a mesh of several pieces is one step more.

    Raises:
        ValueError: no tree, too many nodes, too deep, or transforms that are not finite.
    """
    scene = entry(header, "scenes", header.get("scene", 0)) if entries(header, "scenes") else {}
    queue = [(node, 1, None) for node in entries(scene, "nodes")]
    indices = set()
    meshes = []
    while queue:
        index, depth, way = queue.pop()
        node = entry(header, "nodes", index)
        if index in indices:
            raise refusal("nodes with one parent each", f"node {index} in two places or within itself", AGAIN)
        indices.add(index)
        within(len(indices), MAX_NODES, "nodes in the scene", SIMPLER)
        within(depth, MAX_DEPTH, "levels of nodes", "flatten the model's hierarchy")
        local = transform_of(node)
        if np.abs(local - IDENTITY).max() > 1e-8:
            way = (local, way)
        queue += [(child, depth + 1, way) for child in entries(node, "children")]
        if "mesh" in node:
            entry(header, "meshes", node["mesh"])
            within(len(meshes) + 1, MAX_PIECES, "meshes in the scene", SIMPLER)
            world = product(way)
            meshes.append((local if depth == 1 else world, world, node["mesh"]))
    return meshes


def product(way: tuple | None) -> np.ndarray:
    """[4, 4] of a way (last step, way before it), multiplied from its end as numpy's multi_dot does.

    Raises:
        ValueError: it is not finite.
    """
    matrix, way = way or (IDENTITY, None)
    while way:
        step, way = way
        matrix = np.dot(step, matrix)
    if not np.isfinite(matrix).all():
        raise refusal("finite transforms", "nodes whose scales make infinity together", AGAIN)
    return matrix


def transform_of(node: dict) -> np.ndarray:
    """[4, 4] of a node's matrix, translation, rotation (a quaternion, its real part last) and scale.

    Raises:
        ValueError: lists of another length, or numbers that are not finite.
    """
    from trimesh.transformations import quaternion_matrix

    matrix = IDENTITY
    if "matrix" in node:
        matrix = finite(node["matrix"], "a node's matrix", 16).reshape(4, 4).T
    if "translation" in node:
        shift = np.eye(4)
        shift[:3, 3] = finite(node["translation"], "a node's translation", 3)
        matrix = np.dot(matrix, shift)
    if "rotation" in node:
        matrix = np.dot(
            matrix, quaternion_matrix(finite(node["rotation"], "a node's rotation", 4)[[3, 0, 1, 2]])
        )
    if "scale" in node:
        matrix = np.dot(matrix, np.diag([*finite(node["scale"], "a node's scale", 3), 1.0]))
    return matrix


def drawn_primitives(header: dict, index) -> list[dict]:
    """A mesh's points, lines, triangles and strips as the JSON has them; fans and loops are left out.

    Raises:
        ValueError: JSON that is no glTF's.
    """
    every = [
        mapping(one, "a mesh's primitive") for one in entries(entry(header, "meshes", index), "primitives")
    ]
    return [one for one in every if one.get("mode", TRIANGLES) in (POINTS, LINES, TRIANGLES, STRIP)]


def primitive_of(primitive: dict, buffers: Buffers) -> Primitive:
    """One primitive's arrays, not yet looked into.

    Raises:
        ValueError: what `Buffers.array` raises, or attributes of different lengths.
    """
    attributes = mapping(primitive.get("attributes"), "a primitive's attributes")
    positions = buffers.array(attributes.get("POSITION"), "POSITION", ("VEC3",), FLOAT)
    optional = partial(_optional, attributes, buffers, len(positions))
    indices = None
    if "indices" in primitive:
        indices = buffers.array(primitive["indices"], "indices", ("SCALAR",), UNSIGNED)[:, 0]
    strip = primitive.get("mode", TRIANGLES) == STRIP
    count = len(positions) if indices is None else len(indices)
    if count % 3 and not strip:
        raise refusal("three indices for each triangle", f"{count}", AGAIN)
    return Primitive(
        positions=positions,
        indices=indices,
        strip=strip,
        normals=optional("NORMAL", ("VEC3",), FLOAT),
        uvs=optional("TEXCOORD_0", ("VEC2",), FRACTION),
        colours=optional("COLOR_0", ("VEC3", "VEC4"), FRACTION),
        material=primitive.get("material"),
    )


def _optional(
    attributes: dict, buffers: Buffers, count: int, name: str, types, components
) -> np.ndarray | None:
    """An attribute's array of `count` rows, or None where there is none."""
    if name not in attributes:
        return None
    array = buffers.array(attributes[name], name, types, components)
    if len(array) != count:
        raise refusal(f"{name} for each of {count} vertices", f"{len(array)}", AGAIN)
    return array


def check_values(primitive: Primitive) -> None:
    """ValueError for NaN or infinity in any attribute."""
    for name in ("positions", "normals", "uvs", "colours"):
        values = getattr(primitive, name)
        if values is not None and values.dtype.kind == "f" and not np.isfinite(values).all():
            raise refusal(f"finite {name}", "NaN or infinity", AGAIN)
