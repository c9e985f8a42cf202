"""models/avatar/planes.py: the reference's 3D-aware convolution, and what roll-out and convolution promise."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.avatar.planes import AwareConv, resize, roll_in, roll_out
from torch.testing import assert_close

from ...golden_fixtures import assert_near, each

TOLERANCE = 1e-6


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def filled(inputs, outputs, seed=0):
    conv = AwareConv(inputs, outputs)
    generator = torch.Generator().manual_seed(seed)
    for parameter in conv.parameters():
        parameter.data.normal_(generator=generator)
    return conv


@each("diffusion_rodin_conv3daware*")
@torch.no_grad()
def test_the_reference_s_convolution(golden):
    conv = AwareConv(golden.config["in_channels"], golden.config["out_channels"])
    conv.load_state_dict(golden.state())
    for run in (conv, conv.readable):
        assert_near(run(golden.given("triplane")), golden.wanted("triplane"), TOLERANCE, "triplane")


@given(st.integers(1, 7), st.integers(0, 99))
def test_the_fast_convolution_is_the_readable_one(side, seed):
    conv, wide = filled(3, 2, seed), random(2, 3, side, 3 * side, seed=seed).requires_grad_()
    fast, readable = conv(wide), conv.readable(wide)
    assert_close(fast, readable, rtol=1e-4, atol=1e-4)
    weights = random(*fast.shape, seed=seed + 1)
    slopes = [
        torch.autograd.grad((out * weights).sum(), [wide, *conv.parameters()]) for out in (fast, readable)
    ]
    for ours, theirs in zip(*slopes, strict=True):
        assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


def test_roll_out_and_in():
    planes = random(2, 3, 4, 5, 6)
    wide = roll_out(planes)
    assert wide.shape == (2, 4, 5, 18)
    assert torch.equal(wide[:, :, :, 6:12], planes[:, 1])
    assert torch.equal(roll_in(wide), planes)


def test_a_new_convolution_is_zero_and_learns():
    conv = AwareConv(2, 2)
    out = conv(random(1, 2, 4, 12))
    assert not out.any()
    out.sum().backward()
    assert all(parameter.grad.any() for parameter in conv.parameters())


def test_what_one_axis_says_reaches_the_planes_that_share_it():
    """A change at one x of plane xz moves plane xy at that x, in all rows, and plane yz at one z."""
    conv, wide = filled(1, 1), torch.zeros(1, 1, 6, 18)
    still = conv(wide)
    wide[0, 0, 1, 6 + 4] = 1  # z = 1, x = 4 of xz
    xy, _, yz = roll_in(conv(wide) - still)[0, :, 0]
    assert xy[:, 3:].abs().min() > 0 and not xy[:, :3].any()
    assert yz[:3].abs().min() > 0 and not yz[3:].any()


def test_planes_are_resized_apart():
    planes = torch.stack([torch.full((1, 2, 4, 4), float(i)) for i in range(3)], 1)
    assert_close(resize(planes, 8), planes[..., :1, :1].expand(1, 3, 2, 8, 8))
    assert resize(planes, 4) is planes
    assert resize(planes, 2).shape == (1, 3, 2, 2, 2)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: roll_out(torch.zeros(1, 2, 4, 4)), r"expected planes \[B, 3, C, H, W\], got \[1, 2, 4, 4\]"),
        (lambda: roll_in(torch.zeros(1, 2, 4, 4)), r"expected a wide image \[B, C, H, 3 W\]"),
        (lambda: AwareConv(1, 1)(torch.zeros(1, 1, 4, 15)), r"expected square planes .* got \[1, 1, 4, 15\]"),
    ],
)
def test_other_shapes_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
