"""models/prior/stylegan2.py: the filter, modulation and style rows, by what they must do."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.equalised import FullyConnected
from portrait_diffusion.models.prior.stylegan2 import (
    MappingNetwork,
    SynthesisBlock,
    SynthesisLayer,
    SynthesisNetwork,
    ToRGB,
    demodulation,
    fir_taps,
    upsample,
    upsampling_conv,
)
from torch.testing import assert_close

seeds = st.integers(0, 2**31)


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def zeros_between(x):
    """[B, C, H, W] -> [B, C, 2H, 2W] with x at the even pixels."""
    y = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    y[:, :, ::2, ::2] = x
    return y


def filtered(x, taps, before, after):
    """Each channel convolved with the taps (gain 4) after zero padding, the slow way."""
    padded = F.pad(x, (before, after, before, after))
    height, width = padded.shape[2] - 3, padded.shape[3] - 3
    flipped = 4 * taps.flip(0, 1)
    return sum(
        flipped[i, j] * padded[:, :, i : i + height, j : j + width] for i in range(4) for j in range(4)
    )


@given(seeds)
def test_upsampling_is_zeros_between_pixels_and_a_filter(seed):
    x, taps = drawn(2, 3, 5, 7, seed=seed), drawn(4, 4, seed=seed + 1)  # any taps: their order matters, too
    assert_close(upsample(x, taps), filtered(zeros_between(x), taps, 2, 1))


@given(seeds)
def test_an_upsampling_convolution_convolves_zeros_between_pixels_then_filters(seed):
    x, weight, taps = (
        drawn(2, 3, 5, 4, seed=seed),
        drawn(6, 3, 3, 3, seed=seed + 1),
        drawn(4, 4, seed=seed + 2),
    )
    wide = F.conv2d(F.pad(zeros_between(x), (2, 1, 2, 1)), weight.flip(2, 3))  # 2H + 1, a true convolution
    assert_close(upsampling_conv(x, weight, taps), filtered(wide, taps, 1, 1))


def test_upsampling_keeps_constants_inside():
    flat = upsample(torch.ones(1, 1, 6, 6), fir_taps())
    assert_close(flat[..., 1:-1, 1:-1], torch.ones(1, 1, 10, 10))


@given(seeds)
def test_scaling_activations_is_the_same_as_scaling_weights(seed):
    layer = SynthesisLayer(5, 4, 6, 8).double()
    layer.noise_strength.data.fill_(0.3)
    x, w = drawn(3, 5, 8, 8, seed=seed), drawn(3, 6, seed=seed + 1)
    styles = layer.affine(w)
    modulated = layer.weight[None] * styles[:, None, :, None, None]
    modulated = modulated * torch.rsqrt(modulated.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    slow = torch.cat([F.conv2d(x[i : i + 1], modulated[i], padding=1) for i in range(3)])
    slow = F.leaky_relu(slow + layer.noise_const * 0.3 + layer.bias[:, None, None], 0.2) * math.sqrt(2)
    assert_close(layer(x, w), slow)


@pytest.mark.parametrize("up", [False, True])
def test_without_a_graph_one_heads_weights_are_modulated_to_the_same_end(up):
    torch.manual_seed(0)
    layer = SynthesisLayer(6, 8, 16, 32 if up else 16, up=up).double()
    x, w = drawn(1, 6, 16, 16), drawn(1, 16, seed=1)
    assert x.numel() > layer.weight.numel()
    with_graph = layer(x, w, "const")
    with torch.no_grad():
        assert_close(layer(x, w, "const"), with_graph)


@given(seeds)
def test_demodulation_gives_weights_of_unit_energy(seed):
    weight, styles = drawn(7, 5, 3, 3, seed=seed), drawn(2, 5, seed=seed + 1)
    modulated = (
        weight[None] * styles[:, None, :, None, None] * demodulation(weight, styles)[:, :, None, None, None]
    )
    assert_close(modulated.square().sum((2, 3, 4)), torch.ones(2, 7, dtype=torch.float64))


def test_the_variance_is_kept_whatever_the_style():
    layer = SynthesisLayer(64, 32, 16, 24)
    x, w = drawn(4, 64, 24, 24, dtype=torch.float32), drawn(4, 16, dtype=torch.float32)
    spread = [layer(x, scale * w, "none").square().mean().sqrt().item() for scale in (1, 5)]
    assert spread == pytest.approx([1, 1], abs=0.15)


def test_noise_is_the_callers():
    layer = SynthesisLayer(3, 4, 6, 8)
    layer.noise_strength.data.fill_(1.0)
    x, w = drawn(2, 3, 8, 8, dtype=torch.float32), drawn(2, 6, dtype=torch.float32)
    same, again, other = (
        layer(x, w, "random", generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert torch.equal(same, again) and not torch.equal(same, other)
    assert torch.equal(layer(x, w), layer(x, w)) and not torch.equal(layer(x, w), layer(x, w, "none"))
    for mode in ("random", "fixed"):
        with pytest.raises(ValueError, match="random with a torch.Generator"):
            layer(x, w, mode)


def test_gradients_reach_everything_that_is_learnt():
    block = SynthesisBlock(3, 4, 5, 8, 2).double()
    x, image, ws = drawn(2, 3, 4, 4), drawn(2, 2, 4, 4, seed=1), drawn(2, 3, 5, seed=2)

    def out(x, image, ws):
        return block(x, image, ws)[1]

    assert torch.autograd.gradcheck(out, tuple(v.requires_grad_() for v in (x, image, ws)), fast_mode=True)
    out(x, image, ws).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in block.parameters())


def test_every_style_row_matters_to_its_own_image_only():
    net = SynthesisNetwork(8, 16, 5, channel_base=128, channel_max=8)
    assert net.num_ws == 6
    ws = drawn(2, 6, 8, dtype=torch.float32)
    before = net(ws)
    assert before.shape == (2, 5, 16, 16)
    for row in range(6):
        moved = ws.clone()
        moved[0, row] += 1
        change = (net(moved) - before).abs().amax((1, 2, 3))
        assert change[0] > 1e-5 and change[1] == 0


def test_a_larger_constant_is_the_same_network_begun_later():
    whole, late = (
        SynthesisNetwork(8, 32, 4, channel_base=256, channel_max=16, base_resolution=base) for base in (4, 16)
    )
    assert late.b16.const.shape == (16, 16, 16) and not hasattr(late, "b8")
    assert set(late.b32.state_dict()) == set(whole.b32.state_dict())
    with pytest.raises(ValueError, match="16 doubled some times"):
        SynthesisNetwork(8, 24, 4, base_resolution=16)


def test_torgb_is_linear_in_its_input_and_clamped():
    rgb = ToRGB(6, 3, 5).double()
    x, w = drawn(2, 6, 4, 4), drawn(2, 5, seed=1)
    assert_close(rgb(2 * x, w) - rgb(x, w), rgb(x, w) - rgb(0 * x, w))
    assert_close(rgb(x, w), torch.einsum("bci,bihw->bchw", rgb.matrix(w), x) + rgb.bias[:, None, None])
    clamped = ToRGB(6, 3, 5, clamp=0.1).double()
    clamped.load_state_dict(rgb.state_dict())
    assert_close(clamped(x, w), rgb(x, w).clamp(-0.1, 0.1))


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_a_layers_rate_changes_its_weights_not_what_it_does(rate):
    layer = FullyConnected(64, 512, rate=rate, bias=0.5)
    out = layer(torch.randn(1, 64, generator=torch.Generator().manual_seed(0)))
    assert layer.weight.std().item() == pytest.approx(1 / rate, rel=0.05)
    assert out.mean().item() == pytest.approx(0.5, abs=0.15) and out.std().item() == pytest.approx(
        1, abs=0.25
    )


def test_a_layer_is_above_whatever_linear_layer_it_is_given():
    class Casting(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x) + 1

    class Operations:
        Linear = Casting

    layer = FullyConnected(4, 3, operations=Operations)
    assert isinstance(layer, Casting) and set(layer.state_dict()) == {"weight", "bias"}
    assert_close(layer(torch.zeros(1, 4)), torch.ones(1, 3))


def test_mapping_sees_the_codes_direction_and_truncates_towards_the_mean():
    net = MappingNetwork(6, 0, 8, 4)
    net.w_avg.normal_(generator=torch.Generator().manual_seed(0))
    z = drawn(2, 6, dtype=torch.float32)
    assert_close(net(z), net(3 * z), atol=1e-4, rtol=1e-4)
    assert_close(net(z, psi=0), net.w_avg.expand(2, 4, 8))
    half = net(z, psi=0.5, cutoff=1)
    assert_close(half[:, 0], (net(z)[:, 0] + net.w_avg) / 2)
    assert torch.equal(half[:, 1:], net(z)[:, 1:])


def test_mapping_says_whether_it_wants_a_label():
    with pytest.raises(ValueError, match=r"camera label \[B, 25\], got no label"):
        MappingNetwork(6, 25, 8, 4)(torch.zeros(1, 6))
    with pytest.raises(ValueError, match=r"codes alone, got a label \[1, 25\]"):
        MappingNetwork(6, 0, 8, 4)(torch.zeros(1, 6), torch.zeros(1, 25))


def test_styles_of_another_shape_are_named():
    with pytest.raises(ValueError, match=r"expected styles \[B, 6, 8\], got \[1, 3, 8\]"):
        SynthesisNetwork(8, 16, 3, channel_base=64, channel_max=8)(torch.zeros(1, 3, 8))
