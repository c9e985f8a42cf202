"""models/prior/readable.py: the generators' fast synthesis is that of the papers' formulas, and so are its slopes and halves."""

import pytest
import torch
from portrait_diffusion.models.camera import frontal, label_from_camera
from portrait_diffusion.models.prior import readable
from portrait_diffusion.models.prior.contract import styles
from torch.testing import assert_close

from ...golden_fixtures import relative_error
from .. import small
from . import pretend


@pytest.fixture(params=list(pretend.KINDS))
def prior(request):
    net = pretend.make(request.param)
    draws = torch.Generator().manual_seed(2)
    for name, value in net.named_parameters():  # a fresh net has no noise and no biases
        if name.endswith("noise_strength") or (name.endswith(".bias") and "affine" not in name):
            value.add_(0.1 * torch.randn(value.shape, generator=draws))
    return net


def two_heads(prior):
    return styles(prior, torch.randn(2, 16, generator=torch.Generator().manual_seed(1)))


@torch.no_grad()
@pytest.mark.parametrize("noise", ["const", "none"])
def test_planes_are_the_readable_ones(prior, noise):
    ws = two_heads(prior)
    assert_close(prior.planes(ws, noise), readable.planes(prior, ws, noise), atol=2e-5, rtol=1e-4)


@torch.no_grad()
def test_pictures_are_the_readable_ones(prior):
    ws, label = two_heads(prior), label_from_camera(frontal()).expand(2, -1)
    ours = prior.synthesis(ws, label, resolution=16).image
    assert relative_error(ours, readable.synthesis(prior, ws, label, 16)) < 1e-4


def test_slopes_are_the_readable_ones(prior):
    ws = two_heads(prior)[:1].requires_grad_()
    ours, theirs = (
        torch.autograd.grad(planes.square().sum(), ws)[0]
        for planes in (prior.planes(ws), readable.planes(prior, ws))
    )
    assert relative_error(ours, theirs) < 1e-4


@torch.no_grad()
def test_channels_last_changes_nothing_and_half_precision_little(prior):
    ws = two_heads(prior)
    wanted = readable.planes(prior, ws)
    prior.to(memory_format=torch.channels_last)
    assert relative_error(prior.planes(ws), wanted) < 1e-5
    assert relative_error(prior.planes(ws.bfloat16()).float(), wanted) < 0.03


def test_other_generators_are_refused():
    net = small.generator()
    ws = net.mapping(torch.zeros(1, 6))
    with pytest.raises(ValueError, match="expected a generator without mean planes"):
        readable.planes(net, ws)
