"""models/recognition.py: files are told apart by what lies in them, whatever they are called, and nothing in them is run."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from portrait_diffusion.models.checkpoint import shipped, write
from portrait_diffusion.models.recognition import kind_of_file
from safetensors.torch import save_file

from . import small
from .prior import pretend

VGG16 = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
STATES = {
    "vgg": {f"features.{n}.weight": torch.zeros(1) for n in VGG16},
    "lpips": {f"lin{i}.model.1.weight": torch.zeros(1, 4, 1, 1) for i in range(5)},
    "arcface": {"conv1.weight": torch.zeros(1), "layer1.0.prelu.weight": torch.zeros(1)},
    "brushnet": {
        "conv_in_condition.weight": torch.zeros(1),
        "down_blocks.0.resnets.0.conv2.weight": torch.zeros(1),
    },
    "difix": {
        "encoder.conv_in.weight": torch.zeros(1),
        "decoder.skip_conv_1.base_layer.weight": torch.zeros(1),
    },
    "niqe": {"mu_prisparam": torch.zeros(1, 36), "cov_prisparam": torch.eye(36)},
}


@pytest.mark.parametrize("kind", STATES)
def test_by_the_names_of_tensors(kind, tmp_path):
    save_file(STATES[kind], tmp_path / "a.safetensors")
    assert kind_of_file(tmp_path / "a.safetensors") == kind
    torch.save(STATES[kind], tmp_path / "a.pth")
    torch.save(STATES[kind], tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert kind_of_file(tmp_path / "a.pth") == kind and kind_of_file(tmp_path / "old.pth") == kind


@pytest.mark.parametrize("kind", ["prior", "turbo", "hpdm", "niqe", "encoder"])
def test_by_a_file_s_own_word(kind):
    assert kind_of_file(shipped(kind)) == kind


def test_statistics_in_archives(tmp_path):
    arrays = {"mu_pris_param": np.zeros(36), "cov_pris_param": np.eye(36)}
    np.savez(tmp_path / "a.npz", **arrays)
    assert kind_of_file(tmp_path / "a.npz") == "niqe"
    scipy = pytest.importorskip("scipy.io")
    scipy.savemat(tmp_path / "a.mat", arrays)
    assert kind_of_file(tmp_path / "a.mat") == "niqe"


def test_relatives_are_told_apart(tmp_path):
    save_file(STATES["vgg"] | {"features.34.weight": torch.zeros(1)}, tmp_path / "vgg19.safetensors")
    assert kind_of_file(tmp_path / "vgg19.safetensors") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 40,
        b"PK\x03\x04 not an archive",
        b"\x10\0\0\0\0\0\0\0[1, 2, 3]       ",
        b"\x80\x04K\x01.",
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".npz", ".mat"])
def test_what_does_not_tell_is_none(content, suffix, tmp_path):
    (tmp_path / f"a{suffix}").write_bytes(content)
    assert kind_of_file(tmp_path / f"a{suffix}") is None


def test_a_damaged_archive_tells_nothing(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps([f"features.{n}.weight" for n in range(400)]))
    content = bytearray((tmp_path / "a.pth").read_bytes())
    content[60:200] = b"\xff" * 140
    (tmp_path / "a.pth").write_bytes(content)
    assert kind_of_file(tmp_path / "a.pth") is None


def test_a_snapshot_is_a_prior_and_a_program_nothing_that_is_read(tmp_path):
    pretend.write_snapshot(tmp_path / "vgg16.pkl", pretend.make("eg3d"), "eg3d", tmp_path / "ran")
    assert kind_of_file(tmp_path / "vgg16.pkl") == "prior"
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(tmp_path / "vgg16.pt"))
    assert kind_of_file(tmp_path / "vgg16.pt") == "torchscript"


def test_a_pickle_is_searched_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "a.pth").write_bytes(
        pickle.dumps(({"features.0.weight": 0, "features.28.weight": 0}, Bomb()))
    )
    assert kind_of_file(tmp_path / "a.pth") == "vgg" and not (tmp_path / "ran").exists()


def test_a_prior_is_a_prior_under_any_name(tmp_path):
    write(tmp_path / "vgg16-mine.safetensors", "prior", small.CONFIG, small.generator(), family="panohead")
    assert kind_of_file(tmp_path / "vgg16-mine.safetensors") == "prior"
