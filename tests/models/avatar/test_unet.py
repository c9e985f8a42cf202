"""models/avatar/unet.py: the reference's base model, its null, and what the network promises."""

import pytest
import torch
from portrait_diffusion.models.avatar.conditioning import Conditions
from portrait_diffusion.models.avatar.unet import NO_MAP, BaseConfig, BaseUNet

from ...golden_fixtures import assert_near, each

TOLERANCE = 1e-5
MAPS = {32: 0, 16: 1, 8: 2}  # which map the reference tells features of a height


def config_of(golden):
    """Our config of the reference's arguments; what only its weights say is read from their shapes."""
    values, state = golden.config, golden.state()
    assert values["resblock_updown"] and values["num_heads_upsample"] == -1
    multipliers, size, width = values["channel_mult"], values["image_size"], values["model_channels"]
    heights = [size // rate for rate in values["attention_resolutions"]]
    blocks = values["num_res_blocks"]
    heads = values["num_head_channels"]
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
        map_channels=[golden.given(f"vae_feat_{i}").shape[1] for i in range(3)],
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
