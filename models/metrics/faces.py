"""ArcFace's similarity of pictures in which a face is found, with the user's ArcFace and the alignment network that ships."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..photo.detection import find_face
from ..photo.network import AlignmentNetwork
from .standard import ArcFace, arcface_crop, embedding_similarity

PLACES = 5  # of the alignment network's landmarks: eyes, nose tip, mouth corners, in ArcFace's order


@dataclass(frozen=True)
class FaceSimilarity:
    """Attributes: arcface: the user's, `load_arcface`. aligner: finds the landmarks; both on one device."""

    arcface: ArcFace
    aligner: AlignmentNetwork

    @torch.no_grad()
    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Cosines of the faces of two batches [B, 3, H, W] in [0, 1], pair by pair: [B], NaN where either shows no face."""
        return embedding_similarity(
            *(torch.cat([self.embedding(image) for image in batch.split(1)]) for batch in (a, b))
        )

    def embedding(self, image: Tensor) -> Tensor:
        """[1, D] of the face in a picture [1, 3, H, W]; NaN where none is found."""
        try:
            places = find_face(image[0], self.aligner).landmarks[:PLACES]
        except ValueError:  # what find_face says of a picture without a face
            return image.new_full((1, self.arcface.fc.out_features), float("nan"))
        return self.arcface(arcface_crop(image, places[None].to(image)))
