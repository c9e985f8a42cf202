"""models/metrics/vgg.py: its layers are torchvision's, its distance is LPIPS' without learned weights, its files are never run."""

import pickle

import pytest
import torch
import torch.nn.functional as F
from portrait_diffusion.models.fitting.perceptual import vgg_distance
from portrait_diffusion.models.metrics.vgg import VGG16, layers, load_vgg
from safetensors.torch import save_file
from torch import nn

# torchvision's configuration "D" without its last pooling: numbers are channels, "M" is a pooling
CONFIGURATION = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512]
LAST_OF_BLOCK = (3, 8, 15, 22, 29)


def twin():
    """torchvision's `features` as it writes them: one flat list of layers."""
    parts, inputs = [], 3
    for width in CONFIGURATION:
        if width == "M":
            parts.append(nn.MaxPool2d(2, 2))
        else:
            parts += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
    return nn.Sequential(*parts)


@pytest.fixture(scope="module")
def features():
    """Random weights that keep activations alive, in the twin."""
    net = twin()
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in net.parameters():
            fan = value[0].numel() if value.ndim > 1 else 100
            value.normal_(0, (2 / fan) ** 0.5, generator=draws)
    return net.requires_grad_(False)


@pytest.fixture(scope="module")
def state(features):
    return {f"features.{key}": value.clone() for key, value in features.state_dict().items()}


@pytest.fixture(scope="module")
def network(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    save_file(state, path)
    return load_vgg(path)


def pictures(size=32, seed=0):
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_layers_have_torchvisions_numbers():
    assert [number for block in layers() for number, _, _ in block] == [
        0,
        2,
        5,
        7,
        10,
        12,
        14,
        17,
        19,
        21,
        24,
        26,
        28,
    ]
    assert set(VGG16().state_dict()) == {f"features.{key}" for key in twin().state_dict()}


def test_the_activations_are_torchvisions(network, features):
    image = pictures(36)
    x = ((image + 1) / 2 - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor(
        [0.229, 0.224, 0.225]
    )[:, None, None]
    expected = []
    for i, layer in enumerate(features):
        x = layer(x)
        expected += [x] if i in LAST_OF_BLOCK else []
    for ours, theirs in zip(network(image), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_distance_is_that_of_directions(network):
    a, b = pictures(seed=1), pictures(seed=2)
    expected = sum(
        (2 - 2 * F.cosine_similarity(x, y)).mean() for x, y in zip(network(a), network(b), strict=True)
    )
    distance = vgg_distance(network)
    torch.testing.assert_close(distance((a, a), (b, b)), expected, atol=1e-4, rtol=1e-4)
    assert distance((a, a), (a, b)) == 0
    assert 0 < distance((a + 0.02, a), (a, a)) < distance((a + 0.4, a), (a, a)) < 20


def test_gradients_reach_the_picture_and_stay_finite(network):
    shown, truth = pictures(16).requires_grad_(), pictures(16, 1)
    (gradient,) = torch.autograd.grad(vgg_distance(network)((shown, shown), (truth, truth)), shown)
    assert gradient.isfinite().all() and gradient.abs().max() > 0
    white = torch.ones(1, 3, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(vgg_distance(network)((white, white), (white.detach(), white)), white)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("shape", [(1, 3, 15, 32), (1, 1, 32, 32), (3, 32, 32)])
def test_other_pictures_are_refused(shape, network):
    with pytest.raises(ValueError, match=r"vgg: expected images \[B, 3, H, W\] of at least 16 pixels"):
        network(torch.zeros(shape))


SLICES = [(2, 1), (7, 2), (14, 3), (21, 4), (28, 5)]


def lpips_key(key: str) -> str:
    """features.5.weight -> net.slice2.5.weight."""
    _, number, kind = key.split(".")
    return f"net.slice{next(s for last, s in SLICES if int(number) <= last)}.{number}.{kind}"


@pytest.mark.parametrize(
    ("naming", "container"),
    [
        ("torchvision", "safetensors"),
        ("torchvision", "pth"),
        ("torchvision", "legacy pth"),
        ("lpips", "safetensors"),
        ("bare", "pth"),
    ],
)
def test_files_of_the_family_are_read(naming, container, state, network, tmp_path):
    names = {"torchvision": str, "lpips": lpips_key, "bare": lambda key: key.removeprefix("features.")}
    tensors = {names[naming](key): value.half() for key, value in state.items()} | {
        "classifier.0.bias": torch.zeros(4)
    }
    path = tmp_path / f"vgg16.{container.split()[-1]}"
    if container == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=container == "pth")
    read = load_vgg(path).state_dict()
    assert all(torch.equal(read[key], value.half().float()) for key, value in state.items())


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("the pickle was run",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_nothing_in_a_file_is_run(tmp_path, state):
    rows = {"zip.pth": True, "legacy.pth": False}
    for name, zipped in rows.items():
        torch.save({**state, "evil": Evil()}, tmp_path / name, _use_new_zipfile_serialization=zipped)
        with pytest.raises(
            ValueError, match=f"vgg: expected tensors and plain values, but {name} wants _pytest.outcomes "
        ):
            load_vgg(tmp_path / name)
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(
        ValueError, match="vgg: expected tensors and plain values, but plain.pth wants _pytest.outcomes "
    ):
        load_vgg(tmp_path / "plain.pth")
    (tmp_path / "renamed.safetensors").write_bytes((tmp_path / "zip.pth").read_bytes())
    with pytest.raises(ValueError, match="is a pickle, which could run code"):
        load_vgg(tmp_path / "renamed.safetensors")


@pytest.mark.filterwarnings("ignore:.*TorchScript")
def test_torchscript_is_refused_by_name(tmp_path):
    torch.jit.save(torch.jit.script(nn.Conv2d(1, 1, 1)), str(tmp_path / "vgg16.pth"))
    with pytest.raises(ValueError, match="vgg16.pth is TorchScript, which is a program; save its state dict"):
        load_vgg(tmp_path / "vgg16.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_wrong_with_a_file_is_said(suffix, tmp_path, state):
    def saved(tensors):
        path = tmp_path / f"vgg16{suffix}"
        torch.save(tensors, path) if suffix == ".pth" else save_file(tensors, path)
        return path

    less = {key: value for key, value in state.items() if key != "features.28.bias"}
    rows = {
        "features.28.bias is missing": less,
        r"features.28.bias is \[3\] instead of \[512\]": less | {"features.28.bias": torch.zeros(3)},
        "features.28.bias holds NaN or infinity": less | {"features.28.bias": torch.full((512,), torch.nan)},
    }
    for words, tensors in rows.items():
        with pytest.raises(
            ValueError, match=f"vgg: expected the 26 tensors of VGG16.*{words}; choose another"
        ):
            load_vgg(saved(tensors))
    whole = saved(state).read_bytes()
    for cut in (b"", whole[:5], whole[: len(whole) // 2], b"no such thing" * 9):
        (tmp_path / f"cut{suffix}").write_bytes(cut)
        with pytest.raises(ValueError, match=r"^vgg: expected .*;"):
            load_vgg(tmp_path / f"cut{suffix}")
    with pytest.raises(ValueError, match="found none called missing"):
        load_vgg(tmp_path / f"missing{suffix}")


def test_other_containers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a .safetensors, .*, .ckpt or .bin file, got vgg16.onnx;"):
        load_vgg(tmp_path / "vgg16.onnx")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="expected named tensors, but list.pth holds something else"):
        load_vgg(tmp_path / "list.pth")
