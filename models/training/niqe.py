"""`train niqe`: the statistics of pristine pictures for NIQE, of the factory's heads, inside their masks."""

from __future__ import annotations

import argparse

import torch

from ..checkpoint import shipped
from ..metrics.image import blur
from ..metrics.niqe import PATCH, fit_niqe, niqe, write_niqe
from ..synthetic.renders import Renders, cached_renders
from ..synthetic.splits import UPPER, VALIDATION


def pictures(renders: Renders) -> tuple[torch.Tensor, torch.Tensor]:
    """All views: [B, 3, S, S] in [0, 1], masks [B, 1, S, S]."""
    return renders.rgb.flatten(0, 1).float() / 255, renders.mask.flatten(0, 1)[:, None].float()


def run(arguments: list[str]) -> None:
    """Fit, write the file that ships, print the figures of validation heads as they are, blurred and noisy."""
    parser = argparse.ArgumentParser(prog="portrait-diffusion train niqe", description=__doc__)
    parser.add_argument("--heads", type=int, default=100)
    parser.add_argument("--held-out", type=int, default=25, help="validation heads")
    parser.add_argument("--patch", type=int, default=PATCH, help="pixels")
    options = parser.parse_args(arguments)
    images, masks = pictures(cached_renders(UPPER[: options.heads]))
    model = fit_niqe(images, options.patch, masks)
    held_out, inside = pictures(cached_renders(VALIDATION[: options.held_out]))
    noise = torch.randn(held_out.shape, generator=torch.Generator().manual_seed(5))
    copies = {
        "exact": held_out,
        "blurred": blur(held_out, 1.5),
        "noisy": (held_out + 0.05 * noise).clamp(0, 1),
    }
    figures = {name: niqe(x, model, inside).mean().item() for name, x in copies.items()}
    facts = {name: f"{value:.3f}" for name, value in figures.items()}
    write_niqe(shipped("niqe"), model, heads=str(options.heads), views="4", size="256", **facts)
    print(f"NIQE of validation heads {figures}", flush=True)
