"""models/avatar/unet.py: the reference's base model, its null, and what the network promises."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.avatar.conditioning import Conditions
from portrait_diffusion.models.avatar.unet import NO_MAP, BaseConfig, BaseUNet, JointAttention
from torch.testing import assert_close

from ...golden_fixtures import assert_near, each
from . import small
from .small import made

TOLERANCE = 1e-5
MAPS = {32: 0, 16: 1, 8: 2}  # which map the reference tells features of a height


def config_of(golden):
    """Our config of the reference's arguments; what only its weights say is read from their shapes."""
    values, state = golden.config, golden.state()
    assert values["resblock_updown"] and values["num_heads_upsample"] == -1
    multipliers, size, width = values["channel_mult"], values["image_size"], values["model_channels"]
    heights = [size // rate for rate in values["attention_resolutions"] if rate < 2 ** len(multipliers)]
    blocks = values["num_res_blocks"]
    heads = values["num_head_channels"]
    projections = [state[f"vae_ms_feature_proj_{side}.weight"] for side in (128, 64, 32)]
    return BaseConfig(
        size=size,
        plane_channels=values["in_channels"],
        width=width,
        multipliers=multipliers,
        blocks=[blocks] * len(multipliers) if isinstance(blocks, int) else blocks,
        attention=heights,
        attention_maps=[MAPS.get(height, NO_MAP) for height in heights],
        head_channels=heads if heads > 0 else width * multipliers[-1] // values["num_heads"],
        dropout=values["dropout"],
        scale_shift=values["use_scale_shift_norm"],
        learn_variance=values["out_channels"] == 2 * values["in_channels"],
        latent_channels=state["conv1.weight"].shape[1],
        latent_width=state["conv1.weight"].shape[0],
        latent_patch=state["conv1.weight"].shape[2],
        token_width=values["encoder_channels"],
        map_channels=[projection.shape[1] for projection in projections],
        map_patches=[projection.shape[2] for projection in projections],
    )


def conditions_of(golden):
    return Conditions(golden.given("latent"), tuple(golden.given(f"vae_feat_{i}") for i in range(3)))


@each("diffusion_rodin_base_unet*")
@torch.no_grad()
def test_the_reference_s_outputs(golden):
    net = BaseUNet(config_of(golden)).eval()
    net.load_state_dict(golden.state())
    conditions = conditions_of(golden)
    x, time = golden.given("x"), golden.given("timesteps")
    assert_near(net(x, time, conditions), golden.wanted("sample"), TOLERANCE, "sample")
    assert_near(net(x, time, conditions.null()), golden.wanted("sample_uncond"), TOLERANCE, "sample_uncond")


def inputs(rows=2, seed=0):
    time = torch.linspace(3, 900, rows)
    return small.random(rows, 4, 8, 24, seed=seed), time, small.conditions(rows, seed)


@pytest.mark.parametrize(
    "config", (small.BASE, small.GLOBAL, small.SINGLE), ids=("multi", "global", "single")
)
def test_rows_do_not_depend_on_each_other(config):
    net, (x, time, conditions) = small.base(config), inputs()
    with torch.no_grad():
        whole = net(x, time, conditions)
        rows = [net(x[i : i + 1], time[i : i + 1], conditions[i : i + 1]) for i in range(2)]
    assert whole.shape == (2, 8, 8, 24)
    assert_close(whole, torch.cat(rows), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "config", (small.BASE, small.GLOBAL, small.SINGLE), ids=("multi", "global", "single")
)
def test_every_weight_learns_and_every_condition_counts(config):
    net, (x, time, conditions) = small.base(config), inputs()
    maps = tuple(features.requires_grad_() for features in conditions.maps)
    conditions = Conditions(conditions.latent.requires_grad_(), maps)
    net(x.requires_grad_(), time, conditions).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert x.grad.any() and conditions.latent.grad.any()
    used = [features.grad is not None for features in maps]
    assert used == {small.BASE: [True, True, False], small.SINGLE: [False, True, False]}.get(
        config, [False] * 3
    )


def test_only_the_model_of_several_scales_has_weights_for_tokens():
    assert any("encoder_kv" in key for key in small.base().state_dict())
    assert not any("encoder_kv" in key or "feature" in key for key in small.base(small.GLOBAL).state_dict())


def test_without_variance_the_output_is_noise_alone():
    net, (x, time, conditions) = small.base(replace(small.BASE, learn_variance=False)), inputs(1)
    assert net(x, time, conditions).shape == x.shape


def test_a_new_model_predicts_nothing_yet():
    x, time, conditions = inputs(1)
    assert not BaseUNet(small.BASE)(x, time, conditions).any()


def test_the_paper_s_model_has_its_size():
    with torch.device("meta"):
        net = BaseUNet(BaseConfig())
    assert sum(p.numel() for p in net.parameters()) == 366_823_360  # 366.8 million
    aware = {name.split(".out_layers.")[0] for name in net.state_dict() if "out_layers1" in name}
    assert aware == {
        *(f"input_blocks.{i}.0" for i in (1, 2, 3)),
        *(f"output_blocks.{i}.0" for i in (16, 17, 18, 19)),
    }
    attending = {name.split(".1.qkv")[0] for name in net.state_dict() if name.endswith("qkv.weight")}
    assert len(attending) == 3 * 3 + 1 + 3 * 4


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"size": 9}, "expected a size that is a multiple of 2"),
        (
            {"size": 256, "attention": (), "attention_maps": ()},
            "attention at heights of up to 64, the coarsest among them",
        ),
        ({"attention": (8, 2)}, r"attention at heights among \(8, 4\), got 8 and \(8, 2\)"),
        ({"attention_maps": (0,)}, "expected attention_maps to be 2 whole numbers"),
        (
            {"attention_maps": (0, 2)},
            "expected attention_maps from -1 to 1, got 2",
        ),
        ({"blocks": (1,)}, "expected blocks to be 2 whole numbers"),
        ({"groups": 3}, "multiples of groups 3"),
        ({"head_channels": 5}, "of head_channels 5"),
        ({"map_patches": (4,)}, "name each map in all four"),
        ({"pooling_heads": 3}, "multiple of pooling_heads"),
        ({"dropout": 2.0}, "expected dropout from 0 to 1, got 2.0"),
        ({"scale_shift": 1}, "expected scale_shift to be true or false"),
    ],
)
def test_configs_that_make_no_network_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(small.BASE, **changes)


@pytest.mark.parametrize(
    "change, words",
    [
        (
            lambda x, t, c: (x[:, :3], t, c),
            r"expected \[B, 4, 8, 24\], three side by side, got \[2, 3, 8, 24\]",
        ),
        (lambda x, t, c: (x, t[:1], c), r"for each of 2 rows, got times \[1\] and 2 conditions"),
        (lambda x, t, c: (x, t, c[:1]), "got times .* and 1 conditions"),
        (lambda x, t, c: (x, t, Conditions(c.latent[:, :3], c.maps)), r"expected a latent \[B, 4, h, w\]"),
        (lambda x, t, c: (x, t, Conditions(c.latent, c.maps[:1])), "expected map 1 to be .* got maps"),
        (lambda x, t, c: (x, t, Conditions(c.latent, c.maps[::-1])), r"expected map 0 to be \[B, 8, H, W\]"),
    ],
)
def test_other_inputs_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        small.base()(*change(*inputs()))


def test_attention_is_the_reference_s_formula():
    block = made(lambda _: JointAttention(16, 5, small.BASE), None)
    x, tokens = small.random(2, 16, 3, 9), small.random(2, 5, 7, seed=1)
    query, key, value = block.qkv(block.norm(x.flatten(2))).view(2, 2, 24, 27).split(8, 2)
    told_key, told_value = block.encoder_kv(tokens).view(2, 2, 16, 7).split(8, 2)
    key, value = torch.cat([told_key, key], 3), torch.cat([told_value, value], 3)
    weights = torch.einsum("bhct,bhcs->bhts", query * 8**-0.25, key * 8**-0.25).softmax(3)
    wanted = x + block.proj_out(torch.einsum("bhts,bhcs->bhct", weights, value).flatten(1, 2)).view_as(x)
    assert_close(block(x, tokens), wanted)
