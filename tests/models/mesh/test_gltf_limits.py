"""GLBs that ask for too much: one sentence, within seconds and little memory, and no program started."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image
from portrait_diffusion.models.mesh import gltf
from torch.testing import assert_close

from ...ghostscript import EPS, stand_in
from . import glbs, hostile

SECONDS, BYTES = 5.0, 500 * 2**20
SLOTS = ("normalTexture", "occlusionTexture", "emissiveTexture")
OLDER = "KHR_materials_pbrSpecularGlossiness"

# what is allowed, and as heavy as that gets
ALLOWED = {
    "1-bit PNG of 8192x8192": lambda: glbs.textured(glbs.png(8192, 8192)),
    "RGBA PNG of 8192x8192": lambda: glbs.textured(glbs.png(8192, 8192, depth=8, colour=6)),
    "JPEG of 8192x8192": lambda: glbs.textured(
        glbs.saved(Image.new("RGB", (8192, 8192)), "JPEG", progressive=True)
    ),
    "WebP of 4096x4096": lambda: glbs.textured(glbs.saved(Image.new("RGB", (4096, 4096)), "WEBP")),
    "PNG of 4096x4096 in a colour": lambda: glbs.textured(
        glbs.png(4096, 4096), baseColorFactor=[0.5, 0.2, 0.1, 1]
    ),
    "chain of 100 nodes": lambda: glbs.chain(100, translation=[0, 1, 0]),
    "9000 instances": lambda: glbs.heavy(1, nodes=9000, vertices=3),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, dict]:
    """What came of each file in one process of its own, with a stand-in for Ghostscript on its path."""
    folder = tmp_path_factory.mktemp("hostile")
    path, marker = stand_in(folder / "bin")
    every = {
        "good": lambda: glbs.textured(glbs.png(2, 2)),
        **{name: make for name, (make, _) in hostile.ROWS.items()},
        **ALLOWED,
    }
    for number, make in enumerate(every.values()):
        (folder / str(number)).write_bytes(make())
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("measure.py")],
        input="\n".join(str(folder / str(number)) for number in range(len(every))),
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = dict(zip(every, map(json.loads, done.stdout.splitlines()), strict=True))
    slowest, largest = (
        max(found, key=lambda name, key=key: found[name][key]) for key in ("seconds", "bytes")
    )
    print(
        f"slowest {found[slowest]['seconds']:.2f} s ({slowest}), "
        f"largest {found[largest]['bytes'] >> 20} MiB ({largest})"
    )
    return found | {"started": {"seconds": 0, "bytes": 0, "said": marker.exists(), "kind": None}}


@pytest.mark.whole
@pytest.mark.parametrize("name", hostile.ROWS)
def test_one_sentence_soon_and_small(name, outcomes):
    outcome, words = outcomes[name], hostile.ROWS[name][1]
    said = outcome["said"]
    assert said is not None, "it was read"
    assert (
        outcome["kind"] == "ValueError"
        and said.startswith("from_glb: expected ")
        and ", got " in said
        and "; " in said
    ), said
    assert "\n" not in said and len(said) < 400 and [word for word in words if word not in said] == [], said
    assert outcome["seconds"] < SECONDS and outcome["bytes"] < BYTES, outcome


@pytest.mark.whole
@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_stays_within_the_same_bounds(name, outcomes):
    outcome = outcomes[name]
    assert outcome["said"] is None and outcome["seconds"] < SECONDS and outcome["bytes"] < BYTES, outcome


@pytest.mark.whole
def test_nothing_was_started(outcomes):
    assert not outcomes["started"]["said"]


@pytest.fixture
def ghostscript(tmp_path, monkeypatch):
    """The file that a stand-in for Ghostscript on the path writes when it is started."""
    path, marker = stand_in(tmp_path / "bin")
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # looked for once in a process
    return marker


def test_the_stand_in_is_started_where_formats_are_not_named(ghostscript, tmp_path):
    (tmp_path / "a.png").write_bytes(EPS)
    with pytest.raises(Exception, match=r"."):  # it writes no picture
        Image.open(tmp_path / "a.png").load()
    assert ghostscript.exists()


@pytest.mark.parametrize("label", ["image/png", "image/jpeg", "image/webp", None])
@pytest.mark.parametrize("inside", [True, False])
def test_a_base_colour_starts_no_program(ghostscript, label, inside):
    if inside:
        data = glbs.textured(EPS, label=label)
    else:
        data = glbs.textured_from(glbs.data_uri(EPS, label or "application/octet-stream"))
    with pytest.raises(ValueError, match="PNG, JPEG or WebP"):
        gltf.from_glb(data)
    assert not ghostscript.exists()


def with_another_picture(picture: dict, place: str) -> bytes:
    """A good textured triangle, and a picture that is no base colour."""
    glb = glbs.triangle()
    (shape,) = glb.header["meshes"][0]["primitives"]
    shape["material"] = glb.material({"bufferView": glb.view(glbs.png(2, 2))})
    if "data" in picture:
        picture = {"bufferView": glb.view(picture.pop("data")), **picture}
    glb.header["images"].append(picture)
    glb.header["textures"].append({"source": 1})
    material = glb.header["materials"][0]
    if place == "metallicRoughnessTexture":
        material["pbrMetallicRoughness"][place] = {"index": 1}
    elif place == "specularGlossinessTexture":
        material["extensions"] = {OLDER: {"diffuseTexture": {"index": 0}, place: {"index": 1}}}
    elif place != "no material":
        material[place] = {"index": 1}
    return glb.encoded()


@pytest.mark.parametrize(
    "place", [*SLOTS, "metallicRoughnessTexture", "specularGlossinessTexture", "no material"]
)
@pytest.mark.parametrize(
    "picture", [{"data": EPS, "mimeType": "image/png"}, {"data": EPS}, {"uri": glbs.data_uri(EPS)}]
)
def test_other_pictures_are_not_opened(ghostscript, place, picture):
    mesh = gltf.from_glb(with_another_picture(dict(picture), place))
    assert mesh.texture.shape == (3, 2, 2) and not ghostscript.exists()


def test_a_diffuse_colour_starts_no_program(ghostscript):
    glb = glbs.triangle()
    material = glb.material({"bufferView": glb.view(EPS)})
    glb.header["meshes"][0]["primitives"][0]["material"] = material
    glb.header["materials"][0] = {"extensions": {OLDER: {"diffuseTexture": {"index": 0}}}}
    with pytest.raises(ValueError, match="PNG, JPEG or WebP"):
        gltf.from_glb(glb.encoded())
    assert not ghostscript.exists()


def test_large_textures_are_scaled_down():
    rows = np.zeros((2, 5000, 3), np.uint8)
    rows[:, 2500:] = 255
    mesh = gltf.from_glb(glbs.textured(glbs.saved(Image.fromarray(rows), "PNG")))
    assert mesh.texture.shape == (3, 1, 2500)
    assert_close(mesh.texture[:, 0, [0, -1]], torch.tensor([0.0, 1.0]).expand(3, 2))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_picture_is_taken(kind):
    red, blue = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    moving = glbs.saved(red, kind, save_all=True, append_images=[blue] * 20, lossless=True)
    assert_close(gltf.from_glb(glbs.textured(moving)).texture[:, 0, 0], torch.tensor([1.0, 0.0, 0.0]))


def test_a_texture_of_many_materials_is_decoded_once(monkeypatch):
    decoded = []
    real = gltf.pixels
    monkeypatch.setattr(gltf, "pixels", lambda *arguments: decoded.append(1) or real(*arguments))
    glb = glbs.triangle()
    (shape,) = glb.header["meshes"][0]["primitives"]
    glb.material({"bufferView": glb.view(glbs.png(4, 4))})
    glb.header["materials"] *= 30
    glb.header["meshes"][0]["primitives"] = [{**shape, "material": i} for i in range(30)]
    assert len(gltf.from_glb(glb.encoded()).faces) == 30 and len(decoded) == 1


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10**12)
    | st.floats()
    | st.sampled_from(["", "VEC3", "data:,"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["index", "source", "extensions", "POSITION"]), inner)
    ),
    max_leaves=6,
)


def places(value, path=()):
    """Every place of a JSON tree."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in parts:
        yield from places(inner, (*path, key))


@given(st.data())
def test_whatever_stands_in_the_json_it_is_read_or_refused_in_a_sentence(data):
    for _ in range(20):
        header, binary = gltf.read_chunks(glbs.textured(glbs.png(2, 2), baseColorFactor=[1, 0.5, 1, 1]))
        *way, last = data.draw(st.sampled_from([place for place in places(header) if place]))
        parent = header
        for key in way:
            parent = parent[key]
        parent[last] = data.draw(JSON)
        try:
            mesh = gltf.from_glb(gltf.write_chunks(header, binary))
        except ValueError as error:
            assert str(error).startswith("from_glb: expected ") and "\n" not in str(error), error
        else:
            assert all(bool(x.isfinite().all()) for x in vars(mesh).values() if x is not None)
