"""models/metrics/faces.py: the same face is itself, wherever it is in the picture; a picture without a face is not judged."""

import pytest
import torch
from portrait_diffusion.models.camera import frontal
from portrait_diffusion.models.checkpoint import read, shipped
from portrait_diffusion.models.metrics.faces import FaceSimilarity
from portrait_diffusion.models.metrics.standard import ArcFace
from portrait_diffusion.models.photo.network import alignment_network_from
from portrait_diffusion.models.synthetic.head import sample_parameters
from portrait_diffusion.models.synthetic.rendering import render_head


@pytest.fixture(scope="module")
def similarity():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        arcface = ArcFace((4, 8, 8, 8), (1, 1, 2, 1), 16).eval()
    return FaceSimilarity(arcface, alignment_network_from(*read(shipped("alignment"), "alignment")))


@pytest.mark.whole
def test_faces_are_compared_where_both_have_one(similarity):
    face = render_head(sample_parameters(90_000), frontal()[None], 192).rgb
    aside = torch.ones_like(face)
    aside[..., :-12] = face[..., 12:]
    blank = torch.full_like(face, 0.5)
    values = similarity(torch.cat([face, face, face]), torch.cat([face, aside, blank]))
    assert values[0] == pytest.approx(1, abs=1e-5) and values[1] > 0.9 and values[2].isnan()
