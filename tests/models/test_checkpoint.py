"""models/checkpoint.py: round trips, and what each damaged file is told."""

import json
import pickle
from dataclasses import asdict

import pytest
import torch
from portrait_diffusion.models.checkpoint import load_into, read, read_tensors, save_tensors, write
from portrait_diffusion.models.prior.families import generator_from
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
    good, key = generator().state_dict(), "backbone.synthesis.b4.const"
    cases = {
        f"{key} is missing": {name: value for name, value in good.items() if name != key},
        "stranger is unknown": good | {"stranger": torch.zeros(1)},
        f"{key} .* instead of .* is of another shape": good | {key: torch.zeros(1, 2)},
        f"{key} is not finite": good | {key: torch.full_like(good[key], float("nan"))},
    }
    for says, state in cases.items():
        with pytest.raises(ValueError, match=says):
            load_into(generator(), state, "head prior")


def test_a_config_of_another_generator_is_named():
    plain = json.loads(json.dumps(asdict(CONFIG)))
    assert generator_from(plain).config == CONFIG
    for wrong in ({"field": {}, "z_dim": 3}, plain | {"channels": [8, 8, 8]}, plain | {"field": {"size": 3}}):
        with pytest.raises(ValueError, match="config of a generator of this version"):
            generator_from(wrong)
