"""models/photo/mean_head.py: the stored constants are the factory's mean head, and its silhouettes those of exact views."""

import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.photo.mean_head import mean_head
from portrait_diffusion.models.photo.network import LANDMARKS
from portrait_diffusion.models.synthetic.anatomy import anatomy
from portrait_diffusion.models.synthetic.head import mean_parameters
from portrait_diffusion.models.synthetic.rendering import landmarks, render_head
from portrait_diffusion.models.synthetic.solid import distance
from portrait_diffusion.models.training import mean_head as writing
from torch.testing import assert_close


def test_the_file_is_what_the_command_writes():
    stored, built = mean_head(), writing.build()
    assert torch.equal(stored.faces, built.faces)
    assert_close(stored.vertices, built.vertices, atol=1e-5, rtol=0)


def test_it_lies_on_the_mean_heads_surface():
    head, places = mean_head(), landmarks(mean_parameters())
    off = distance(anatomy(mean_parameters()), head.vertices.unbind(1)).abs()
    assert off.median() < 1e-5 and off.quantile(0.999) < 1e-3
    assert torch.equal(head.landmarks, torch.stack([places[name] for name in LANDMARKS]))


def test_silhouettes_are_those_of_exact_views():
    """But for a few of some 130 pixels along the outline."""
    size = 48
    cameras = orbit(torch.tensor([0.0, 0.5, -0.9, 0.2]), torch.tensor([0.0, 0.2, -0.1, -0.35]))
    exact = render_head(mean_parameters(), cameras, size).mask
    silhouettes = torch.cat([mean_head().silhouette(cameras[i], size) for i in range(4)])
    differing = (silhouettes != exact).flatten(1).sum(1)
    assert differing[0] == 0 and differing.max() <= 5
    assert ((silhouettes == 0) | (silhouettes == 1)).all()
