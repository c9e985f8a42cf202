"""models/metrics/standard.py: LPIPS by its formula, IR-50 by insightface's names, the aligned crop; files are read and never run."""

import pickle

import pytest
import torch
import torch.nn.functional as F
from portrait_diffusion.models.metrics.standard import (
    ARCFACE_PLACES,
    ArcFace,
    arcface_crop,
    embedding_similarity,
    load_arcface,
    load_lpips,
)
from portrait_diffusion.models.metrics.vgg import BLOCKS, VGG16
from safetensors.torch import save_file
from torch.testing import assert_close


def pictures(count=1, size=32, seed=0):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A VGG16 and linear weights of random numbers, as the user has them."""
    folder, draws = tmp_path_factory.mktemp("lpips"), torch.Generator().manual_seed(0)
    state = {
        key: torch.randn(v.shape, generator=draws) * (2 / max(v[0].numel(), 30)) ** 0.5
        for key, v in VGG16().state_dict().items()
    }
    save_file(state, folder / "vgg16.safetensors")
    torch.save(
        {f"lin{i}.model.1.weight": torch.rand(1, b[-1], 1, 1, generator=draws) for i, b in enumerate(BLOCKS)},
        folder / "vgg.pth",
    )
    return folder


def test_lpips_is_zero_for_equal_pictures_and_its_formula_else(files):
    network = load_lpips(files / "vgg16.safetensors", files / "vgg.pth")
    a, b = pictures(2), pictures(2, seed=1)
    assert torch.equal(network(a, a), torch.zeros(2))
    linear = torch.load(files / "vgg.pth", weights_only=True)
    expected = torch.zeros(2)
    for i, (x, y) in enumerate(zip(network.backbone(2 * a - 1), network.backbone(2 * b - 1), strict=True)):
        gap = (F.normalize(x, dim=1, eps=1e-10) - F.normalize(y, dim=1, eps=1e-10)).square()
        expected += F.conv2d(gap, linear[f"lin{i}.model.1.weight"]).mean((1, 2, 3))
    assert_close(network(a, b), expected)


def test_bad_lpips_files_are_named(files, tmp_path):
    save_file({"lin0.model.1.weight": torch.ones(1, 64, 1, 1)}, tmp_path / "half.safetensors")
    save_file({"lin0.model.1.weight": torch.ones(1, 256, 1, 1)}, tmp_path / "alex.safetensors")
    save_file({"lin0.model.1.weight": -torch.ones(1, 64, 1, 1)}, tmp_path / "minus.safetensors")
    (tmp_path / "code.pth").write_bytes(pickle.dumps({"a": print}))
    for name, message in {"half": "lin1 is missing", "alex": "shape", "minus": "0 or more"}.items():
        with pytest.raises(ValueError, match=message):
            load_lpips(files / "vgg16.safetensors", tmp_path / f"{name}.safetensors")
    for name in ("code.pth", "none.safetensors", "file.txt"):
        with pytest.raises(ValueError, match="^lpips:.*expected"):
            load_lpips(files / "vgg16.safetensors", tmp_path / name)


def test_ir_50_has_insightfaces_tensors():
    with torch.device("meta"):
        state = ArcFace().state_dict()
    named = {key: list(value.shape) for key, value in state.items()}
    assert named["layer3.13.conv2.weight"] == [256, 256, 3, 3] and named["layer1.0.downsample.0.weight"] == [
        64,
        64,
        1,
        1,
    ]
    assert (
        named["fc.weight"] == [512, 25088]
        and named["features.running_var"] == [512]
        and "layer2.1.downsample.0.weight" not in named
    )
    assert sum(
        value.numel() for key, value in state.items() if not key.endswith(("mean", "var", "tracked"))
    ) == pytest.approx(43.59e6, abs=5e3)  # as published


def test_a_small_sister_gives_unit_vectors_from_112_to_7_pixels():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ArcFace((4, 8, 8, 8), (1, 1, 2, 1), 16).eval()
    assert network.fc.weight.shape == (16, 8 * 49)
    vectors = network(pictures(2, 112))
    assert_close(vectors.norm(dim=1), torch.ones(2))
    with pytest.raises(ValueError, match="arcface_crop"):
        network(pictures(1, 128))


def test_bad_arcface_files_are_named(tmp_path):
    save_file({"module.conv1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "few.safetensors")
    with pytest.raises(ValueError, match="arcface.*missing"):
        load_arcface(tmp_path / "few.safetensors")
    with pytest.raises(ValueError, match="^arcface"):
        load_arcface(tmp_path / "none.pth")


def test_the_crop_puts_the_landmarks_on_the_template():
    """Dots at a turned, scaled, shifted template come out at the template."""
    template = torch.tensor(ARCFACE_PLACES) + 0.5
    turn = torch.tensor([[0.9, -0.3], [0.3, 0.9]])
    places = template @ turn.T * 1.5 + torch.tensor([60.0, 20.0])
    u = torch.arange(300) + 0.5
    for i in range(5):
        dot = torch.exp(-((u - places[i, 0]) ** 2 + (u[:, None] - places[i, 1]) ** 2) / 32).expand(
            1, 3, 300, 300
        )
        crop = arcface_crop(dot, places[None])[0, 0]
        v = torch.arange(112) + 0.5
        found = torch.stack([(crop.sum(0) * v).sum(), (crop.sum(1) * v).sum()]) / crop.sum()
        assert_close(found, template[i], atol=0.2, rtol=0)
    with pytest.raises(ValueError, match="five places"):
        arcface_crop(pictures(2), places[None])


def test_embeddings_are_compared_by_their_angle():
    a = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert_close(embedding_similarity(a, torch.tensor([[0.0, 2.0], [3.0, 3.0]])), torch.tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match="one encoder"):
        embedding_similarity(a, torch.zeros(2, 3))
