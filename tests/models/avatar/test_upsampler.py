"""models/avatar/upsampler.py: the reference's pieces, and what the whole network promises."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.avatar.conditioning import Conditions
from portrait_diffusion.models.avatar.planes import resize, roll_in, roll_out
from portrait_diffusion.models.avatar.reading import AttentionPooling
from portrait_diffusion.models.avatar.upsampler import (
    CrossAttentionBlock,
    Downsample,
    ResnetBlock,
    Upsample,
    Upsampler,
    UpsamplerConfig,
)
from torch.testing import assert_close

from ...golden_fixtures import assert_near, each
from . import small

TOLERANCE = 1e-5


def loaded(module, golden, name):
    module.load_state_dict(golden.state(f"{name}."))
    return module.eval()


@each("diffusion_rodin_upsampler_pieces*")
@torch.no_grad()
def test_the_reference_s_pieces(golden):
    config, state = golden.config, golden.state()
    x, temb, tokens, encoder_out = (golden.given(name) for name in ("x", "temb", "tokens", "encoder_out"))
    resnet = ResnetBlock(
        x.shape[1],
        len(state["resnet.conv1.weight"]),
        temb.shape[1],
        scale_shift=config["use_scale_shift_norm"],
    )
    h = loaded(resnet, golden, "resnet")(x, temb)
    assert_near(h, golden.wanted("resnet"), TOLERANCE, "resnet")
    cross = CrossAttentionBlock(
        x.shape[1], encoder_out.shape[1], head_channels=config.get("num_head_channels", 32)
    )
    attended = loaded(cross, golden, "cross_attn")(x, encoder_out)
    assert_near(attended, golden.wanted("cross_attn"), TOLERANCE, "cross_attn")
    pooling = AttentionPooling(tokens.shape[2], config.get("pooling_heads", 4))
    assert_near(
        loaded(pooling, golden, "attn_pool")(tokens), golden.wanted("attn_pool"), TOLERANCE, "attn_pool"
    )
    down = loaded(Downsample(h.shape[1]), golden, "downsample")(golden.wanted("resnet"))
    assert_near(down, golden.wanted("downsample"), TOLERANCE, "downsample")
    up = loaded(Upsample(h.shape[1]), golden, "upsample")(golden.wanted("downsample"))
    assert_near(up, golden.wanted("upsample"), TOLERANCE, "upsample")


BOTH = pytest.mark.parametrize("config", (small.UPSAMPLER, small.LATENT_TOKENS), ids=("map", "latent"))


def inputs(rows=2, seed=0):
    time = torch.linspace(3, 900, rows)
    low = small.random(rows, 4, 8, 24, seed=seed + 9)
    return small.random(rows, 4, 16, 48, seed=seed), time, low, small.conditions(rows, seed)


@BOTH
def test_rows_do_not_depend_on_each_other(config):
    """The reference's takes one row only: it stacks planes where rows are."""
    net, (x, time, low, conditions) = small.upsampler(config), inputs()
    with torch.no_grad():
        whole = net(x, time, low, conditions)
        rows = [net(x[i : i + 1], time[i : i + 1], low[i : i + 1], conditions[i : i + 1]) for i in range(2)]
    assert whole.shape == x.shape
    assert_close(whole, torch.cat(rows), rtol=1e-4, atol=1e-5)


@BOTH
def test_every_weight_learns_and_every_condition_counts(config):
    net, (x, time, low, conditions) = small.upsampler(config), inputs()
    features = conditions.maps[0].requires_grad_()
    conditions = Conditions(conditions.latent.requires_grad_(), conditions.maps)
    net(x.requires_grad_(), time, low.requires_grad_(), conditions).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert x.grad.any() and low.grad.any() and conditions.latent.grad.any()
    assert (features.grad is not None) == bool(config.map_channels)


@BOTH
def test_a_new_one_enlarges_and_learns(config):
    net, (x, time, low, conditions) = Upsampler(config), inputs()
    out = net(x, time, low, conditions)
    assert_close(out, roll_out(resize(roll_in(low), 16)))
    out.sum().backward()
    assert net.out.nin_shortcut.weight.grad.any() and net.out.conv2.out_layers1.weight.grad.any()


def test_the_coarse_planes_are_told_plane_by_plane():
    """Enlarged as one image, a plane's border would blend with its neighbour's."""
    x, time, _, conditions = inputs(1)
    planes = torch.arange(3.0).view(1, 3, 1, 1, 1).expand(1, 3, 4, 8, 8)
    out = roll_in(Upsampler(small.UPSAMPLER)(x, time, roll_out(planes), conditions))
    assert_close(out, planes[..., :1, :1].expand(1, 3, 4, 16, 16))


def count(config):
    with torch.device("meta"):
        return sum(p.numel() for p in Upsampler(config).parameters())


def test_the_paper_s_and_the_released_sizes():
    """The released scripts': 80.4 million at 64 features, 320.6 at 128, told of the latent only."""
    latent = {"map_sides": (), "map_taps": (), "map_channels": (), "map_patches": ()}
    assert count(UpsamplerConfig(width=64, embedding=512, **latent)) == 80_395_392
    assert count(UpsamplerConfig(width=128, embedding=1024, **latent)) == pytest.approx(320.6e6, rel=1e-3)
    assert count(UpsamplerConfig(width=128, **latent)) == 315_747_904
    assert count(UpsamplerConfig()) == 333_904_320
    small_one = UpsamplerConfig(
        size=128,
        plane_channels=16,
        width=16,
        multipliers=(1, 2),
        blocks=(1, 1),
        body=1,
        embedding=64,
        head_channels=16,
        groups=8,
        latent_width=32,
        latent_patch=8,
        map_sides=(64,),
        map_channels=(16,),
        map_patches=(8,),
        map_groups=8,
        token_width=48,
    )
    assert 0.4e6 < count(small_one) < 0.7e6


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"size": 1024, "width": 512}, "features of up to 1073741824 numbers, got 4831838208"),
        ({"size": 15}, "expected a size that is a multiple of 2 and one map at most, got 15"),
        (
            {"map_sides": (32, 16), "map_taps": (0, 1), "map_channels": (8, 16), "map_patches": (16, 8)},
            "one map at most, got 16 and 2 maps",
        ),
        ({"groups": 3}, "multiples of groups 3"),
        ({"head_channels": 7}, "of head_channels 7"),
        ({"body": 0}, "expected body from 1 to 16, got 0"),
        ({"embedding": 0.5}, "expected embedding a whole number"),
    ],
)
def test_configs_that_make_no_network_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(small.UPSAMPLER, **changes)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda x, t, low, c: (x[..., :16], t, low, c), r"expected \[B, 4, 16, 48\]"),
        (lambda x, t, low, c: (x, t, low[:1], c), r"expected coarse planes \[2, 4, h, 3 h\] for each row"),
        (lambda x, t, low, c: (x, t, low[..., :20], c), r"got \[2, 4, 8, 20\]; roll them out"),
        (lambda x, t, low, c: (x, t, low, Conditions(c.latent)), "expected map 0 to be .* got maps"),
    ],
)
def test_other_inputs_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        small.upsampler()(*change(*inputs()))


def test_time_scales_and_shifts_where_the_config_says():
    net, (x, time, low, conditions) = small.upsampler(replace(small.UPSAMPLER, scale_shift=True)), inputs(1)
    assert net.up[0].temb_proj.out_features == 2 * 16
    assert net(x, time, low, conditions).isfinite().all()
