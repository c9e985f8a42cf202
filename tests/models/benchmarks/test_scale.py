"""`bench scale` with small sizes in Stable Diffusion's place: one iteration runs, and its rows say what ran."""

from dataclasses import replace

import torch
from portrait_diffusion.models.benchmarks import scale
from portrait_diffusion.models.distillation.refinement import PRESETS


def test_one_reduced_iteration(monkeypatch):
    unet = {
        "block_out_channels": (32, 64),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
    }
    monkeypatch.setattr(scale, "SD_15", unet)
    monkeypatch.setattr(
        scale, "SD_VAE", scale.SD_VAE | {"block_out_channels": (32,) * 4, "layers_per_block": 1}
    )
    config = replace(PRESETS["fast"], **scale.REDUCED | {"size": 64})
    rows = {
        row.metric: row for row in scale.rows_of(config, "reduced", torch.device("cpu"), torch.float32, 0)
    }
    assert (
        rows["views"].value == 4
        and rows["an iteration"].value > 0
        and rows["UNet, autoencoder and branches"].value < 20
    )
