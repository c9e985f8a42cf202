"""models/avatar/upsampler.py: the reference's pieces, and what the whole network promises."""

import pytest
import torch
from portrait_diffusion.models.avatar.reading import AttentionPooling
from portrait_diffusion.models.avatar.upsampler import (
    CrossAttentionBlock,
    Downsample,
    ResnetBlock,
    Upsample,
)

from ...golden_fixtures import assert_near, each

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
