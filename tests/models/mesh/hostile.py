"""GLBs that ask for more than they should, and what the refusal must say."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from PIL import Image
from portrait_diffusion.models.mesh import gltf

from ...ghostscript import EPS
from .glbs import (
    chain,
    changed,
    chunk,
    data_uri,
    heavy,
    jpeg_of_scans,
    many_materials,
    many_pictures,
    png,
    poisoned,
    raw,
    saved,
    set_in,
    textured,
    textured_from,
    webp_of_size,
    with_nodes,
)

NAN, INFINITY = float("nan"), float("inf")
BIG = 300_000_000
BROKEN, SMALLER, SIMPLER, EMBED = "export it again", "scale", "simplify", "embedded"
JUNK = saved(Image.new("L", (8, 8)), "JPEG")  # its first segment ends after 20 bytes

# what -> (how to make it, what the sentence must hold)
PICTURES: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "1-bit PNG of 9000x9000": (lambda: textured(png(9000, 9000)), ["67108864 pixels", "9000x9000", SMALLER]),
    "1-bit PNG of 13000x13000": (
        lambda: textured(png(13000, 13000)),
        ["67108864 pixels", "13000x13000", SMALLER],
    ),
    "PNG that claims 10^10 pixels": (lambda: textured(png(100_000, 100_000, rows=b"")), ["pixels", SMALLER]),
    "WebP that claims 16384x16384": (lambda: textured(webp_of_size(16384)), ["expected", "got"]),
    "WebP of 8192x8192": (lambda: textured(webp_of_size(8192)), ["expected", "got"]),
    "CMYK JPEG of 8192x8192": (
        lambda: textured(saved(Image.new("CMYK", (8192, 8192)), "JPEG")),
        ["16777216 pixels", "8192x8192", SMALLER],
    ),
    "three PNGs of 8192x8192": (
        lambda: textured(*[png(8192, 8192)] * 3),
        ["pixels in all textures", SMALLER],
    ),
    "one PNG in 1000 colours": (
        lambda: many_materials(1000, png(4096, 4096)),
        ["pixels in all textures", SMALLER],
    ),
    "4000 pictures of the same 4 MB": (
        lambda: many_pictures(4000, png(1, 1) + bytes(4_000_000)),
        ["bytes in all textures", SMALLER],
    ),
    "EPS": (lambda: textured(EPS), ["PNG, JPEG or WebP", "%!PS"]),
    "GIF": (lambda: textured(saved(Image.new("L", (2, 2)), "GIF")), ["PNG, JPEG or WebP", "GIF8"]),
    "TIFF": (lambda: textured(saved(Image.new("L", (2, 2)), "TIFF")), ["PNG, JPEG or WebP"]),
    "BMP": (lambda: textured(saved(Image.new("L", (2, 2)), "BMP")), ["PNG, JPEG or WebP", "BM"]),
    "half a PNG": (
        lambda: textured(saved(Image.effect_noise((64, 64), 60), "PNG")[:900]),
        ["whole textures", "save"],
    ),
    "a JPEG's first bytes": (lambda: textured(b"\xff\xd8\xff"), ["whole textures", "save"]),
    "PNG with 80 MB of text": (
        lambda: textured(png(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80_000_000), 9)))),
        ["whole textures", "save"],
    ),
    "PNG with 80 MB of colour profile": (
        lambda: textured(
            png(8, 8, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(80_000_000), 9)), rows=b"no picture")
        ),
        ["whole textures", "save"],
    ),
    "PNG of a million chunks": (
        lambda: textured(png(8, 8, chunk(b"abCd", b"") * 1_000_000)),
        ["whole textures", "parts"],
    ),
    "JPEG of 20000 scans": (lambda: textured(jpeg_of_scans(20_000)), ["whole textures", "scans"]),
    "JPEG with 20 MB of junk": (
        lambda: textured(JUNK[:2] + b"\xff" * 20_000_000 + JUNK[2:]),
        ["whole textures", "parts"],
    ),
    "JPEG with 20 MB of other junk": (
        lambda: textured(JUNK[:20] + bytes(20_000_000) + JUNK[20:]),
        ["whole textures", "segments"],
    ),
    "picture in a file": (
        lambda: textured_from("file:///etc/hostname"),
        ["inside the GLB", "file:///etc/hostname", EMBED],
    ),
    "picture on the net": (
        lambda: textured_from("http://127.0.0.1:9/a.png"),
        ["inside the GLB", "http://", EMBED],
    ),
    "picture beside it": (lambda: textured_from("../../a.png"), ["inside the GLB", "../../a.png", EMBED]),
    "picture without base64": (lambda: textured_from("data:image/png,abc"), ["inside the GLB", EMBED]),
    "picture of broken base64": (lambda: textured_from("data:image/png;base64,a"), ["base64", BROKEN]),
    "picture nowhere": (lambda: textured_from(None), ["inside the GLB", EMBED]),
    "data URI of 40 MB": (lambda: textured_from(data_uri(bytes(30_000_000))), ["bytes of JSON", "remove"]),
}

ACCESSORS: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "3e8 items without a view": (
        lambda: changed(lambda h: (h["accessors"][0].update(count=BIG), h["accessors"][0].pop("bufferView"))),
        ["all values in a view", "without one"],
    ),
    "3e8 items in a small view": (
        lambda: set_in("accessors", 0, count=BIG),
        ["within its view of 36 bytes", "300000000"],
    ),
    "3e8 indices": (lambda: set_in("accessors", 4, count=BIG), ["within its view of 6 bytes", "300000000"]),
    "sparse": (lambda: set_in("accessors", 0, sparse={"count": BIG}), ["sparse"]),
    "view beyond its buffer": (
        lambda: set_in("bufferViews", 0, byteLength=BIG),
        ["byteLength", "300000000", BROKEN],
    ),
    "view behind its buffer": (
        lambda: set_in("bufferViews", 0, byteOffset=BIG),
        ["byteOffset", "300000000", BROKEN],
    ),
    "indices out of range": (
        lambda: changed(lambda h: h["accessors"][4].update(bufferView=0, count=3)),
        ["indices of 3 vertices", BROKEN],
    ),
    "four indices": (
        lambda: heavy(1).replace(b'"count":3,', b'"count":2,'),
        ["three indices for each triangle", BROKEN],
    ),
    "normals of fewer vertices": (
        lambda: set_in("accessors", 1, count=2),
        ["NORMAL for each of 3", "2", BROKEN],
    ),
    "uvs of fewer vertices": (
        lambda: set_in("accessors", 2, count=2),
        ["TEXCOORD_0 for each of 3", "2", BROKEN],
    ),
    "colours of fewer vertices": (
        lambda: set_in("accessors", 3, count=2),
        ["COLOR_0 for each of 3", "2", BROKEN],
    ),
    "positions as 4x4": (lambda: set_in("accessors", 0, type="MAT4"), ["POSITION of a type", "MAT4"]),
    "indices of floats": (lambda: set_in("accessors", 4, componentType=5126), ["indices of a type", "5126"]),
    "buffer in a file": (
        lambda: set_in("buffers", 0, uri="file:///dev/zero"),
        ["inside the GLB", "file:///dev/zero", EMBED],
    ),
    "buffer on the net": (
        lambda: set_in("buffers", 0, uri="http://127.0.0.1:9/b"),
        ["inside the GLB", "http://", EMBED],
    ),
    "buffer beside it": (lambda: set_in("buffers", 0, uri="b.bin"), ["inside the GLB", "b.bin", EMBED]),
    "second buffer without a place": (
        lambda: changed(
            lambda h: (h["buffers"].append({"byteLength": 400}), h["bufferViews"][0].update(buffer=1))
        ),
        ["inside the GLB", "without a place"],
    ),
}
WRONG = (-1, 2.5, True, "3", None, [3], {"a": 1}, 10**400, NAN)
for field, where in {
    "count": ("accessors", 0),
    "byteOffset": ("accessors", 1),
    "bufferView": ("accessors", 2),
    "componentType": ("accessors", 3),
    "type": ("accessors", 4),
    "buffer": ("bufferViews", 0),
    "byteLength": ("bufferViews", 1),
    "byteStride": ("bufferViews", 2),
}.items():
    for wrong in (*WRONG, 0, 1, 7, 10**9) if field == "byteStride" else WRONG:
        ACCESSORS[f"{field} {str(wrong)[:12]}"] = (
            lambda where=where, field=field, wrong=wrong: set_in(*where, **{field: wrong}),
            [],
        )

NUMBERS: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    f"{name} of {value}": (lambda name=name, value=value: poisoned(name, value), [f"finite {name}", BROKEN])
    for name in ("positions", "normals", "uvs", "colours")
    for value in (NAN, INFINITY, -INFINITY)
}
for name, length in {"matrix": 16, "translation": 3, "rotation": 4, "scale": 3}.items():
    for bad in (
        [NAN] * length,
        [INFINITY] * length,
        [1] * (length - 1),
        ["1"] * length,
        1,
        None,
        [10**400] * length,
    ):
        NUMBERS[f"{name} {str(bad)[:12]}"] = (
            lambda name=name, bad=bad: set_in("nodes", 0, **{name: bad}),
            [f"{name} of {length}", BROKEN],
        )
for bad in ([NAN] * 4, [INFINITY] * 4, [1, 1], ["a"] * 4, 0.5):
    NUMBERS[f"factor {str(bad)[:12]}"] = (
        lambda bad=bad: textured(png(1, 1), baseColorFactor=bad),
        ["baseColorFactor", BROKEN],
    )
NUMBERS |= {
    "scales that multiply to infinity": (lambda: chain(5, scale=[1e200] * 3), ["finite", BROKEN]),
    "scales beyond 32 bits": (lambda: chain(3, scale=[1e30] * 3), ["finite", BROKEN]),
    "scale 0": (lambda: set_in("nodes", 0, scale=[0, 0, 0]), ["keep a volume", "scale"]),
}

SCENES: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "3000 instances of 1e5 triangles": (
        lambda: heavy(100_000, nodes=3000),
        ["4000000 triangles", "300000000", SIMPLER],
    ),
    "5000 primitives of 1e5 triangles": (
        lambda: heavy(100_000, primitives=5000, vertices=100),
        ["4000000 triangles", "500000000", SIMPLER],
    ),
    "9000 instances of 60000 vertices": (
        lambda: heavy(1, nodes=9000, vertices=60_000),
        ["4000000 vertices", SIMPLER],
    ),
    "20000 instances": (lambda: heavy(1, nodes=20_000), ["10000", SIMPLER]),
    "20000 primitives": (lambda: heavy(1, primitives=20_000), ["10000", "20000", SIMPLER]),
    "200 instances of 200 primitives": (
        lambda: heavy(1, nodes=200, primitives=200),
        ["10000", "40000", SIMPLER],
    ),
    "chain of 50000 nodes": (lambda: chain(50_000, translation=[1, 0, 0]), ["100 levels", "flatten"]),
    "60000 nodes": (lambda: with_nodes([{"mesh": 0}] + [{}] * 60_000), ["50000 nodes", SIMPLER]),
    "cycle": (
        lambda: with_nodes([{"mesh": 0, "children": [1]}, {"children": [0]}], [0]),
        ["one parent each", BROKEN],
    ),
    "own child": (lambda: with_nodes([{"mesh": 0, "children": [0]}], [0]), ["one parent each", BROKEN]),
    "shared child": (
        lambda: with_nodes([{"children": [2]}, {"children": [2]}, {"mesh": 0}], [0, 1]),
        ["one parent each", BROKEN],
    ),
    "children that double": (
        lambda: with_nodes([{"children": [i + 1, i + 1]} for i in range(40)] + [{"mesh": 0}], [0]),
        ["one parent each", BROKEN],
    ),
    "the same root twice": (lambda: with_nodes([{"mesh": 0}], [0, 0]), ["one parent each", BROKEN]),
    "nested JSON": (lambda: raw(b"[" * 200_000), ["JSON as flat", BROKEN]),
    "nested JSON within": (
        lambda: raw(b'{"extras":' * 100_000 + b"1" + b"}" * 100_000),
        ["JSON as flat", BROKEN],
    ),
    "40 MB of JSON": (
        lambda: raw(b'{"asset":{"version":"2.0","copyright":"' + b"a" * 40_000_000 + b'"}}'),
        ["bytes of JSON"],
    ),
    "20 MB of lists": (lambda: raw(b'{"extras":[' + b"[]," * 7_000_000 + b"0]}"), ["values in a GLB's JSON"]),
    "20 MB of digits": (lambda: raw(b'{"extras":' + b"9" * 20_000_000 + b"}"), ["JSON"]),
    "257 MiB": (lambda: raw(b"{}", (bytes(257 * 2**20), gltf.BINARY_CHUNK)), ["bytes of a GLB", SIMPLER]),
    "a million chunks": (lambda: raw(b"{}", *[(b"", 7)] * 1_000_000), ["64 chunks"]),
}
for name in ("scene", "scenes", "nodes", "meshes", "accessors", "bufferViews", "buffers"):
    for bad in (-1, 9, "a", {"a": 1}, [1], [[]], [None]):
        SCENES[f"{name} {bad}"] = (
            lambda name=name, bad=bad: changed(lambda header: header.update({name: bad})),
            [],
        )
for name in ("mesh", "children"):
    for bad in (-1, 9, "a", {"a": 1}, [[]], [-1], [9], ["a"]):
        SCENES[f"node's {name} {bad}"] = (lambda name=name, bad=bad: set_in("nodes", 0, **{name: bad}), [])
for name in ("attributes", "indices", "material"):
    for bad in (-1, 9, "a", {"a": 1}, [1]):
        SCENES[f"{name} {bad}"] = (
            lambda name=name, bad=bad: set_in("meshes", 0, "primitives", 0, **{name: bad}),
            [],
        )

ROWS = {**PICTURES, **ACCESSORS, **NUMBERS, **SCENES}
