"""models/pickles/: what torch and Python write comes back as it was, in every format and protocol."""

import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.pickles.files import PickleFile, read_state

from .assembled import old_tar, one_of_each, tarred

HERE = Path(__file__).parent


def everything() -> dict[str, torch.Tensor]:
    """Tensors of all types, shapes and ways to lie in memory."""
    draws = torch.Generator().manual_seed(0)
    rows = torch.randn(6, 5, generator=draws)
    types = (
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
    )
    return {
        **{str(kind): (rows * 50).abs().to(kind) for kind in types},
        "flags": rows > 0,
        "turned": rows.t(),
        "part": rows[1:3, ::2],
        "one": torch.tensor(3.5),
        "none": torch.zeros(0, 3),
        "row": rows[2],
        "long": torch.randn(200, 200, generator=draws),
        "parameter": torch.nn.Parameter(torch.randn(2, 2, generator=draws)),
    }


def assert_same(read: dict, tensors: dict) -> None:
    assert list(read) == list(tensors)
    for key, value in tensors.items():
        assert read[key].dtype == value.dtype and torch.equal(read[key], value), key


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_torch_s_own_formats(kind, zipped, tmp_path):
    torch.save(kind(everything()), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert_same(read_state(tmp_path / "a.pth", "test"), everything())


@pytest.mark.parametrize("protocol", range(1, 6))
def test_plain_pickles(protocol, tmp_path):
    (tmp_path / "a.bin").write_bytes(pickle.dumps(everything(), protocol))
    assert_same(read_state(tmp_path / "a.bin", "test"), everything())


def test_a_state_dict_of_a_module_with_its_versions(tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    torch.save(module.state_dict(), tmp_path / "a.pt")  # an ordered dict with a state of its own
    assert_same(read_state(tmp_path / "a.pt", "test"), module.state_dict())


def test_a_tar_as_torch_wrote_them_before_0_2(tmp_path):
    (tmp_path / "a.pth").write_bytes(tarred(old_tar()))
    assert_same(read_state(tmp_path / "a.pth", "test"), {"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]])})
    theirs = torch.load(tmp_path / "a.pth", weights_only=False)
    assert torch.equal(theirs["w"], torch.tensor([[1.0, 2.0], [3.0, 4.0]]))


def test_tensors_of_one_storage_share_it_and_outlive_the_file(tmp_path):
    row = torch.arange(10.0)
    torch.save({"a": row, "b": row[3:]}, tmp_path / "a.pth")
    with PickleFile(tmp_path / "a.pth", "test") as file:
        a, b = (file.tensor(stored) for stored in file.value.values())
    a.add_(1)
    assert torch.equal(b, row[3:] + 1) and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


keys = st.text(max_size=5) | st.integers(-(2**59), 2**59) | st.booleans() | st.none() | st.binary(max_size=5)
leaves = keys | st.floats(allow_nan=False) | st.integers() | st.sets(keys) | st.frozensets(keys)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(values, st.integers(0, 5))
def test_plain_values_come_back(tmp_path_factory, value, protocol):
    path = tmp_path_factory.mktemp("a") / "a.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    with PickleFile(path, "test") as file:
        assert file.value == value


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u8", "b1", ">f8", ">i4"])
def test_numbers_of_numpy_s(kind, tmp_path):
    (tmp_path / "a.pkl").write_bytes(
        pickle.dumps(np.dtype(kind).type(1) if kind[0] != ">" else np.array(1, kind)[()])
    )
    with PickleFile(tmp_path / "a.pkl", "test") as file:
        assert file.value == 1


def test_operations_of_python_2(tmp_path):
    rows = {
        b"S'a\\x62'\n.": "ab",
        b"T\x02\0\0\0ab.": "ab",
        b"U\x01a.": "a",
        b"I01\n.": True,
        b"L5L\n.": 5,
        b"(lp0\nI1\na.": [1],
    }
    for content, value in rows.items():
        (tmp_path / "a.pkl").write_bytes(content)
        with PickleFile(tmp_path / "a.pkl", "test") as file:
            assert file.value == value
    assert len(one_of_each()) == 68


@pytest.mark.whole
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads Linux' own figures")
def test_a_snapshot_takes_little_more_memory_than_its_tensors(tmp_path):
    """Of 155 MiB, G_ema has half; networks that are not asked for stay in the file."""
    program = [
        sys.executable,
        str(HERE / "memory_child.py"),
        str(HERE.parents[1] / "conftest.py"),
        str(tmp_path),
    ]
    for what in ("write", "read"):
        done = subprocess.run([*program, what], check=True, capture_output=True, text=True, timeout=600)
    print(done.stdout)
    taken, tensors, file = map(float, done.stdout.split())
    assert taken < 1.3 * tensors and file > 1.9 * tensors
