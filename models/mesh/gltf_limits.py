"""What a stranger's GLB may ask for: everything that it announces is held against bounds and against its own bytes first.

`plain` keeps of a GLB what `gltf` reads (triangles, transforms, base colours) and nothing else, so that the library behind it sees no
picture, no other file's name, no count without bytes and no node twice. glTF 2.0 specification, sections 3.3 to 3.7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .gltf_values import (
    MAX_ENTRIES,
    embedded,
    entries,
    entry,
    finite,
    refusal,
    whole,
)

MAX_DEPTH = 128  # of nodes below each other
MAX_PARTS = 4_096  # primitives, counted once for each node that shows them
MAX_TRIANGLES = 4_000_000  # counted likewise
MAX_VERTICES = 4_000_000  # likewise
SLACK = 2**20  # bytes that accessors may take beyond those of all buffers
TRIANGLES, STRIP = 4, 5  # modes of a primitive
COMPONENTS = {
    5120: np.int8,
    5121: np.uint8,
    5122: np.int16,
    5123: np.uint16,
    5125: np.uint32,
    5126: np.float32,
}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
ATTRIBUTES = {  # what is read of a vertex: its types, and those of its numbers
    "POSITION": (("VEC3",), (5126,)),
    "NORMAL": (("VEC3",), (5126,)),
    "TEXCOORD_0": (("VEC2",), (5121, 5123, 5126)),
    "COLOR_0": (("VEC3", "VEC4"), (5121, 5123, 5126)),
}
INDICES = (("SCALAR",), (5121, 5123, 5125))
TRANSFORMS = {"matrix": 16, "translation": 3, "rotation": 4, "scale": 3}


@dataclass(frozen=True)
class Plain:
    """What is left of a GLB.

    Attributes:
        header, binary: a GLB without pictures, whose materials are called by their numbers.
        pictures: of each material with a base-colour texture, the number of its picture; encoded: the bytes of these.
    """

    header: dict
    binary: bytes
    pictures: dict[int, int]
    encoded: dict[int, bytes]


def plain(header: dict, binary: bytes) -> Plain:
    """A GLB's JSON and binary chunk -> what may be built of it.

    Raises:
        ValueError: a list that is too long, numbers that are none, bytes that are not there, nodes that are no tree, more to build than
            the limits of this module allow.
    """
    return _Reading(header, binary).plain()


class _Reading:
    """One pass over a GLB: lists first, then the tree of nodes, then what its meshes look at."""

    def __init__(self, header: dict, binary: bytes) -> None:
        self.header, self.binary = header, binary
        names = (
            "nodes",
            "scenes",
            "meshes",
            "accessors",
            "bufferViews",
            "buffers",
            "materials",
            "textures",
            "images",
        )
        self.lists = {name: entries(header, name) for name in names}
        self.buffers = [self._buffer(i) for i in range(len(self.lists["buffers"]))]
        self.views: list[dict] = []
        self.accessors: list[dict] = []
        self.kept: dict[int, int] = {}  # the file's accessors -> ours
        self.blocks: list[bytes] = []
        self.bytes = 0

    def plain(self) -> Plain:
        """All of it."""
        nodes, roots, shown = self._nodes()
        meshes = [self._mesh(i, mesh, shown.get(i, 0)) for i, mesh in enumerate(self.lists["meshes"])]
        self._budget(meshes, shown)
        for node in nodes:
            if "mesh" in node and not meshes[node["mesh"]]["primitives"]:
                del node["mesh"]
        pictures, encoded = self._pictures(meshes)
        binary = b"".join(self.blocks)
        header = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": roots}],
            "nodes": nodes,
            "meshes": meshes,
            "accessors": self.accessors,
            "bufferViews": self.views,
            "buffers": [{"byteLength": len(binary)}],
            "materials": [self._material(i, material) for i, material in enumerate(self.lists["materials"])],
        }
        return Plain(header, binary, pictures, encoded)

    def _buffer(self, index: int) -> bytes:
        """The bytes of a buffer: the binary chunk, or what its data: URI holds."""
        buffer = self.lists["buffers"][index]
        data = embedded(buffer["uri"], "buffer") if "uri" in buffer else self.binary if index == 0 else b""
        length = whole(buffer.get("byteLength"), "a buffer's byteLength")
        if length > len(data):
            raise refusal(
                f"a buffer of {length} bytes", f"{len(data)} in the file", "copy or export it again"
            )
        return data

    def _view(self, index: object) -> tuple[bytes, int]:
        """The bytes of a buffer view, not copied, and its stride (0: none)."""
        view = self.lists["bufferViews"][entry(self.lists["bufferViews"], index, "a buffer view")]
        data = self.buffers[entry(self.buffers, view.get("buffer"), "a buffer")]
        start = whole(view.get("byteOffset", 0), "a view's byteOffset")
        length = whole(view.get("byteLength"), "a view's byteLength")
        if start + length > len(data):
            raise refusal(
                f"a view within the {len(data)} bytes of its buffer",
                f"one up to {start + length}",
                "export the broken file again",
            )
        return memoryview(data)[start : start + length], whole(
            view.get("byteStride", 0), "a view's byteStride", 252
        )

    def _accessor(
        self, index: object, what: str, kinds: tuple[tuple[str, ...], tuple[int, ...]]
    ) -> tuple[int, np.ndarray]:
        """One of the file's accessors, kept: its new number and its values [count, width], looked at through a view."""
        number = entry(self.lists["accessors"], index, "an accessor")
        accessor = self.lists["accessors"][number]
        kind, component = accessor.get("type"), accessor.get("componentType")
        if kind not in kinds[0] or component not in kinds[1]:
            raise refusal(
                f"{what} of type {' or '.join(kinds[0])}",
                f"{str(kind)[:20]} of {str(component)[:20]}",
                "export it again as plain glTF",
            )
        count = whole(accessor.get("count"), f"the count of {what}", 3 * max(MAX_TRIANGLES, MAX_VERTICES))
        if "bufferView" not in accessor or "sparse" in accessor:
            raise refusal(
                f"{what} with {count} entries in the file",
                "an accessor without a view of its own",
                "export it again as plain glTF",
            )
        data, stride = self._view(accessor["bufferView"])
        dtype, width = np.dtype(COMPONENTS[component]), WIDTHS[kind]
        start, item = whole(accessor.get("byteOffset", 0), "an accessor's byteOffset"), dtype.itemsize * width
        stride = stride or item
        if stride < item or (count and start + (count - 1) * stride + item > len(data)):
            raise refusal(
                f"{what} with {count} entries of {item} bytes",
                f"a view of {len(data)} bytes for them",
                "export the broken file again",
            )
        values = np.ndarray((count, width), dtype, data, start, (stride, dtype.itemsize))
        if number not in self.kept:
            self.kept[number] = self._keep(values, kind, component, accessor)
        return self.kept[number], values

    def _keep(self, values: np.ndarray, kind: str, component: int, accessor: dict) -> int:
        """Put an accessor's values, packed, behind the others."""
        block = values.tobytes()
        self.bytes += len(block) + (-len(block) % 4)
        if self.bytes > sum(map(len, self.buffers)) + SLACK:
            raise refusal(
                "accessors that share no bytes",
                f"{self.bytes} bytes of them in a smaller file",
                "export it again as plain glTF",
            )
        self.blocks.append(block + b"\0" * (-len(block) % 4))
        self.views.append(
            {"buffer": 0, "byteOffset": self.bytes - len(self.blocks[-1]), "byteLength": len(block)}
        )
        self.accessors.append(
            {
                "bufferView": len(self.views) - 1,
                "componentType": component,
                "count": len(values),
                "type": kind,
            }
        )
        return len(self.accessors) - 1

    def _nodes(self) -> tuple[list[dict], list[int], dict[int, int]]:
        """The nodes that the scene shows, its roots, and how often each mesh is shown."""
        given, scenes = self.lists["nodes"], self.lists["scenes"]
        nodes, shown = [_node(node, len(self.lists["meshes"])) for node in given], {}
        scene = scenes[entry(scenes, self.header.get("scene", 0), "a scene")] if scenes else {}
        roots = [entry(given, root, "a node") for root in _list(scene.get("nodes", []), "a scene's nodes")]
        level, visited = roots, set()
        for _ in range(MAX_DEPTH):
            for index in level:
                if index in visited:
                    raise refusal(
                        "nodes that form a tree", f"node {index} twice", "export the broken file again"
                    )
                visited.add(index)
                if "mesh" in nodes[index]:
                    shown[nodes[index]["mesh"]] = shown.get(nodes[index]["mesh"], 0) + 1
            level = [
                entry(given, child, "a node") for index in level for child in nodes[index].get("children", [])
            ]
            if not level:
                return [node if i in visited else {} for i, node in enumerate(nodes)], roots, shown
        raise refusal(f"nodes at most {MAX_DEPTH} below each other", "more", "flatten the model's hierarchy")

    def _mesh(self, index: int, mesh: dict, shown: int) -> dict:
        """The triangles of a mesh, where it is shown at all."""
        name = {"name": mesh["name"]} if isinstance(mesh.get("name"), str) and len(mesh["name"]) < 256 else {}
        if not shown:
            return name | {"primitives": []}
        parts = _list(mesh.get("primitives", []), "a mesh's primitives")
        if len(parts) * shown > MAX_PARTS:
            raise refusal(
                f"at most {MAX_PARTS} parts",
                f"{len(parts) * shown} of mesh {index}",
                "join the model's parts",
            )
        return name | {"primitives": [self._primitive(part) for part in parts if _is_triangles(part)]}

    def _primitive(self, given: object) -> dict:
        """A primitive's vertices and faces, all of which are there and finite."""
        attributes = given.get("attributes")
        if not isinstance(attributes, dict) or "POSITION" not in attributes:
            raise refusal("triangles with positions", "some without", "export the broken file again")
        count, kept = None, {}
        for name, kinds in ATTRIBUTES.items():
            if name in attributes:
                kept[name], values = self._accessor(attributes[name], name, kinds)
                count = len(values) if count is None else count
                if len(values) != count:
                    raise refusal(
                        f"{name} for each of {count} vertices",
                        f"{len(values)}",
                        "export the broken file again",
                    )
                if values.dtype.kind == "f" and not np.isfinite(values).all():
                    raise refusal(
                        f"finite numbers as {name}", "NaN or infinity", "export the broken file again"
                    )
        part = {"attributes": kept, "mode": given.get("mode", TRIANGLES)}
        if "indices" in given:
            part["indices"], values = self._accessor(given["indices"], "indices", INDICES)
            if len(values) and int(values.max()) >= count:
                raise refusal(
                    f"indices below {count}, the count of vertices",
                    f"{int(values.max())}",
                    "export the broken file again",
                )
        corners = self.accessors[part["indices"]]["count"] if "indices" in part else count
        if part["mode"] == TRIANGLES and corners % 3:
            raise refusal(
                "three corners for each triangle", f"{corners} in all", "export the broken file again"
            )
        if "material" in given:
            part["material"] = entry(self.lists["materials"], given["material"], "a material")
        return part

    def _budget(self, meshes: list[dict], shown: dict[int, int]) -> None:
        """What all nodes together show."""
        parts = triangles = vertices = 0
        for index, times in shown.items():
            for part in meshes[index]["primitives"]:
                count = self.accessors[part["attributes"]["POSITION"]]["count"]
                corners = self.accessors[part["indices"]]["count"] if "indices" in part else count
                parts, vertices = parts + times, vertices + times * count
                triangles += times * (corners // 3 if part["mode"] == TRIANGLES else max(corners - 2, 0))
        for most, total, what in (
            (MAX_PARTS, parts, "parts"),
            (MAX_TRIANGLES, triangles, "triangles"),
            (MAX_VERTICES, vertices, "vertices"),
        ):
            if total > most:
                raise refusal(
                    f"at most {most} {what} in all",
                    f"{total}",
                    "simplify the model, or show its parts less often",
                )

    def _material(self, index: int, material: dict) -> dict:
        """A material's base colour, under the material's number as its name."""
        colour = {}
        if (factor := base_colour(material).get("baseColorFactor")) is not None:
            colour["baseColorFactor"] = [min(max(x, 0.0), 1.0) for x in finite(factor, 4, "baseColorFactor")]
        return {"name": str(index), "pbrMetallicRoughness": colour}

    def _pictures(self, meshes: list[dict]) -> tuple[dict[int, int], dict[int, bytes]]:
        """The base-colour pictures of materials that are used, each once."""
        used = {part["material"] for mesh in meshes for part in mesh["primitives"] if "material" in part}
        pictures, encoded = {}, {}
        for index in sorted(used):
            texture = base_colour(self.lists["materials"][index]).get("baseColorTexture")
            if texture is None:
                continue
            pictures[index] = number = self._source(texture)
            if number not in encoded:
                encoded[number] = self._encoded(self.lists["images"][number])
        return pictures, encoded

    def _source(self, texture: object) -> int:
        """The number of a texture's picture."""
        textures = self.lists["textures"]
        named = textures[
            entry(textures, texture.get("index") if isinstance(texture, dict) else None, "a texture")
        ]
        webp = _part(_part(named, "extensions"), "EXT_texture_webp").get("source")
        return entry(self.lists["images"], named.get("source") if webp is None else webp, "a picture")

    def _encoded(self, image: dict) -> bytes:
        """A picture's file as it lies in the GLB."""
        if "uri" in image:
            return embedded(image["uri"], "picture")
        if "bufferView" not in image:
            raise refusal("a picture inside the GLB", "one that is nowhere", "export the broken file again")
        return bytes(self._view(image["bufferView"])[0])


def base_colour(material: dict) -> dict:
    """A material's baseColorFactor and baseColorTexture; of the older specular form its diffuse ones."""
    specular = _part(_part(material, "extensions"), "KHR_materials_pbrSpecularGlossiness")
    names = {"diffuseFactor": "baseColorFactor", "diffuseTexture": "baseColorTexture"}
    return {new: specular[old] for old, new in names.items() if old in specular} | _part(
        material, "pbrMetallicRoughness"
    )


def _part(values: dict, name: str) -> dict:
    """An object within another; empty where there is none."""
    part = values.get(name)
    return part if isinstance(part, dict) else {}


def _list(values: object, what: str) -> list:
    if not isinstance(values, list) or len(values) > MAX_ENTRIES:
        raise refusal(
            f"a list of at most {MAX_ENTRIES} as {what}", "something else", "export the broken file again"
        )
    return values


def _is_triangles(part: object) -> bool:
    return isinstance(part, dict) and part.get("mode", TRIANGLES) in (TRIANGLES, STRIP)


def _node(given: dict, meshes: int) -> dict:
    """A node's name, children, mesh and transform."""
    node: dict = {
        name: finite(given[name], count, f"a node's {name}")
        for name, count in TRANSFORMS.items()
        if name in given
    }
    if isinstance(given.get("name"), str) and len(given["name"]) < 256:
        node["name"] = given["name"]
    if "children" in given:
        node["children"] = _list(given["children"], "a node's children")
    if "mesh" in given:
        node["mesh"] = (
            whole(given["mesh"], "the number of a mesh", meshes - 1) if meshes else entry([], 0, "a mesh")
        )
    return node
