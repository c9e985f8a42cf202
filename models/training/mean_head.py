"""`train mean_head`: the mean head's surface and landmarks, which alignment and matting hold a photo against."""

from __future__ import annotations

import argparse
import json

import torch
from torch import Tensor

from ..checkpoint import save_tensors, shipped
from ..mesh.isosurface import Grid, marching_cubes
from ..photo.mean_head import MeanHead
from ..photo.network import LANDMARKS
from ..synthetic.anatomy import BOX_MAX, BOX_MIN, Anatomy, anatomy
from ..synthetic.head import mean_parameters
from ..synthetic.rendering import landmarks
from ..synthetic.renders import FACTORY_VERSION
from ..synthetic.sdf import coordinates
from ..synthetic.solid import distance

SPACING = 0.006  # scene units between samples; a pixel of the silhouette that matting takes is 0.013 wide
ROUNDS = 6  # of moving vertices onto the surface


def build(spacing: float = SPACING) -> MeanHead:
    """The surface of the mean head by marching cubes over its signed distance, vertices moved onto it; deterministic."""
    head = anatomy(mean_parameters())
    low = torch.tensor(BOX_MIN) - 2 * spacing
    counts = ((torch.tensor(BOX_MAX) - low) / spacing).int() + 3
    points = torch.cartesian_prod(
        *(torch.arange(int(n)) * spacing + start for n, start in zip(counts, low, strict=True))
    )
    values = torch.cat([distance(head, coordinates(part)) for part in points.split(1 << 18)])
    mesh = marching_cubes(Grid(-values.view(*counts.tolist()), low, spacing))
    places = landmarks(mean_parameters())
    return MeanHead(
        onto_surface(head, mesh.vertices), mesh.faces, torch.stack([places[name] for name in LANDMARKS])
    )


def onto_surface(head: Anatomy, vertices: Tensor, step: float = 1e-4) -> Tensor:
    """Vertices [N, 3] after a few Newton steps along the signed distance's gradient, by central differences of `step` units."""
    offsets = step * torch.eye(3)
    for _ in range(ROUNDS):
        ahead, behind = (
            torch.stack([distance(head, coordinates(vertices + sign * offset)) for offset in offsets], -1)
            for sign in (1, -1)
        )
        slope = (ahead - behind) / (2 * step)
        off = distance(head, coordinates(vertices))[:, None]
        vertices = vertices - 0.9 * off * slope / slope.square().sum(-1, keepdim=True).clamp_min(0.1)
    return vertices


def run(arguments: list[str]) -> None:
    """Write the file that ships, and say how large it is."""
    argparse.ArgumentParser(prog="portrait-diffusion train mean_head", description=__doc__).parse_args(
        arguments
    )
    head = build()
    tensors = {
        "vertices": head.vertices.contiguous(),
        "faces": head.faces.to(torch.int16).contiguous(),
        "landmarks": head.landmarks,
    }
    config = json.dumps({"spacing": SPACING, "factory": FACTORY_VERSION})
    save_tensors(shipped("mean_head"), tensors, {"kind": "mean_head", "config": config})
    print(
        f"mean head: {len(head.vertices)} vertices, {len(head.faces)} faces, {shipped('mean_head').stat().st_size / 1e3:.0f} kB"
    )
