"""GLBs that ask for too much, through the real server with a stand-in for Ghostscript on its path."""

import pytest
import torch
from portrait_diffusion.models.mesh.gltf import METRES_PER_UNIT, from_glb
from portrait_diffusion.workflows.client import Client
from torch.testing import assert_close

from ..ghostscript import EPS, stand_in
from ..models.mesh import glbs, hostile
from .conftest import FOLDER
from .messages import refused
from .test_bad_input import glb

ROWS = {
    "eps": (lambda: glbs.textured(EPS), ["PNG, JPEG or WebP", "save"]),
    "eps-as-jpeg": (lambda: glbs.textured(EPS, label="image/jpeg"), ["PNG, JPEG or WebP", "save"]),
    "eps-uri": (lambda: glbs.textured_from(glbs.data_uri(EPS)), ["PNG, JPEG or WebP", "save"]),
    "pixels": (
        lambda: glbs.textured(glbs.png(13_000, 13_000)),
        ["67108864 pixels", "13000x13000", "scale"],
    ),
    "count": (
        lambda: glbs.set_in("accessors", 0, count=hostile.BIG),
        ["within its view", "export it again"],
    ),
    "instances": (lambda: glbs.heavy(100_000, nodes=3000), ["4000000 triangles", "simplify"]),
    "chain": (lambda: glbs.chain(50_000), ["100 levels", "flatten"]),
    "json": (lambda: glbs.raw(b"[" * 200_000), ["JSON as flat"]),
    "nan": (lambda: glbs.poisoned("positions", hostile.NAN), ["finite positions"]),
    "elsewhere": (lambda: glbs.textured_from("file:///etc/hostname"), ["inside the GLB", "embedded"]),
}


@pytest.fixture(scope="module")
def guarded(start, tmp_path_factory):
    """(a server, the file that the stand-in on its path writes when it is started)."""
    path, marker = stand_in(tmp_path_factory.mktemp("ghostscript"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path)
        server = start(arguments=("--cpu",), name=FOLDER)
    folder = server.base / "input" / "3d"
    folder.mkdir(exist_ok=True)
    for name, (make, _) in ROWS.items():
        (folder / f"{name}.glb").write_bytes(make())
        good = glbs.textured(
            glbs.png(4, 4), baseColorFactor=[len(name) / 20, 1, 1, 1]
        )  # none that is in the server's cache
        (folder / f"good-{name}.glb").write_bytes(good)
    return server, marker


@pytest.mark.parametrize("name", ROWS)
def test_a_sentence_and_then_the_next_prompt_is_right(name, guarded):
    server, marker = guarded
    client = Client(server.url)
    message = str(refused(client, glb(f"3d/{name}.glb"), ROWS[name][1]))
    print(f"| {name} | {message} |")
    (entry,) = client.run(glb(f"3d/good-{name}.glb")).outputs["3"]["3d"]
    mesh = from_glb(client.fetch(entry))
    assert_close(mesh.vertices * METRES_PER_UNIT, torch.eye(3))
    assert mesh.texture.shape == (3, 4, 4)
    assert server.process.poll() is None and not marker.exists()
