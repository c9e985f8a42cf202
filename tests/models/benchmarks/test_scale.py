"""`bench scale` with small sizes in Stable Diffusion's place: one iteration runs, and its rows say what ran."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.benchmarks import scale
from portrait_diffusion.models.benchmarks.estimates import (
    SETTINGS,
    Setting,
    estimate,
    outlines,
    refinement_bytes,
    restoration_bytes,
)
from portrait_diffusion.models.benchmarks.live_memory import live_bytes
from portrait_diffusion.models.benchmarks.public_sizes import random_networks
from portrait_diffusion.models.diffusion.autoencoder import encode
from portrait_diffusion.models.distillation.refinement import PRESETS
from portrait_diffusion.models.distillation.restoration import RestorationConfig

UNET = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
VAE = scale.SD_VAE | {"block_out_channels": (32,) * 4, "layers_per_block": 1}


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch):
    monkeypatch.setattr(scale, "SD_15", UNET)
    monkeypatch.setattr(scale, "SD_VAE", VAE)


def test_one_reduced_iteration():
    config = replace(PRESETS["fast"], **scale.REDUCED | {"size": 64})
    rows = {
        row.metric: row for row in scale.rows_of(config, "reduced", torch.device("cpu"), torch.float32, 0)
    }
    assert (
        rows["views"].value == 4
        and rows["an iteration"].value > 0
        and rows["UNet, autoencoder and branches"].value < 20
    )


def test_bytes_are_counted_while_they_are_there():
    ones = torch.ones(1000)

    def work():
        twice = ones * 2
        more = twice + 1
        del twice
        return more.view(10, 100) * 3  # a view is no storage of its own

    assert live_bytes(work) == 2 * 4000


def test_without_memory_the_same_is_counted_as_with_it():
    """A graph through the autoencoder, forth and back, on the CPU and on the meta device."""
    counts = []
    for device in ("cpu", "meta"):
        _, vae = random_networks(UNET, VAE, torch.device(device), torch.float32)
        image = torch.zeros(1, 3, 64, 64, device=device, requires_grad=True)
        counts.append(
            live_bytes(lambda vae=vae, image=image: torch.autograd.grad(encode(vae, image).sum(), image))
        )
    assert counts[0] > 10 * 3 * 64 * 64 * 4
    assert counts[1] == pytest.approx(counts[0], rel=0.1)  # attention has other kernels there


@pytest.mark.whole
def test_estimates_grow_with_what_is_done_at_once():
    networks = outlines(UNET, VAE, torch.float32)
    assert all(p.device.type == "meta" for p in networks.branches.parameters())
    one, four = (refinement_bytes(networks, views, 64) for views in (1, 4))
    assert one < four < 4.5 * one
    few, many = (restoration_bytes(networks, 64, graph) for graph in (0, 10**6))
    assert many - few == 10**6 < restoration_bytes(networks, 128, 0)
    peaks = estimate(networks, SETTINGS[0], 64)
    assert peaks["weights"] == pytest.approx(sum(networks.weights.values()) / 2**30)
    assert scale.estimated_rows(networks, 64)[3].value == 1.0  # small ones fit a card of 8 GiB


def test_a_setting_runs():
    """As on an accelerator, which measures what is 0 here."""
    refinement = replace(PRESETS["fast"], **scale.REDUCED | {"size": 64})
    restoration = RestorationConfig(size=64, seen=64, samples=4, rays=64)
    setting = Setting(gib=8, views=1, graph_bytes=2**22)
    rows = scale.measured_rows(setting, torch.device("cpu"), torch.float32, refinement, restoration)
    assert [row.metric for row in rows] == ["refinement, measured peak", "restoration, measured peak"]
    assert rows[0].row == setting.name == "8 GiB, 1 views at once, 0.00390625 GiB of rays' graph"
