"""`train mean_head`: the surface of the prior's mean head, which alignment and matting hold a photo against."""

from __future__ import annotations

import argparse
import hashlib
import json

import torch

from ..checkpoint import save_tensors, shipped
from ..head import head_of
from ..photo.mean_head import MeanHead
from ..photo.pose import CANONICAL_LANDMARKS
from ..portrait import MeshConfig, head_to_mesh
from ..prior.contract import average_styles
from ..prior.families import load_generator

FACES = 16_000  # a pixel of the silhouette that matting takes is 0.013 scene units wide, an edge 0.009


@torch.no_grad()
def build() -> MeanHead:
    """The surface of the mean style of the prior that ships, and the landmarks on which its faces lie; deterministic on a machine."""
    prior = load_generator(shipped("prior"))
    head = head_of(prior, average_styles(prior))
    mesh = head_to_mesh(head, MeshConfig(resolution=160, target_faces=FACES, texture_size=0))
    return MeanHead(mesh.vertices, mesh.faces, torch.tensor(CANONICAL_LANDMARKS))


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
    config = json.dumps({"prior": hashlib.sha256(shipped("prior").read_bytes()).hexdigest()})
    save_tensors(shipped("mean_head"), tensors, {"kind": "mean_head", "config": config})
    print(
        f"mean head: {len(head.vertices)} vertices, {len(head.faces)} faces, {shipped('mean_head').stat().st_size / 1e3:.0f} kB"
    )
