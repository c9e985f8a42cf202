"""A head is like its own view, unlike noise, and what the photo does not tell counts for nothing."""

from dataclasses import replace

import torch
from portrait_diffusion.models.metrics.identity import IdentityConfig, IdentityNetwork
from portrait_diffusion.models.metrics.likeness import Likeness, likeness

from .. import small


def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return IdentityNetwork(IdentityConfig(channels=(8, 8), dimensions=8)).requires_grad_(False)


def test_a_head_is_like_its_own_view_and_unlike_another_picture():
    head, judge = small.head(), network()
    view = head.render(small.portrait().camera[None], 128, normals=False).rgb[0]
    own = replace(small.portrait(128), image=view, mask=torch.ones(1, 128, 128))
    same = likeness(head, own, judge)
    assert same.similarity > 0.999 and same.psnr > 40 and same.doubt() is None
    other = likeness(head, replace(own, image=1 - view), judge)
    assert other.psnr < same.psnr and "hardly like the portrait" in other.doubt()
    untold = replace(own, image=1 - view, unknown=torch.zeros(1, 128, 128))
    untold.unknown[:, :, :100] = 1
    assert likeness(head, untold, judge).similarity >= other.similarity


def test_the_warning_gives_both_figures():
    assert Likeness(0.95, 20.0).doubt() is None
    assert "similarity 0.30 and 20.0 dB" in Likeness(0.3, 20.0).doubt()
    assert "9.0 dB" in Likeness(0.95, 9.0).doubt()
