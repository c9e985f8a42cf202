"""`train prior` and `train encoder`: a sitting of a few steps, from renders that lie in the cache, and the next that goes on from it."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.checkpoint import read_tensors, save_tensors
from portrait_diffusion.models.synthetic import factories, renders
from portrait_diffusion.models.synthetic.renders import Renders
from portrait_diffusion.models.training import encoder, growing, prior

VIEWS = {"prior": (4, 256), "encoder": (3, 128)}


def balls(count, views, size, width):
    """Rows of heads that are grey discs at the origin's distance, all views from the front; `width` parameters."""
    at = torch.linspace(-1, 1, size)
    disc = ((at[:, None].square() + at.square()) < 0.3).expand(count, views, size, size)
    return {
        "parameters": torch.zeros(count, width),
        "rgb": torch.where(disc[:, :, None], 120, 255).to(torch.uint8).expand(-1, -1, 3, -1, -1).contiguous(),
        "mask": disc.to(torch.uint8).contiguous(),
        "beyond": torch.zeros(count, views, size, size, dtype=torch.float16),
        "yaw": torch.zeros(count, views),
        "pitch": torch.zeros(count, views),
    }


@pytest.mark.whole
@pytest.mark.parametrize("name", ["prior", "encoder"])
def test_a_sitting_goes_on_where_the_last_one_stopped(name, tmp_path, monkeypatch, capsys):
    views, size = VIEWS[name]
    factory = factories.FACTORIES[3]
    few = balls(growing.SHARD, views, size, 209 + factory.code_dim - 1)
    fake = replace(factory, folder=lambda **layout: tmp_path, cached=lambda seeds, **layout: Renders(**few))
    module = {"prior": prior, "encoder": encoder}[name]
    monkeypatch.setattr(module, "chosen_factory", lambda number: fake)
    save_tensors(renders.shard_path(tmp_path, 30, growing.SHARD), few, {})
    kept = tmp_path / "kept.safetensors"
    words = ["--first", "30", "--heads", str(growing.SHARD), "--minutes", "0.003", "--end", "0.1"]
    steps = []
    for _ in range(2):
        module.run([*words, "--checkpoint", str(kept)])
        steps.append(int(read_tensors(kept, "local checkpoint")[1]["step"]))
    assert 0 < steps[0] < steps[1] and "learnt from 10 heads" in capsys.readouterr().out
