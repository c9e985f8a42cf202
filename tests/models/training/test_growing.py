"""models/training/growing.py and renders.py: a training learns from the heads there are, while others come."""

import math
from types import SimpleNamespace

import pytest
import torch
from portrait_diffusion.models.checkpoint import save_tensors
from portrait_diffusion.models.prior.embedded import embedded_generator
from portrait_diffusion.models.synthetic import factories, renders
from portrait_diffusion.models.synthetic.codes import CODE_DIM
from portrait_diffusion.models.synthetic.head import PARAMETER_NAMES
from portrait_diffusion.models.training import growing
from portrait_diffusion.models.training import renders as rendering


def rows(first, count, views=2, size=8):
    """Empty heads whose yaw tells their seed."""
    seeds = torch.arange(first, first + count, dtype=torch.float32)
    return {
        "parameters": torch.zeros(count, len(PARAMETER_NAMES)),
        "rgb": torch.zeros(count, views, 3, size, size, dtype=torch.uint8),
        "mask": torch.zeros(count, views, size, size, dtype=torch.uint8),
        "beyond": torch.zeros(count, views, size, size, dtype=torch.float16),
        "yaw": seeds[:, None].expand(-1, views).contiguous(),
        "pitch": torch.zeros(count, views),
    }


def test_renders_grow_by_whole_files_in_whatever_order_they_come(tmp_path):
    growth = growing.GrowingRenders(tmp_path, range(25), shard=10)
    assert not growth.grow()
    save_tensors(renders.shard_path(tmp_path, 20, 10), rows(20, 10), {})
    assert growth.grow() and growth.count == 5  # of the last file, those asked for
    first = growth.renders
    save_tensors(renders.shard_path(tmp_path, 0, 10), rows(0, 10), {})
    assert growth.grow() and not growth.grow() and growth.count == 15
    assert growth.renders.yaw[:, 0].tolist() == [*range(20, 25), *range(10)]
    assert torch.equal(growth.renders.yaw[:5], first.yaw) and len(growth.missing) == 1


def test_a_training_whose_workers_fail_says_so(tmp_path):
    growth = growing.GrowingRenders(tmp_path, range(10))
    growth.workers = [SimpleNamespace(poll=lambda: 2, returncode=2)]
    with pytest.raises(ValueError, match="stopped with 2"):
        growth.wait()


def test_workers_share_the_files(tmp_path, monkeypatch):
    parts = [rendering.shard_starts(5, 42, part, 2) for part in range(2)]
    assert parts == [[5, 25, 45], [15, 35]]
    command = growing.worker_command(factories.FACTORIES[2], range(5, 47), 4, 256, True, 1)
    assert command[-1] == "--faces" and command[1:5] == ["-m", "portrait_diffusion", "train", "renders"]


def test_a_worker_renders_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(rendering, "SHARD", 2)
    words = ["--factory", "2", "--heads", "2", "--views", "2", "--size", "16", "--first", "7"]
    rendering.run(words)
    assert "rendered 2 heads" in capsys.readouterr().out
    growth = growing.GrowingRenders(renders.renders_folder(views=2, size=16), range(7, 9), shard=2)
    assert growth.grow() and growth.renders.rgb.shape == (2, 2, 3, 16, 16)
    rendering.run(words)
    assert "rendered" not in capsys.readouterr().out


def test_factories_are_told_by_the_length_of_their_codes(monkeypatch, capsys):
    assert factories.factory_of_code(CODE_DIM).number == 2
    assert factories.codes_of(torch.zeros(1, len(PARAMETER_NAMES))).shape == (1, CODE_DIM)
    wide = torch.zeros(1, 209 + factories.FACTORIES[3].code_dim - 1)
    assert factories.codes_of(wide).shape == (1, factories.FACTORIES[3].code_dim)
    monkeypatch.setattr(factories, "scans_present", lambda: False)
    assert factories.chosen_factory(None).number == 2 and "absent" in capsys.readouterr().out
    for wrong in (lambda: factories.factory_of_code(7), lambda: factories.chosen_factory(4)):
        with pytest.raises(ValueError, match="factory"):
            wrong()


def test_each_factory_has_a_prior_that_takes_its_codes():
    for factory in factories.FACTORIES.values():
        config = embedded_generator(factory.code_dim).config
        assert config.z_dim == factory.code_dim and math.isfinite(config.field.box_side)
