"""What `portrait-diffusion run` writes, marked as `--mark` says; its whole path is in test_command_line.py."""

from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from PIL import Image
from portrait_diffusion.models.commands import run
from portrait_diffusion.models.marks import invisible
from portrait_diffusion.models.mesh.mesh import Mesh
from portrait_diffusion.models.portrait import Portrait3D

from ..small import head as small_head


def pictures(path) -> torch.Tensor:
    """[B, 3, H, W] of a sheet or of a film, whole."""
    if path.suffix == ".png":
        frames = [np.asarray(Image.open(path).convert("RGB"))]
    else:
        with av.open(str(path)) as film:
            frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).movedim(-1, 1).float() / 255


def readings(path) -> list[invisible.Reading]:
    """What a film says, or each view of a sheet."""
    images = pictures(path)
    if path.suffix == ".mp4":
        return [invisible.read_together(images)]
    return invisible.read(torch.cat([view for row in images.split(128, -2) for view in row.split(128, -1)]))


@pytest.fixture(scope="module")
def result(root) -> Portrait3D:
    """A portrait's picture in the place of all frames and views."""
    photo = Image.open(root / "web" / "pictures" / "portrait.png").convert("RGB")
    frame, view = (
        torch.from_numpy(np.array(photo.resize((size, size)))).movedim(-1, 0)[None].float() / 255
        for size in (256, 128)
    )
    triangle = Mesh(torch.eye(3), torch.tensor([[0, 1, 2]]), vertex_colors=torch.eye(3))
    normal = torch.nn.functional.normalize(view - 0.5, dim=1)  # of no surface, but of as many edges
    views = SimpleNamespace(rgb=view.repeat(8, 1, 1, 1), normal=normal.repeat(8, 1, 1, 1))
    return Portrait3D(None, small_head(), triangle, frame.repeat(4, 1, 1, 1), views)


@pytest.fixture(scope="module")
def plain(result, tmp_path_factory):
    """A folder of its files, not marked."""
    folder = tmp_path_factory.mktemp("plain")
    run.write_files(result, folder)
    return folder


FILES = ("turntable.mp4", "views.png")


@pytest.mark.parametrize("mark", ["none", "visible", "invisible", "both"])
def test_what_is_saved_is_marked(mark, result, plain, tmp_path):
    run.write_files(result, tmp_path, mark)
    for name in FILES:
        images, before = pictures(tmp_path / name), pictures(plain / name)
        for reading in readings(tmp_path / name):
            assert reading.present == (mark in ("invisible", "both")), name
            assert not reading.present or reading.number == run.NUMBER
        apart = (images - before).abs().amax((0, 1))
        height, width = apart.shape
        words, rest = apart[height * 3 // 4 :, width * 3 // 4 :], apart[: height // 2]
        assert (float(words.max()) > 0.3) == (mark in ("visible", "both")), name
        assert float(rest.max()) < 0.2, name
    assert mark != "none" or all(
        (plain / name).read_bytes() == (tmp_path / name).read_bytes() for name in FILES
    )


def test_it_is_asked_for(tmp_path):
    words = ["photo.jpg", "--out", str(tmp_path)]
    assert run.parse(words).mark == "none" and run.parse([*words, "--mark", "both"]).mark == "both"


def test_only_an_inversion_begins_at_an_avatar(tmp_path):
    words = ["photo.jpg", "--out", str(tmp_path), "--start", "avatar"]
    assert run.parse(words).inversion == "quick"
    with pytest.raises(
        ValueError, match="expected an inversion that begins at an avatar, got --inversion avatar"
    ):
        run.parse([*words, "--inversion", "avatar"])
    with pytest.raises(ValueError, match="got --inversion none"):
        run.parse([*words, "--refine", "turbo"])
