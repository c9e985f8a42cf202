"""GLBs that a stranger could hand us: what they are called, how they are made, and the words of their refusal.

Run as a program with a folder, it reads each case there in turn and prints its CPU seconds, peak memory and words as JSON.
"""

import base64
import json
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
TRIANGLE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
UV = np.array([[0, 0], [1, 0], [0, 1]], np.float32)


def glb(header: dict | bytes, binary: bytes = b"") -> bytes:
    """A GLB of a header (or of its text) and a binary chunk."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    body = (
        struct.pack("<II", len(text), 0x4E4F534A)
        + text
        + struct.pack("<II", len(binary), 0x004E4942)
        + binary
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def triangle(change=None, blob: bytes = b"", positions=TRIANGLE, uv=UV) -> bytes:
    """One triangle with UVs and a material, whose header `change` changes; `blob` is the bytes of buffer view 2."""
    parts = [
        np.ascontiguousarray(positions, np.float32).tobytes(),
        np.ascontiguousarray(uv, np.float32).tobytes(),
        blob,
    ]
    offsets = np.cumsum([0] + [len(part) for part in parts]).tolist()
    header = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {}}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(positions), "type": "VEC3"},
            {"bufferView": 1, "componentType": 5126, "count": len(uv), "type": "VEC2"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": offsets[i], "byteLength": len(parts[i])} for i in range(3) if parts[i]
        ],
        "buffers": [{"byteLength": offsets[-1]}],
    }
    if change is not None:
        change(header)
    return glb(header, b"".join(parts))


def textured(blob: bytes, image: dict | None = None, slot: str = "baseColorTexture") -> bytes:
    """A triangle with a picture as one of its material's textures; slot "" for a picture that no material names."""

    def change(header: dict) -> None:
        header["images"] = [
            {"bufferView": 2} | (image or {}) if image is None or "uri" not in image else image
        ]
        header["textures"] = [{"source": 0}]
        material = header["materials"][0]
        if slot:
            place = (
                material["pbrMetallicRoughness"]
                if slot in ("baseColorTexture", "metallicRoughnessTexture")
                else material
            )
            place[slot] = {"index": 0}

    return triangle(change, blob)


def png(width: int, height: int, bits: int = 1, colour: int = 0, extra: bytes = b"") -> bytes:
    """A PNG of zeros, written row by row so that making it takes no memory."""
    channels = {0: 1, 2: 3, 6: 4}[colour]
    row = b"\0" + bytes(-(-width * bits * channels // 8))
    packer, data = zlib.compressobj(1), []
    for _ in range(height):
        data.append(packer.compress(row))
    data.append(packer.flush())

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", b"".join(data))
        + chunk(b"IEND", b"")
    )


def text_bomb() -> bytes:
    """A PNG whose text chunk inflates to 200 MB."""
    packed = b"Comment\0\0" + zlib.compress(bytes(200 * 2**20), 9)
    chunk = (
        struct.pack(">I", len(packed)) + b"zTXt" + packed + struct.pack(">I", zlib.crc32(b"zTXt" + packed))
    )
    return png(4, 4, extra=chunk)


def grid(count: int) -> np.ndarray:
    """`count` triangles' corners."""
    return np.tile(TRIANGLE, (count, 1))


def many(name: str, count: int, entry: dict):
    return lambda header: header.update({name: [entry] * count})


def set_accessor(**values):
    return lambda header: header["accessors"][0].update(values)


def set_view(**values):
    return lambda header: header["bufferViews"][0].update(values)


def set_node(**values):
    return lambda header: header["nodes"][0].update(values)


def without_view(header: dict) -> None:
    header["accessors"][0].update(count=300_000_000)
    del header["accessors"][0]["bufferView"]


def sparse(header: dict) -> None:
    without_view(header)
    indices = {"bufferView": 1, "componentType": 5125}
    header["accessors"][0]["sparse"] = {"count": 1, "indices": indices, "values": {"bufferView": 0}}


def chain(length: int):
    def change(header: dict) -> None:
        header["nodes"] = [{"children": [i + 1]} for i in range(length - 1)] + [{"mesh": 0}]

    return change


def instances(count: int):
    def change(header: dict) -> None:
        header["nodes"], header["scenes"] = [{"mesh": 0}] * count, [{"nodes": list(range(count))}]

    return change


def nodes(*given: dict):
    return lambda header: header.update(nodes=list(given))


def primitives(count: int):
    return lambda header: header["meshes"][0].update(primitives=header["meshes"][0]["primitives"] * count)


def overlapping(header: dict) -> None:
    header["accessors"] = [dict(header["accessors"][0]) for _ in range(4_000)] + [header["accessors"][1]]
    header["meshes"] = [{"primitives": [{"attributes": {"POSITION": i}} for i in range(4_000)]}]


def indexed(values: list[int], component: int = 5125):
    def change(header: dict) -> None:
        header["bufferViews"].append({"buffer": 0, "byteOffset": 60, "byteLength": 4 * len(values)})
        header["accessors"].append(
            {
                "bufferView": len(header["bufferViews"]) - 1,
                "componentType": component,
                "count": len(values),
                "type": "SCALAR",
            }
        )
        header["meshes"][0]["primitives"][0]["indices"] = 2

    return triangle(change, np.array(values, np.uint32).tobytes())


def same_texture(count: int) -> bytes:
    """Many materials that name one large picture."""

    def change(header: dict) -> None:
        header["images"], header["textures"] = [{"bufferView": 2}], [{"source": 0}]
        header["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}] * count
        primitive = header["meshes"][0]["primitives"][0]
        header["meshes"][0]["primitives"] = [primitive | {"material": i} for i in range(count)]

    return triangle(change, png(4096, 4096))


def many_textures(count: int, side: int) -> bytes:
    """Many large pictures in the same few bytes."""

    def change(header: dict) -> None:
        header["images"], header["textures"] = (
            [{"bufferView": 2}] * count,
            [{"source": i} for i in range(count)],
        )
        header["materials"] = [
            {"pbrMetallicRoughness": {"baseColorTexture": {"index": i}}} for i in range(count)
        ]
        primitive = header["meshes"][0]["primitives"][0]
        header["meshes"][0]["primitives"] = [primitive | {"material": i} for i in range(count)]

    return triangle(change, png(side, side))


def not_finite(values: np.ndarray, value: float) -> np.ndarray:
    changed = values.copy()
    changed[1, 1] = value
    return changed


def uri(text: str):
    return textured(b"", {"uri": text})


def buffer_at(text: str):
    return triangle(lambda header: header["buffers"][0].update(uri=text))


def bad_json(text: bytes) -> bytes:
    return glb(b'{"asset": {"version": "2.0"}, "extras": ' + text + b"}")


CASES = {  # name -> (how it is made, words of its refusal)
    "EPS as base colour": (lambda: textured(EPS), "PNG, JPEG or WebP"),
    "EPS called PNG": (lambda: textured(EPS, {"mimeType": "image/png"}), "PNG, JPEG or WebP"),
    "EPS called JPEG": (lambda: textured(EPS, {"mimeType": "image/jpeg"}), "PNG, JPEG or WebP"),
    "EPS in a data URI": (
        lambda: uri("data:image/png;base64," + base64.b64encode(EPS).decode()),
        "PNG, JPEG or WebP",
    ),
    "a TIFF": (lambda: textured(b"II*\0" + bytes(64)), "PNG, JPEG or WebP"),
    "a PNG cut off": (lambda: textured(png(64, 64)[:45]), "damaged PNG"),
    "1-bit PNG of 9000": (lambda: textured(png(9000, 9000)), "9000x9000"),
    "1-bit PNG of 13000": (lambda: textured(png(13_000, 13_000)), "13000x13000"),
    "a PNG of 200000 by 1": (lambda: textured(png(200_000, 1_000)), "far more"),
    "a larger RGBA picture": (lambda: textured(png(8192, 8000, 8, 6)), "8192x8000"),
    "many large textures": (lambda: many_textures(40, 4096), "in all"),
    "text that inflates": (lambda: textured(text_bomb()), "damaged PNG"),
    "a picture elsewhere": (lambda: uri("http://127.0.0.1:9/a.png"), "inside the GLB"),
    "a picture's file": (lambda: uri("file:///etc/hostname"), "inside the GLB"),
    "a picture's path": (lambda: uri("../../a.png"), "inside the GLB"),
    "a buffer elsewhere": (lambda: buffer_at("http://127.0.0.1:9/a.bin"), "inside the GLB"),
    "a buffer's file": (lambda: buffer_at("file:///etc/hostname"), "inside the GLB"),
    "a buffer's path": (lambda: buffer_at("a.bin"), "inside the GLB"),
    "no base64": (lambda: buffer_at("data:application/octet-stream;base64,####"), "base64"),
    "a count without a view": (lambda: triangle(without_view), "without a view|from 0 to"),
    "a small count without a view": (
        lambda: triangle(lambda h: h["accessors"][0].pop("bufferView")),
        "without a view",
    ),
    "a sparse accessor": (lambda: triangle(sparse), "without a view|from 0 to"),
    "a count beyond its view": (lambda: triangle(set_accessor(count=9_000_000)), "a view of 36 bytes"),
    "a negative count": (lambda: triangle(set_accessor(count=-1)), "whole number"),
    "half a count": (lambda: triangle(set_accessor(count=1.5)), "whole number"),
    "a count in words": (lambda: triangle(set_accessor(count="three")), "whole number"),
    "an offset beyond": (lambda: triangle(set_accessor(byteOffset=40)), "a view of 36 bytes"),
    "a negative offset": (lambda: triangle(set_view(byteOffset=-12)), "whole number"),
    "a huge stride": (lambda: triangle(set_view(byteStride=2**31)), "whole number"),
    "a stride of one": (lambda: triangle(set_view(byteStride=1)), "entries of 12 bytes"),
    "a view beyond its buffer": (lambda: triangle(set_view(byteLength=10**6)), "within the"),
    "a buffer beyond the file": (
        lambda: triangle(lambda h: h["buffers"][0].update(byteLength=10**8)),
        "in the file",
    ),
    "accessors over each other": (
        lambda: triangle(overlapping, positions=grid(10_000)),
        "share no bytes|at most 4000000",
    ),
    "an index beyond": (lambda: indexed([0, 1, 7]), "indices below 3"),
    "two corners": (lambda: indexed([0, 1]), "three corners"),
    "indices of floats": (lambda: indexed([0, 1, 2], 5126), "of type SCALAR"),
    "3000 times 1e5 triangles": (
        lambda: triangle(instances(3_000), positions=grid(100_000), uv=np.tile(UV, (100_000, 1))),
        "in all",
    ),
    "1e5 primitives": (lambda: triangle(primitives(100_000)), "at most"),
    "10000 primitives": (lambda: triangle(primitives(10_000)), "at most 4096"),
    "a chain of 50000": (lambda: triangle(chain(50_000)), "at most 10000 nodes"),
    "a chain of 9000": (lambda: triangle(chain(9_000)), "below each other"),
    "a circle": (lambda: triangle(nodes({"mesh": 0, "children": [1]}, {"children": [0]})), "form a tree"),
    "its own child": (lambda: triangle(nodes({"mesh": 0, "children": [0]})), "form a tree"),
    "a child of two": (
        lambda: triangle(nodes({"children": [1, 2]}, {"children": [3]}, {"children": [3]}, {"mesh": 0})),
        "form a tree",
    ),
    "doubling children": (
        lambda: triangle(nodes(*({"children": [i + 1, i + 1]} for i in range(60)), {"mesh": 0})),
        "form a tree",
    ),
    "a child that is not": (lambda: triangle(set_node(children=[5])), "the number of a node"),
    "a mesh that is not": (lambda: triangle(set_node(mesh=9)), "the number of a mesh"),
    "a material that is not": (lambda: triangle(lambda h: h.update(materials=[])), "a material"),
    "positions with NaN": (
        lambda: triangle(positions=not_finite(TRIANGLE, np.nan)),
        "finite numbers as POSITION",
    ),
    "infinite positions": (
        lambda: triangle(positions=not_finite(TRIANGLE, np.inf)),
        "finite numbers as POSITION",
    ),
    "UVs with NaN": (lambda: triangle(uv=not_finite(UV, np.nan)), "finite numbers as TEXCOORD_0"),
    "a matrix with NaN": (
        lambda: triangle(set_node(matrix=[float("nan")] * 16)),
        "finite numbers as a node's matrix",
    ),
    "a matrix of 15": (lambda: triangle(set_node(matrix=[1.0] * 15)), "16 finite numbers"),
    "infinite translation": (
        lambda: triangle(set_node(translation=[1e999, 0, 0])),
        "finite numbers as a node's translation",
    ),
    "a rotation of words": (
        lambda: triangle(set_node(rotation=["a", 0, 0, 1])),
        "finite numbers as a node's rotation",
    ),
    "scales that overflow": (
        lambda: triangle(nodes({"scale": [1e29] * 3, "children": [1]}, {"scale": [1e29] * 3, "mesh": 0})),
        "finite size",
    ),
    "colours with NaN": (
        lambda: triangle(
            lambda h: h["materials"][0]["pbrMetallicRoughness"].update(baseColorFactor=[float("nan")] * 4)
        ),
        "finite numbers as baseColorFactor",
    ),
    "lists within lists": (lambda: bad_json(b"[" * 100_000 + b"]" * 100_000), "without end"),
    "objects within objects": (lambda: bad_json(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "without end"),
    "JSON of 60 MB": (lambda: bad_json(b"[" + b"[]," * 20_000_000 + b"0]"), "MiB of JSON"),
    "30000 accessors": (lambda: triangle(many("accessors", 30_000, {})), "at most 20000 accessors"),
    "a list of numbers": (lambda: triangle(lambda h: h.update(nodes=[1, 2])), "list of objects"),
    "a list that is none": (lambda: triangle(lambda h: h.update(materials={"a": 1})), "list of objects"),
}
HARMLESS = {  # what is read all the same, since nobody looks at the picture
    **{
        f"EPS as {slot or 'a picture that nobody names'}": lambda slot=slot: textured(
            EPS, {"mimeType": "image/png"}, slot
        )
        for slot in ("normalTexture", "metallicRoughnessTexture", "emissiveTexture", "occlusionTexture", "")
    },
    "a TIFF as normals": lambda: textured(b"II*\0" + bytes(64), None, "normalTexture"),
    "one picture for 200 materials": lambda: same_texture(200),
    "six large textures": lambda: many_textures(6, 4096),
    "a large RGBA picture": lambda: textured(png(7000, 7000, 8, 6)),
    "a large RGB picture": lambda: textured(png(8192, 8192, 8, 2)),
}


def peak(reset: bool = False) -> int:
    """Bytes that this process has held at most, since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def main(root: str, folder: str) -> None:
    """Read every file of a folder as a GLB."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(
        "portrait_diffusion", Path(root) / "__init__.py", submodule_search_locations=[root]
    )
    sys.modules["portrait_diffusion"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["portrait_diffusion"])
    from portrait_diffusion.models.mesh.gltf import from_glb

    from_glb(triangle())  # the libraries' own memory
    report = {}
    for path in sorted(Path(folder).glob("*.glb")):
        data = path.read_bytes()
        start, clock = peak(reset=True), time.process_time()
        try:
            words = f"read {len(from_glb(data).faces)} faces"
        except ValueError as error:
            words = str(error)
        report[path.stem] = {"seconds": time.process_time() - clock, "bytes": peak() - start, "words": words}
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
