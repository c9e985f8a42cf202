"""GLB (binary glTF 2.0), there and back, through trimesh. World and glTF share axes: +y up, the face along +z."""

from __future__ import annotations

import io
import json
import math
import struct
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..pictures import format_of, open_picture
from .gltf_limits import Plain, plain
from .gltf_values import MAX_BYTES, MAX_JSON, refusal
from .mesh import Mesh, vertex_normals
from .rasterize import sample_texture

METRES_PER_UNIT = 0.7  # a head of the canonical frame in life size
ROUGHNESS = 0.9  # skin and hair without a highlight map: nearly matt
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
COLOURS = "_COLOUR_0"  # trimesh keeps 8 bits of COLOR_0 and all 32 of an attribute of the application's own
MAX_PIXELS = 8192**2  # of a texture of three colours; with transparency three quarters of them
MAX_ALL_PIXELS = 2 * 8192**2  # of all in a file
MAX_SIDE = 4096  # pixels of a texture's side that are kept; larger ones are scaled down
KEPT_PIXELS = 3 * 4096**2 // 2  # of all textures together; where there are many, each is scaled down
COMPRESSED = {"KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_mesh_quantization"}


def to_glb(mesh: Mesh, *, metres_per_unit: float = METRES_PER_UNIT) -> bytes:
    """A self-contained GLB: node "head", NORMAL, and TEXCOORD_0 with an embedded PNG or else linear COLOR_0.

    Where a mesh has both, only the texture is written: viewers multiply the two.
    """
    import trimesh

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
    colours = None
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
    return scene.export(
        file_type="glb", include_normals=True, unitize_normals=True, tree_postprocessor=_finish
    )


def _visual(mesh: Mesh):
    from PIL import Image
    from trimesh.visual.material import PBRMaterial
    from trimesh.visual.texture import TextureVisuals

    material = PBRMaterial(name="head", metallicFactor=0.0, roughnessFactor=ROUGHNESS)
    if mesh.texture is None:
        return TextureVisuals(material=material)
    pixels = (_numpy(mesh.texture.clamp(0, 1)).transpose(1, 2, 0) * 255).round().astype(np.uint8)
    material.baseColorTexture = Image.fromarray(pixels)
    uv = _numpy(mesh.uvs).astype(np.float64)
    return TextureVisuals(
        uv=np.stack([uv[:, 0], 1 - uv[:, 1]], -1), material=material
    )  # from v down to trimesh's v up


def _finish(tree: dict) -> None:
    """What trimesh leaves open: the colours' proper name, and which buffer views are vertices and which are indices."""
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

    One textured piece keeps its texture; of several pieces the colours are read at their vertices.

    Raises:
        ValueError: for bytes that are no GLB 2.0, are cut off or broken, are compressed, or hold no triangles.
    """
    import trimesh

    if not metres_per_unit > 0:
        raise ValueError(
            f"from_glb: expected a positive metres_per_unit, got {metres_per_unit}; a head's is {METRES_PER_UNIT}"
        )
    if len(data) > MAX_BYTES:
        raise refusal(f"at most {MAX_BYTES >> 20} MiB", f"{len(data) >> 20} MiB", "simplify the model")
    header, binary = read_chunks(data)
    needed = header.get("extensionsRequired", [])
    compressed = (
        COMPRESSED.intersection(x for x in needed if isinstance(x, str)) if isinstance(needed, list) else ()
    )
    if compressed:
        raise refusal(
            "a plain GLB", f"one that needs {', '.join(sorted(compressed))}", "export it without compression"
        )
    try:
        clean = plain(header, binary)
        textures = base_colours(clean)
        _hide_colours(clean.header)
        scene = trimesh.load(
            io.BytesIO(write_chunks(clean.header, clean.binary)),
            file_type="glb",
            force="scene",
            process=False,
        )
        pieces = [_piece(scene.geometry[name], transform, textures) for transform, name in _placed(scene)]
    except (
        Exception
    ) as error:  # trimesh has no exception of its own: whatever a broken file makes it stumble on
        if str(error).startswith("from_glb: "):
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
        raise refusal("a valid GLB", f"one that cannot be read ({reason})", "export it again") from error
    pieces = [piece for piece in pieces if piece is not None and len(piece.faces)]
    if not pieces:
        raise ValueError(
            "from_glb: expected a GLB with triangles, got none; export the mesh itself, not lines, points or cameras"
        )
    mesh = pieces[0] if len(pieces) == 1 else _joined(pieces)
    if not bool(mesh.vertices.isfinite().all()):
        raise refusal(
            "vertices of finite size",
            "some that a node's transform made infinite",
            "export the broken file again",
        )
    return replace(mesh, vertices=mesh.vertices / metres_per_unit)


def base_colours(clean: Plain) -> dict[int, Tensor]:
    """Of each material with a picture, the texture [3, H, W] in [0, 1], decoded once for all materials that share it.

    Raises:
        ValueError: a picture that is no PNG, JPEG or WebP, is damaged, or has too many pixels, alone or with the others.
    """
    budget = MAX_ALL_PIXELS
    for data in clean.encoded.values():  # all of them before any is decoded
        budget -= pixels_of(data, budget)
    side = min(MAX_SIDE, math.isqrt(KEPT_PIXELS // max(1, len(clean.encoded))))
    decoded = {number: decoded_picture(data, side) for number, data in clean.encoded.items()}
    textures = {
        number: torch.from_numpy(decoded.pop(number).astype(np.float32)).div_(255) for number in list(decoded)
    }
    return {material: textures[number] for material, number in clean.pictures.items()}


def pixels_of(data: bytes, budget: int) -> int:
    """How many pixels an encoded picture has.

    Raises:
        ValueError: it is no PNG, JPEG or WebP, its header is damaged, or it has more pixels than a picture may, or than are left.
    """
    from PIL import Image

    kind = format_of(data)
    if kind is None:
        raise refusal(
            "a texture that is PNG, JPEG or WebP",
            f"one that begins with {data[:8]!r}",
            "save its pictures as PNG",
        )
    limit = f"textures of at most {MAX_PIXELS} pixels, {MAX_ALL_PIXELS} in all"
    try:
        with open_picture(data, (kind,)) as image:
            (width, height), bands = image.size, len(image.getbands())
    except Image.DecompressionBombError as error:
        raise refusal(limit, "far more", "scale its pictures down") from error
    except Exception as error:  # Pillow's plug-ins raise what they like
        raise _damaged(kind, error) from error
    if width * height > min(MAX_PIXELS, budget) or width * height * bands > 3 * MAX_PIXELS:
        raise refusal(limit, f"{width}x{height} on top of the others'", "scale its pictures down")
    return width * height


def decoded_picture(data: bytes, side: int) -> np.ndarray:
    """An encoded picture -> uint8 [3, H, W], its sides at most `side` pixels.

    Raises:
        ValueError: it is damaged.
    """
    from PIL import Image

    kind = format_of(data)
    try:
        with open_picture(data, (kind,)) as image:
            image.draft(None, (side, side))  # a JPEG is decoded at a half or less where that is enough
            factor = -(-max(image.size) // side)
            small = image.reduce(factor) if factor > 1 and image.mode in ("L", "LA", "RGB", "RGBA") else image
            pixels = small.convert("RGB")
            pixels.thumbnail((side, side), Image.Resampling.BOX)
    except Exception as error:
        raise _damaged(kind, error) from error
    return np.ascontiguousarray(np.asarray(pixels).transpose(2, 0, 1))


def _damaged(kind: str, error: Exception) -> ValueError:
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
    return refusal("a whole texture", f"a damaged {kind} ({reason})", "save its picture again")


def read_chunks(data: bytes) -> tuple[dict, bytes]:
    """The JSON and the binary chunk of a GLB (glTF 2.0 specification, section 4.4)."""
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
    chunks, at = {}, 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<II", data, at)
        if at + 8 + size > length:
            raise ValueError(
                f"from_glb: a chunk of {size} bytes does not fit into the GLB's {length}; the file is broken, export it again"
            )
        chunks.setdefault(kind, data[at + 8 : at + 8 + size])
        at += 8 + size
    if len(chunks.get(JSON_CHUNK, b"")) > MAX_JSON:
        raise refusal(
            f"at most {MAX_JSON >> 20} MiB of JSON",
            f"{len(chunks[JSON_CHUNK]) >> 20} MiB",
            "remove what describes no triangles",
        )
    try:
        header = json.loads(chunks.get(JSON_CHUNK, b""))
    except RecursionError as error:
        raise refusal(
            "JSON of a glTF's depth", "lists within lists without end", "export the broken file again"
        ) from error
    except ValueError as error:
        raise ValueError(
            "from_glb: expected JSON in the GLB's first chunk, got something else; export the broken file again"
        ) from error
    if not isinstance(header, dict):
        raise ValueError(
            "from_glb: expected an object in the GLB's JSON, got something else; export the broken file again"
        )
    return header, chunks.get(BINARY_CHUNK, b"")


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


def _hide_colours(header: dict) -> None:
    """COLOR_0 under a name whose values trimesh hands over as they are."""
    for mesh in header.get("meshes", []):
        for primitive in mesh["primitives"]:
            if "COLOR_0" in primitive["attributes"]:
                primitive["attributes"][COLOURS] = primitive["attributes"].pop("COLOR_0")


def _placed(scene) -> list[tuple[np.ndarray, str]]:
    """(matrix [4, 4], name of geometry) of every node that shows triangles."""
    placed = [scene.graph[node] for node in scene.graph.nodes_geometry]
    return [(np.asarray(matrix), name) for matrix, name in placed if hasattr(scene.geometry[name], "faces")]


def _piece(geometry, transform: np.ndarray, textures: dict[int, Tensor]) -> Mesh | None:
    """One trimesh geometry in the world's axes, metres."""
    linear = transform[:3, :3]
    vertices = geometry.vertices @ linear.T + transform[:3, 3]
    faces = np.asarray(geometry.faces, dtype=np.int64)
    if np.linalg.det(linear) < 0:  # a mirror turns faces inside out
        faces = faces[:, ::-1]
    normals = None
    if "vertex_normals" in geometry._cache.cache:  # given in the file, not made up by trimesh
        normals = np.asarray(geometry.vertex_normals) @ np.linalg.inv(linear)
        normals = normals / np.linalg.norm(normals, axis=-1, keepdims=True).clip(1e-20)
    uvs, texture, colours = _surface(geometry, textures)
    faces = torch.from_numpy(np.ascontiguousarray(faces))
    return Mesh(_tensor(vertices), faces, _tensor(normals), _tensor(uvs), texture, _tensor(colours))


def _tensor(values: np.ndarray | None) -> Tensor | None:
    return None if values is None else torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _surface(
    geometry, textures: dict[int, Tensor]
) -> tuple[np.ndarray | None, Tensor | None, np.ndarray | None]:
    """uvs [N, 2] (v down), texture [3, H, W], vertex colours [N, 3] of a trimesh geometry; sRGB. textures: by material."""
    material = getattr(geometry.visual, "material", None)
    texture, uv = (
        textures.get(int(getattr(material, "name", None) or -1)),
        getattr(geometry.visual, "uv", None),
    )
    factor = (
        np.ones(3)
        if getattr(material, "baseColorFactor", None) is None
        else np.asarray(material.baseColorFactor)[:3] / 255
    )
    linear = geometry.vertex_attributes.get(COLOURS)
    if texture is not None and uv is not None:
        if not np.allclose(factor, 1):
            texture = linear_to_srgb(
                srgb_to_linear(texture) * torch.from_numpy(factor)[:, None, None]
            ).float()
        return np.stack([uv[:, 0], 1 - uv[:, 1]], -1), texture, None  # from trimesh's v up to v down
    if linear is None and np.allclose(factor, 1):
        return None, None, None
    linear = np.ones((len(geometry.vertices), 3)) if linear is None else _unit(np.asarray(linear)[:, :3])
    return None, None, _linear_to_srgb((linear * factor).clip(0, 1))


def _unit(values: np.ndarray) -> np.ndarray:
    """Colours in 0..1, from the normalised integers that glTF allows, too."""
    return values / np.iinfo(values.dtype).max if values.dtype.kind in "iu" else values


def _joined(pieces: list[Mesh]) -> Mesh:
    """One mesh of several, with vertex colours where any has colour (white elsewhere)."""
    coloured = any(piece.texture is not None or piece.vertex_colors is not None for piece in pieces)
    starts = np.cumsum([0] + [len(piece.vertices) for piece in pieces])
    return Mesh(
        vertices=torch.cat([piece.vertices for piece in pieces]),
        faces=torch.cat([piece.faces + int(start) for piece, start in zip(pieces, starts[:-1], strict=True)]),
        normals=torch.cat(
            [vertex_normals(piece) if piece.normals is None else piece.normals for piece in pieces]
        ),
        vertex_colors=torch.cat([_colours(piece) for piece in pieces]) if coloured else None,
    )


def _colours(mesh: Mesh) -> Tensor:
    """[N, 3] sRGB at the vertices."""
    if mesh.texture is not None:
        return sample_texture(mesh.texture, mesh.uvs)
    return torch.ones_like(mesh.vertices) if mesh.vertex_colors is None else mesh.vertex_colors


def srgb_to_linear(colour: Tensor) -> Tensor:
    """IEC 61966-2-1, values in 0..1."""
    return torch.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(colour: Tensor) -> Tensor:
    """IEC 61966-2-1, values in 0..1."""
    return torch.where(
        colour <= 0.0031308, colour * 12.92, 1.055 * colour.clamp_min(1e-8) ** (1 / 2.4) - 0.055
    )


def _linear_to_srgb(colour: np.ndarray) -> np.ndarray:
    return linear_to_srgb(torch.from_numpy(np.ascontiguousarray(colour))).numpy()


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
