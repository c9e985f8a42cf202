import json
import struct
from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models import camera as c
from portrait_diffusion.models.maker import GENERATOR, SYNTHETIC, VERSION
from portrait_diffusion.models.mesh import gltf, texture
from portrait_diffusion.models.mesh.mesh import Mesh, area, volume
from portrait_diffusion.models.mesh.rasterize import render_mesh
from torch.testing import assert_close


def waves(points, normals):
    return 0.5 + 0.4 * torch.sin(points * torch.tensor([17.0, 13.0, 11.0]))


@pytest.fixture(scope="module")
def textured(sphere) -> Mesh:
    return texture.bake(texture.unwrap(sphere, size=128), waves, 128)


@pytest.fixture(scope="module")
def coloured(sphere) -> Mesh:
    return texture.color_vertices(sphere, waves)


def header_of(glb: bytes) -> dict:
    return gltf.read_chunks(glb)[0]


def accessor(glb: bytes, index: int) -> torch.Tensor:
    """A float accessor of a GLB, read by hand."""
    header, binary = gltf.read_chunks(glb)
    found = header["accessors"][index]
    start = header["bufferViews"][found["bufferView"]].get("byteOffset", 0) + found.get("byteOffset", 0)
    width = {"VEC2": 2, "VEC3": 3}[found["type"]]
    return torch.frombuffer(
        bytearray(binary[start : start + 4 * width * found["count"]]), dtype=torch.float32
    ).view(-1, width)


@pytest.mark.parametrize("kind", ["textured", "coloured", "sphere", "box"])
def test_khronos_finds_no_error_and_no_warning(kind, request, gltf_issues):
    assert gltf_issues(gltf.to_glb(request.getfixturevalue(kind))) == []


def test_the_validator_does_find_errors(sphere, gltf_issues):
    header, binary = gltf.read_chunks(gltf.to_glb(sphere))
    header["accessors"][1]["max"][0] += 1
    assert gltf_issues(gltf.write_chunks(header, binary)) != []


def test_a_textured_mesh_comes_back(textured):
    again = gltf.from_glb(gltf.to_glb(textured))
    assert torch.equal(again.faces, textured.faces)
    assert_close(again.vertices, textured.vertices)
    assert_close(again.normals, textured.normals, atol=1e-5, rtol=0)
    assert_close(again.uvs, textured.uvs, atol=1e-6, rtol=0)
    assert_close(again.texture, textured.texture, atol=0.51 / 255, rtol=0)
    assert again.vertex_colors is None


def test_vertex_colours_come_back_without_loss(coloured):
    again = gltf.from_glb(gltf.to_glb(coloured))
    assert_close(again.vertex_colors, coloured.vertex_colors, atol=1e-5, rtol=0)
    assert again.texture is None and again.uvs is None


def test_what_is_read_back_looks_the_same(textured, coloured):
    camera = c.orbit(0.4, 0.2)
    for mesh in (textured, coloured):
        before, after = (
            render_mesh(mesh, camera, 64),
            render_mesh(gltf.from_glb(gltf.to_glb(mesh)), camera, 64),
        )
        assert_close(after.rgb, before.rgb, atol=0.02, rtol=0)


def test_the_file_speaks_metres_and_linear_light(coloured):
    glb = gltf.to_glb(coloured, metres_per_unit=0.5)
    attributes = header_of(glb)["meshes"][0]["primitives"][0]["attributes"]
    assert set(attributes) == {"POSITION", "NORMAL", "COLOR_0"}
    assert_close(accessor(glb, attributes["POSITION"]), coloured.vertices * 0.5)
    linear = accessor(glb, attributes["COLOR_0"])
    assert_close(linear, gltf.srgb_to_linear(coloured.vertex_colors))
    assert_close(gltf.from_glb(glb, metres_per_unit=0.5).vertices, coloured.vertices)


def test_the_file_holds_everything_itself(textured):
    header = header_of(gltf.to_glb(textured))
    assert "head" in [node.get("name") for node in header["nodes"]]
    assert not any("uri" in part for part in header["buffers"] + header["images"])
    assert header["images"][0]["mimeType"] == "image/png"
    material = header["materials"][0]["pbrMetallicRoughness"]
    assert (
        material["metallicFactor"] == 0
        and material["roughnessFactor"] == gltf.ROUGHNESS
        and "baseColorTexture" in material
    )
    attributes = header["meshes"][0]["primitives"][0]["attributes"]
    assert set(attributes) == {"POSITION", "NORMAL", "TEXCOORD_0"}


def test_the_file_names_its_maker(textured, coloured):
    assert header_of(gltf.to_glb(coloured))["asset"] == {"version": "2.0", "generator": GENERATOR}
    asset = header_of(gltf.to_glb(textured, synthetic=True))["asset"]
    assert asset["generator"] == GENERATOR and asset["extras"] == {"digitalSourceType": SYNTHETIC}


def test_the_maker_s_version_is_the_project_s(root):
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{VERSION}"\n' in text and GENERATOR.endswith(VERSION)


def test_khronos_finds_no_fault_in_what_says_that_it_is_synthetic(textured, gltf_issues):
    assert gltf_issues(gltf.to_glb(textured, synthetic=True)) == []


def test_a_texture_is_written_alone(textured):
    both = replace(textured, vertex_colors=torch.zeros_like(textured.vertices))
    assert "COLOR_0" not in header_of(gltf.to_glb(both))["meshes"][0]["primitives"][0]["attributes"]


def test_transfer_curves_are_each_other_s_inverse():
    colour = torch.linspace(0, 1, 1001, dtype=torch.float64)
    assert_close(gltf.linear_to_srgb(gltf.srgb_to_linear(colour)), colour, atol=1e-6, rtol=0)
    assert_close(gltf.srgb_to_linear(torch.tensor(0.5)), torch.tensor(0.21404114))


def plain_glb(mesh: Mesh, node: dict | list[dict], **attributes) -> bytes:
    """A GLB as ComfyUI's core writes it: positions, indices and what is asked for; no normals, no names."""
    parts = {"POSITION": mesh.vertices.float(), **attributes}
    header = {"asset": {"version": "2.0"}, "scene": 0, "accessors": [], "bufferViews": []}
    nodes = node if isinstance(node, list) else [node]
    header |= {"nodes": nodes, "scenes": [{"nodes": list(range(len(nodes)))}]}
    binary = b""
    for data in [*parts.values(), mesh.faces.to(torch.int32).flatten()]:
        blob = data.numpy().tobytes()
        kind = "SCALAR" if data.ndim == 1 else f"VEC{data.shape[1]}"
        component = {torch.float32: 5126, torch.int32: 5125, torch.uint8: 5121}[data.dtype]
        header["bufferViews"].append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(blob)})
        header["accessors"].append(
            {
                "bufferView": len(header["accessors"]),
                "componentType": component,
                "count": len(data),
                "type": kind,
            }
        )
        if data.dtype == torch.uint8:
            header["accessors"][-1]["normalized"] = True
        binary += blob + b"\0" * (-len(blob) % 4)
    header["meshes"] = [
        {"primitives": [{"attributes": {name: i for i, name in enumerate(parts)}, "indices": len(parts)}]}
    ]
    header["buffers"] = [{"byteLength": len(binary)}]
    return gltf.write_chunks(header, binary)


def test_a_plain_file_is_read(box):
    read = gltf.from_glb(plain_glb(box, {"mesh": 0}), metres_per_unit=1.0)
    assert_close(read.vertices, box.vertices)
    assert torch.equal(read.faces, box.faces)
    assert read.normals is None and read.texture is None and read.vertex_colors is None


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_plain_files_are_linear_floats_or_bytes(box, channels):
    linear = torch.rand(8, channels, generator=torch.Generator().manual_seed(0))
    read = gltf.from_glb(plain_glb(box, {"mesh": 0}, COLOR_0=linear))
    assert_close(read.vertex_colors, gltf.linear_to_srgb(linear[:, :3]), atol=1e-5, rtol=0)
    if channels == 4:  # glTF aligns each colour to four bytes
        levels = (linear * 255).to(torch.uint8)
        read = gltf.from_glb(plain_glb(box, {"mesh": 0}, COLOR_0=levels))
        assert_close(read.vertex_colors, gltf.linear_to_srgb(levels[:, :3] / 255), atol=1e-5, rtol=0)


def test_node_transforms_are_applied_and_mirrors_keep_the_outside_outside(box):
    nodes = [{"mesh": 0, "translation": [5, 0, 0]}, {"mesh": 0, "scale": [-2, 1, 1]}]
    read = gltf.from_glb(plain_glb(box, nodes), metres_per_unit=1.0)
    assert len(read.faces) == 24
    assert_close(volume(read), torch.tensor(18.0))
    assert_close(area(read), torch.tensor(22.0 + 32.0))
    assert_close(read.vertices[:, 0].aminmax(), (torch.tensor(-2.0), torch.tensor(6.0)))


def test_several_textured_pieces_become_one_coloured_mesh(textured):
    header, binary = gltf.read_chunks(gltf.to_glb(textured))
    child = next(i for i, node in enumerate(header["nodes"]) if "mesh" in node)
    header["nodes"].append({**header["nodes"][child], "name": "twin", "translation": [1, 0, 0]})
    header["scenes"][0]["nodes"].append(len(header["nodes"]) - 1)
    read = gltf.from_glb(gltf.write_chunks(header, binary))
    assert len(read.faces) == 2 * len(textured.faces) and read.texture is None
    half = len(textured.vertices)
    assert (read.vertex_colors[half:] - waves(textured.vertices, None)).abs().mean() < 0.01


def test_a_material_s_colour_reaches_the_mesh(sphere):
    header, binary = gltf.read_chunks(gltf.to_glb(sphere))
    header["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"] = [1.0, 0.2, 0.0, 1.0]
    read = gltf.from_glb(gltf.write_chunks(header, binary))
    assert_close(read.vertex_colors[0], gltf.linear_to_srgb(torch.tensor([1.0, 0.2, 0.0])), atol=0.01, rtol=0)


def broken(change) -> bytes:
    """A good small GLB, then changed."""
    triangle = Mesh(torch.eye(3), torch.tensor([[0, 1, 2]]))
    header, binary = gltf.read_chunks(plain_glb(triangle, {"mesh": 0}))
    change(header)
    return gltf.write_chunks(header, binary)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "expected a GLB file, got 0 bytes"),
        (b"\x89PNG" + bytes(100), "do not start as one"),
        (struct.pack("<4sII", b"glTF", 1, 20) + bytes(8), "version 2, got 1"),
        (broken(lambda header: None)[:-9], "cut off"),
        (struct.pack("<4sIIII", b"glTF", 2, 20, 999, gltf.JSON_CHUNK), "does not fit"),
        (struct.pack("<4sIIII", b"glTF", 2, 24, 4, gltf.JSON_CHUNK) + b"{{{{", "expected JSON"),
        (struct.pack("<4sIIII", b"glTF", 2, 24, 4, gltf.JSON_CHUNK) + b"[]  ", "expected an object"),
        (broken(lambda header: header.pop("accessors")), "cannot be read"),
        (broken(lambda header: header["accessors"][0].update(count=10**6)), "cannot be read"),
        (broken(lambda header: header["bufferViews"][1].update(byteLength=0)), "from_glb"),
        (
            broken(lambda header: header.update(extensionsRequired=["KHR_draco_mesh_compression"])),
            "without compression",
        ),
        (broken(lambda header: header["meshes"][0]["primitives"][0].update(mode=0)), "with triangles"),
        (broken(lambda header: header.update(meshes=[], nodes=[], scenes=[{}])), "from_glb"),
    ],
)
def test_broken_files_are_refused_in_a_sentence(data, words):
    with pytest.raises(ValueError, match=words) as caught:
        gltf.from_glb(data)
    assert "\n" not in str(caught.value)


def test_any_cut_off_file_is_a_value_error():
    whole = broken(lambda header: None)
    for length in range(0, len(whole), 7):
        with pytest.raises(ValueError, match="from_glb"):
            gltf.from_glb(whole[:length])


def test_what_cannot_be_written_says_so(box):
    with pytest.raises(ValueError, match="with faces"):
        gltf.to_glb(replace(box, faces=box.faces[:0]))
    with pytest.raises(ValueError, match="finite"):
        gltf.to_glb(replace(box, vertices=box.vertices * float("nan")))
    with pytest.raises(ValueError, match="metres_per_unit"):
        gltf.to_glb(box, metres_per_unit=0)


def test_chunks_come_back(box):
    header, binary = {"a": ["é", 1]}, b"12345"
    assert gltf.read_chunks(gltf.write_chunks(header, binary)) == (
        json.loads(json.dumps(header)),
        binary + b"\0" * 3,
    )
