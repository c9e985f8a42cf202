"""The factory's mean head as a photo is held against it: its surface and its landmarks, constants that `train mean_head` writes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..camera import Camera, project
from ..checkpoint import read, shipped
from ..mesh.rasterize import rasterize
from .network import LANDMARKS


@dataclass(frozen=True)
class MeanHead:
    """Attributes: vertices: [N, 3] and landmarks: [L, 3], in the order of `LANDMARKS`, scene units. faces: [M, 3]."""

    vertices: Tensor
    faces: Tensor
    landmarks: Tensor

    def silhouette(self, camera: Camera, size: int) -> Tensor:
        """[1, 1, size, size]: 1 where the head is at a pixel's centre, else 0; camera: unbatched."""
        image, depth = project(camera, self.vertices)
        face, _ = rasterize(torch.cat([image * size, depth[:, None]], -1), self.faces, size, size)
        return (face >= 0).to(self.vertices)[None, None]


def mean_head(device: torch.device | None = None) -> MeanHead:
    """The one that ships.

    Raises:
        ValueError: its file is missing, damaged or of another form.
    """
    _, tensors = read(shipped("mean_head"), "mean_head")
    try:
        vertices, faces, landmarks = (tensors[name].to(device) for name in ("vertices", "faces", "landmarks"))
    except KeyError as error:
        raise ValueError(
            f"mean head: expected vertices, faces and landmarks, got no {error}; copy the pack again"
        ) from error
    if landmarks.shape != (len(LANDMARKS), 3):
        raise ValueError(
            f"mean head: expected landmarks {[len(LANDMARKS), 3]}, got {list(landmarks.shape)}; copy the pack again"
        )
    return MeanHead(vertices, faces.long(), landmarks)
