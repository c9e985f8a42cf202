"""Small GLBs to change, and what makes large ones."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image
from portrait_diffusion.models.mesh import gltf


class Glb:
    """A GLB under construction: header and binary chunk."""

    def __init__(self) -> None:
        lists = ("bufferViews", "accessors", "meshes", "materials", "textures", "images")
        self.header: dict = {"asset": {"version": "2.0"}, "buffers": [{"byteLength": 0}]} | {
            name: [] for name in lists
        }
        self.header |= {"scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}]}
        self.binary = bytearray()

    def view(self, data: bytes) -> int:
        self.binary += b"\0" * (-len(self.binary) % 4)
        self.header["bufferViews"].append(
            {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)}
        )
        self.binary += data
        return len(self.header["bufferViews"]) - 1

    def accessor(self, values) -> int:
        values = np.asarray(values)
        component = {"float32": 5126, "uint16": 5123, "uint8": 5121, "uint32": 5125}[values.dtype.name]
        kind = "SCALAR" if values.ndim == 1 else f"VEC{values.shape[1]}"
        view = self.view(values.tobytes())
        self.header["accessors"].append(
            {"bufferView": view, "componentType": component, "count": len(values), "type": kind}
        )
        return len(self.header["accessors"]) - 1

    def material(self, image: dict, **more) -> int:
        """A material with a picture of its own."""
        self.header["images"].append(image)
        self.header["textures"].append({"source": len(self.header["images"]) - 1})
        colour = {"baseColorTexture": {"index": len(self.header["textures"]) - 1}, **more}
        self.header["materials"].append({"pbrMetallicRoughness": colour})
        return len(self.header["materials"]) - 1

    def encoded(self) -> bytes:
        self.header["buffers"][0]["byteLength"] = len(self.binary)
        return gltf.write_chunks(self.header, bytes(self.binary))


def triangle(positions=None, normals=None, uvs=None, colours=None) -> Glb:
    """One triangle with every attribute: accessors 0 to 3 as the arguments, 4 its indices."""
    glb = Glb()
    given = (np.eye(3) if positions is None else positions, np.eye(3) if normals is None else normals)
    given += (np.eye(3)[:, :2] if uvs is None else uvs, np.ones((3, 4)) if colours is None else colours)
    parts = [glb.accessor(np.asarray(values, np.float32)) for values in given]
    attributes = dict(zip(("POSITION", "NORMAL", "TEXCOORD_0", "COLOR_0"), parts, strict=True))
    glb.header["meshes"].append(
        {"primitives": [{"attributes": attributes, "indices": glb.accessor(np.arange(3, dtype=np.uint16))}]}
    )
    return glb


def changed(change: Callable[[dict], object]) -> bytes:
    """The triangle with another header."""
    glb = triangle()
    glb.encoded()
    change(glb.header)
    return gltf.write_chunks(glb.header, bytes(glb.binary))


def set_in(*path, **values) -> bytes:
    """The triangle with other values at a place of its header."""

    def change(header):
        for key in path:
            header = header[key]
        header.update(values)

    return changed(change)


def textured(*pictures: bytes, label: str | None = "image/png", **more) -> bytes:
    """The triangle once for each picture."""
    glb = triangle()
    (shape,) = glb.header["meshes"][0]["primitives"]
    labels = {} if label is None else {"mimeType": label}
    materials = [glb.material({"bufferView": glb.view(picture), **labels}, **more) for picture in pictures]
    glb.header["meshes"][0]["primitives"] = [{**shape, "material": material} for material in materials]
    return glb.encoded()


def textured_from(uri) -> bytes:
    """The triangle with a picture somewhere else."""
    glb = triangle()
    glb.header["meshes"][0]["primitives"][0]["material"] = glb.material({"uri": uri})
    return glb.encoded()


def data_uri(data: bytes, label: str = "image/png") -> str:
    return f"data:{label};base64,{base64.b64encode(data).decode()}"


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, *more: bytes, depth: int = 1, colour: int = 0, rows: bytes | None = None
) -> bytes:
    """A PNG of zeros: 1-bit grey, or another depth and kind; `more` are chunks before its data."""
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[colour]
    data = zlib.compress(bytes(1 + -(-width * depth * channels // 8)) * height, 9) if rows is None else rows
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(more)
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def jpeg_of_scans(count: int, size: int = 2048) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    whole = saved(Image.new("L", (size, size)), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * count + b"\xff\xd9"


def webp_of_size(side: int) -> bytes:
    """A lossless WebP that claims a size."""
    size = (side - 1) | (side - 1) << 14
    body = b"VP8L" + struct.pack("<I", 14) + b"\x2f" + struct.pack("<I", size) + bytes(9)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def with_nodes(nodes: list[dict], roots: list[int] | None = None) -> bytes:
    """The triangle's mesh shown by other nodes."""

    def change(header):
        header["nodes"] = nodes
        header["scenes"] = [{"nodes": list(range(len(nodes))) if roots is None else roots}]

    return changed(change)


def chain(length: int, **each) -> bytes:
    return with_nodes([{"children": [i + 1], **each} for i in range(length - 1)] + [{"mesh": 0, **each}], [0])


def heavy(triangles: int, nodes: int = 1, primitives: int = 1, vertices: int = 1000) -> bytes:
    """One list of triangles, shown often."""
    glb = Glb()
    shape = {"attributes": {"POSITION": glb.accessor(np.zeros((vertices, 3), np.float32))}}
    shape["indices"] = glb.accessor(np.zeros(3 * triangles, np.uint16))
    glb.header["meshes"].append({"primitives": [shape] * primitives})
    glb.header |= {"nodes": [{"mesh": 0}] * nodes, "scenes": [{"nodes": list(range(nodes))}]}
    return glb.encoded()


def raw(text: bytes, *chunks: tuple[bytes, int]) -> bytes:
    """A GLB of JSON as it is, and other chunks."""
    parts = [(text + b" " * (-len(text) % 4), gltf.JSON_CHUNK), *chunks]
    body = b"".join(struct.pack("<II", len(data), kind) + data for data, kind in parts)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def poisoned(name: str, value: float) -> bytes:
    """The triangle with all numbers of one attribute replaced."""
    return triangle(**{name: np.full((3, {"uvs": 2, "colours": 4}.get(name, 3)), value)}).encoded()


def many_materials(count: int, picture: bytes) -> bytes:
    """The triangle often, each time with another colour over the same picture."""
    glb = triangle()
    (shape,) = glb.header["meshes"][0]["primitives"]
    glb.material({"bufferView": glb.view(picture)})
    for i in range(count):
        colour = {"baseColorTexture": {"index": 0}, "baseColorFactor": [i / count, 0.5, 0.5, 1]}
        glb.header["materials"].append({"pbrMetallicRoughness": colour})
    glb.header["meshes"][0]["primitives"] = [{**shape, "material": 1 + i} for i in range(count)]
    return glb.encoded()


def many_pictures(count: int, data: bytes) -> bytes:
    """As many pictures as materials, all of the same bytes."""
    glb = triangle()
    (shape,) = glb.header["meshes"][0]["primitives"]
    view = glb.view(data)
    materials = [glb.material({"bufferView": view}) for _ in range(count)]
    glb.header["meshes"][0]["primitives"] = [{**shape, "material": material} for material in materials]
    return glb.encoded()
