"""GLB (binary glTF 2.0), there and back, through trimesh. World and glTF share axes: +y up, the face along +z."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..maker import GENERATOR, SYNTHETIC
from .gltf_buffers import Buffers
from .gltf_colours import BaseColour, base_colour, check_pictures, pixels
from .gltf_limits import AGAIN, MAX_BYTES, MAX_CHUNKS, MAX_JSON, MAX_JSON_ITEMS, entries, refusal, within
from .gltf_scene import Primitive
from .gltf_scene import pieces as scene_pieces
from .mesh import Mesh, vertex_normals
from .rasterize import sample_texture

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

METRES_PER_UNIT = 0.7  # a head of the canonical frame in life size
ROUGHNESS = 0.9  # skin and hair without a highlight map: nearly matt
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
BLOCK = 2**18  # values of a texture that are computed at a time
COLOURS = "_COLOUR_0"  # trimesh keeps 8 bits of COLOR_0 and all 32 of an attribute of the application's own
COMPRESSED = {"KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_mesh_quantization"}


def to_glb(mesh: Mesh, *, metres_per_unit: float = METRES_PER_UNIT, synthetic: bool = False) -> bytes:
    """A self-contained GLB: node "head", NORMAL, and TEXCOORD_0 with an embedded PNG or else linear COLOR_0.

    Where a mesh has both, only the texture is written: viewers multiply the two. `asset.generator` names the maker.

    Args:
        synthetic: the mesh is made by a generative model, which `asset.extras` then says by IPTC's term.

    Raises:
        ValueError: no faces, a scale that is not positive, or values that are not finite.
    """
    import trimesh
    from trimesh.exchange.gltf import export_glb

    if not len(mesh.faces):
        raise ValueError("to_glb: expected a mesh with faces, got none; extract the surface at a lower level")
    if not metres_per_unit > 0:
        raise ValueError(
            f"to_glb: expected a positive metres_per_unit, got {metres_per_unit}; a head's is {METRES_PER_UNIT}"
        )
    if not all(bool(x.isfinite().all()) for x in vars(mesh).values() if x is not None):
        raise ValueError(
            "to_glb: expected finite vertices, normals, uvs and colours, got NaN or infinity; build the mesh again"
        )
    normals = vertex_normals(mesh) if mesh.normals is None else mesh.normals
    colours: dict[str, ArrayLike] | None = None
    if mesh.texture is None and mesh.vertex_colors is not None:
        colours = {COLOURS: _numpy(srgb_to_linear(mesh.vertex_colors.clamp(0, 1))).astype(np.float32)}
    geometry = trimesh.Trimesh(
        vertices=_numpy(mesh.vertices) * metres_per_unit,
        faces=_numpy(mesh.faces),
        vertex_normals=_numpy(torch.nn.functional.normalize(normals, dim=-1)),
        visual=_visual(mesh),
        vertex_attributes=colours,
        process=False,
    )
    scene = trimesh.Scene()
    scene.add_geometry(geometry, node_name="head", geom_name="head")
    return export_glb(
        scene,
        include_normals=True,
        unitize_normals=True,
        tree_postprocessor=partial(_finish, synthetic=synthetic),
    )


def _visual(mesh: Mesh):
    from PIL import Image
    from trimesh.visual.material import PBRMaterial
    from trimesh.visual.texture import TextureVisuals

    material = PBRMaterial(name="head", metallicFactor=0.0, roughnessFactor=ROUGHNESS)
    if mesh.texture is None or mesh.uvs is None:
        return TextureVisuals(material=material)
    pixels = (_numpy(mesh.texture.clamp(0, 1)).transpose(1, 2, 0) * 255).round().astype(np.uint8)
    material.baseColorTexture = Image.fromarray(pixels)
    uv = _numpy(mesh.uvs).astype(np.float64)
    return TextureVisuals(
        uv=np.stack([uv[:, 0], 1 - uv[:, 1]], -1), material=material
    )  # from v down to trimesh's v up


def _finish(tree: dict, *, synthetic: bool) -> None:
    """What trimesh leaves open: who made it, the colours' proper name, and which buffer views are vertices and which are indices."""
    tree["asset"]["generator"] = GENERATOR
    if synthetic:
        tree["asset"]["extras"] = {"digitalSourceType": SYNTHETIC}
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            attributes = primitive["attributes"]
            if COLOURS in attributes:
                attributes["COLOR_0"] = attributes.pop(COLOURS)
            targets = dict.fromkeys(attributes.values(), ARRAY_BUFFER) | {
                primitive["indices"]: ELEMENT_ARRAY_BUFFER
            }
            for accessor, target in targets.items():
                tree["bufferViews"][tree["accessors"][accessor]["bufferView"]]["target"] = target


def from_glb(data: bytes, *, metres_per_unit: float = METRES_PER_UNIT) -> Mesh:
    """All triangles of a GLB's scene as one mesh in scene units, node transforms applied.

    One textured piece keeps its texture; of several pieces the colours are read at their vertices. Of pictures
    only base colours are decoded, and only PNG, JPEG and WebP.

    Raises:
        ValueError: for bytes that are no GLB 2.0, are cut off or broken, are compressed, need other files, hold
            no triangles, have numbers that are not finite, or ask for more than the limits of `gltf_limits`.
    """
    if not metres_per_unit > 0:
        raise ValueError(
            f"from_glb: expected a positive metres_per_unit, got {metres_per_unit}; a head's is {METRES_PER_UNIT}"
        )
    within(len(data), MAX_BYTES, "bytes of a GLB", "simplify the model or its textures")
    header, binary = read_chunks(data)
    extensions = entries(header, "extensionsRequired")
    compressions = sorted(name for name in COMPRESSED if name in extensions)
    if compressions:
        raise refusal(
            "a plain GLB", f"one that needs {', '.join(compressions)}", "export it without compression"
        )
    buffers = Buffers(header, binary)
    with np.errstate(all="ignore"):  # what overflows is refused in `_piece`
        pieces = [_piece(header, *piece) for piece in scene_pieces(header, buffers) if piece[1].triangles]
    if not pieces:
        raise refusal("a GLB with triangles", "none", "export the mesh itself, not lines, points or cameras")
    check_pictures(buffers, [colour for _, colour in pieces])
    mesh = _textured(*pieces[0], buffers) if len(pieces) == 1 else _joined(_coloured(pieces, buffers))
    return replace(mesh, vertices=mesh.vertices / metres_per_unit)


def read_chunks(data: bytes) -> tuple[dict, bytes]:
    """The JSON and the binary chunk of a GLB (glTF 2.0 specification, section 4.4).

    Raises:
        ValueError: another format or version, a file cut off, too many chunks, or JSON that is no object.
    """
    if len(data) < 20 or data[:4] != b"glTF":
        raise ValueError(
            f"from_glb: expected a GLB file, got {len(data)} bytes that do not start as one; pick a .glb"
        )
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise ValueError(f"from_glb: expected glTF version 2, got {version}; export it as GLB 2.0")
    if length > len(data):
        raise ValueError(
            f"from_glb: expected {length} bytes as the GLB announces, got {len(data)}; the file is cut off, copy it again"
        )
    chunks = {}
    at, count = 12, 0
    while at + 8 <= length:
        size, kind = struct.unpack_from("<II", data, at)
        if at + 8 + size > length:
            raise refusal(
                f"chunks within the GLB's {length} bytes", f"one of {size} that does not fit", AGAIN
            )
        if kind in (JSON_CHUNK, BINARY_CHUNK):
            chunks.setdefault(kind, data[at + 8 : at + 8 + size])
        at, count = at + 8 + size, count + 1
        within(count, MAX_CHUNKS, "chunks in a GLB", AGAIN)
    header = _parsed(chunks.get(JSON_CHUNK, b""))
    if not isinstance(header, dict):
        raise ValueError(
            "from_glb: expected an object in the GLB's JSON, got something else; export the broken file again"
        )
    return header, chunks.get(BINARY_CHUNK, b"")


def _parsed(text: bytes):
    """The JSON of a GLB, counted before it is read.

    Raises:
        ValueError: none, too much, or nested too deep.
    """
    advice = "remove what describes no triangles"
    within(len(text), MAX_JSON, "bytes of JSON in a GLB", advice)
    within(sum(map(text.count, (b",", b"[", b"{"))), MAX_JSON_ITEMS, "values in a GLB's JSON", advice)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise refusal("JSON as flat as glTF's", "lists within lists without end", AGAIN) from error
    except ValueError as error:
        raise refusal(
            "JSON in the GLB's first chunk", "something else", "export the broken file again"
        ) from error


def write_chunks(header: dict, binary: bytes) -> bytes:
    """A GLB of a JSON and a binary chunk."""
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    body = (
        struct.pack("<II", len(text), JSON_CHUNK)
        + text
        + struct.pack("<II", len(binary), BINARY_CHUNK)
        + binary
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def _piece(header: dict, transform: np.ndarray, primitive: Primitive) -> tuple[Mesh, BaseColour]:
    """A primitive in the world's axes, metres, and its base colour; uvs where that has a picture, else colours.

    Raises:
        ValueError: numbers that the transform makes infinite, or a transform that normals cannot follow.
    """
    linear = transform[:3, :3]
    vertices = primitive.positions.astype(np.float64) @ linear.T + transform[:3, 3]
    faces = primitive.faces()
    if np.linalg.det(linear) < 0:  # a mirror turns faces inside out
        faces = faces[:, ::-1]
    colour = base_colour(header, primitive.material)
    if primitive.uvs is None:
        colour = replace(colour, image=None)
    mesh = Mesh(
        vertices=_tensor(vertices),
        faces=torch.from_numpy(np.ascontiguousarray(faces)),
        normals=_normals(primitive, linear),
        uvs=None if colour.image is None or primitive.uvs is None else _uvs(primitive.uvs),
        vertex_colors=_vertex_colours(primitive, colour) if colour.image is None else None,
    )
    if not all(bool(x.isfinite().all()) for x in (mesh.vertices, mesh.normals) if x is not None):
        raise refusal("finite vertices and normals", "some that a node's transform makes infinite", AGAIN)
    return mesh, colour


def _normals(primitive: Primitive, linear: np.ndarray) -> Tensor | None:
    """[N, 3] unit length, or None where the file has none."""
    if primitive.normals is None:
        return None
    try:
        normals = primitive.normals.astype(np.float64) @ np.linalg.inv(linear)
    except np.linalg.LinAlgError as error:
        content, advice = "a node that flattens its mesh", "give its scale another value than 0"
        raise refusal("transforms that keep a volume", content, advice) from error
    return _tensor(normals / np.linalg.norm(normals, axis=-1, keepdims=True).clip(1e-20))


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _uvs(uvs: np.ndarray) -> Tensor:
    """[N, 2], v turned over in the file's precision and back in full: the bits of trimesh's reader."""
    uvs = _unit(uvs)
    return _tensor(np.stack([uvs[:, 0].astype(np.float64), 1 - (1 - uvs[:, 1]).astype(np.float64)], -1))


def _vertex_colours(primitive: Primitive, colour: BaseColour) -> Tensor | None:
    """[N, 3] sRGB of a primitive without a texture; None where it is white."""
    white = np.allclose(colour.factor, 1)
    if primitive.colours is None and white:
        return None
    colours = primitive.colours
    linear = np.ones((len(primitive.positions), 3)) if colours is None else _unit(colours[:, :3])
    return _tensor(_linear_to_srgb((linear * np.array(colour.factor)).clip(0, 1)))


def _unit(values: np.ndarray) -> np.ndarray:
    """Values in 0..1, from the normalised integers that glTF allows, too."""
    return values / np.iinfo(values.dtype).max if values.dtype.kind in "iu" else values


def _texture(image: int, colour: BaseColour, buffers: Buffers) -> Tensor:
    """[3, H, W] sRGB of a base colour's picture and factor; in blocks, since the curves take float64."""
    levels = pixels(buffers, image).transpose(2, 0, 1)
    shape, factor = levels.shape, np.array(colour.factor)
    white = np.allclose(colour.factor, 1)
    levels, values = levels.reshape(-1), np.empty(levels.size, np.float32)
    for start in range(0, len(levels), BLOCK):
        block = levels[start : start + BLOCK].astype(np.float32) / 255
        if not white:
            channel = np.arange(start, start + len(block)) // (shape[1] * shape[2])
            block = _linear_to_srgb(_srgb_to_linear(block) * factor[channel])
        values[start : start + len(block)] = block
    return torch.from_numpy(values.reshape(shape))


def _textured(mesh: Mesh, colour: BaseColour, buffers: Buffers) -> Mesh:
    """A piece with its texture, where it has one."""
    if colour.image is None:
        return mesh
    return replace(mesh, texture=_texture(colour.image, colour, buffers))


def _coloured(pieces: list[tuple[Mesh, BaseColour]], buffers: Buffers) -> list[Mesh]:
    """Pieces with what their textures show at their vertices; each is decoded once and then forgotten."""
    meshes = [mesh for mesh, _ in pieces]
    by_texture: dict[tuple[int, BaseColour], list[int]] = {}
    for i, (_, colour) in enumerate(pieces):
        if colour.image is not None:
            by_texture.setdefault((colour.image, colour), []).append(i)
    for (image, colour), members in by_texture.items():
        texture = _texture(image, colour, buffers)
        for i in members:
            meshes[i] = _sampled(meshes[i], texture)
    return meshes


def _sampled(mesh: Mesh, texture: Tensor) -> Mesh:
    """A piece with colours of its vertices in place of its uvs."""
    if mesh.uvs is None:
        return mesh
    return replace(mesh, uvs=None, vertex_colors=sample_texture(texture, mesh.uvs))


def _joined(pieces: list[Mesh]) -> Mesh:
    """One mesh of several, with vertex colours where any has colour (white elsewhere)."""
    any_colour = any(piece.vertex_colors is not None for piece in pieces)
    starts = np.cumsum([0] + [len(piece.vertices) for piece in pieces])
    return Mesh(
        vertices=torch.cat([piece.vertices for piece in pieces]),
        faces=torch.cat([piece.faces + int(start) for piece, start in zip(pieces, starts[:-1], strict=True)]),
        normals=torch.cat(
            [vertex_normals(piece) if piece.normals is None else piece.normals for piece in pieces]
        ),
        vertex_colors=torch.cat([_colours(piece) for piece in pieces]) if any_colour else None,
    )


def _colours(mesh: Mesh) -> Tensor:
    """[N, 3] sRGB at the vertices."""
    return torch.ones_like(mesh.vertices) if mesh.vertex_colors is None else mesh.vertex_colors


def srgb_to_linear(colour: Tensor) -> Tensor:
    """IEC 61966-2-1, [...] in 0..1 -> [...] in 0..1."""
    return torch.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(colour: Tensor) -> Tensor:
    """IEC 61966-2-1, [...] in 0..1 -> [...] in 0..1."""
    return torch.where(
        colour <= 0.0031308, colour * 12.92, 1.055 * colour.clamp_min(1e-8) ** (1 / 2.4) - 0.055
    )


def _srgb_to_linear(colour: np.ndarray) -> np.ndarray:
    return srgb_to_linear(torch.from_numpy(np.ascontiguousarray(colour))).numpy()


def _linear_to_srgb(colour: np.ndarray) -> np.ndarray:
    return linear_to_srgb(torch.from_numpy(np.ascontiguousarray(colour))).numpy()


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
