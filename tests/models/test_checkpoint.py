"""models/checkpoint.py: round trips, and what each damaged file is told."""

import json
import pickle

import pytest
import torch
from portrait_diffusion.models.checkpoint import load_into, read, read_tensors, save_tensors, write
from portrait_diffusion.models.head import generator_from
from torch.testing import assert_close

from .small import CONFIG, generator


def test_weights_come_back_within_half_precision(tmp_path):
    path = tmp_path / "prior.safetensors"
    write(path, "prior", CONFIG, generator(), steps="1")
    config, state = read(path, "prior")
    again = generator_from(config)
    load_into(again, state, "head prior")
    assert again.config == CONFIG
    for key, value in generator().state_dict().items():
        assert_close(again.state_dict()[key], value, atol=1e-3, rtol=1e-3)
    assert not list(tmp_path.glob("*.partial"))


class Runs:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was run')",))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"abc", "is truncated"),
        (pickle.dumps(Runs()), "is a pickle, which could run code"),
        (b"PK\x03\x04" + bytes(100), "is a pickle, which could run code"),
        (bytes(200), "truncated or of another format"),
        (b"\xff" * 200, "truncated or of another format"),
    ],
)
def test_other_files_are_named_and_never_run(tmp_path, content, says):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        read_tensors(path, "head prior")


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / "weights.safetensors"
    write(path, "prior", CONFIG, generator())
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"weights.safetensors is truncated or of another format"):
        read(path, "prior")


def test_a_missing_file_and_another_kind_are_named(tmp_path):
    with pytest.raises(ValueError, match="found none called gone.safetensors"):
        read(tmp_path / "gone.safetensors", "prior")
    path = tmp_path / "weights.safetensors"
    write(path, "encoder", CONFIG, generator())
    with pytest.raises(ValueError, match="of kind prior, but weights.safetensors holds encoder"):
        read(path, "prior")
    save_tensors(path, {"a": torch.zeros(1)}, {"kind": "prior", "config": "{"})
    with pytest.raises(ValueError, match="no readable config"):
        read(path, "prior")


def test_wrong_keys_shapes_and_nan_are_named():
    good = generator().state_dict()
    cases = {
        "missing": {key: value for key, value in good.items() if key != "const"},
        "unknown": good | {"stranger": torch.zeros(1)},
        "const .* instead of .* is of another shape": good | {"const": torch.zeros(1, 2)},
        "const is not finite": good | {"const": torch.full_like(good["const"], float("nan"))},
    }
    for says, state in cases.items():
        with pytest.raises(ValueError, match=says):
            load_into(generator(), state, "head prior")


def test_a_config_of_another_generator_is_named():
    with pytest.raises(ValueError, match="config of the embedded generator"):
        generator_from({"field": {}, "z_dimension": 3})
    assert json.dumps(generator_from({"field": {"resolution": 16}, "channels": [8, 8, 8]}).config.channels) == "[8, 8, 8]"
