"""models/diffusion against BrushNet: the branch's residuals, their injection into a stock UNet, the mask."""

import torch
from diffusers import UNet2DConditionModel
from portrait_diffusion.models.diffusion.brushnet import (
    Branch,
    BranchConfig,
    guess_scales,
    known_mask,
    masked_image,
)
from portrait_diffusion.models.diffusion.injection import diffusers_sites, injected

from ...golden_fixtures import assert_near, each

TOLERANCE = 1e-4


def branch_config(golden) -> BranchConfig:
    theirs = golden.config["brushnet"]
    assert set(theirs["down_block_types"]) == {"DownBlock2D"} and theirs["mid_block_type"] == "MidBlock2D" and theirs["act_fn"] == "silu"
    time, text = 0, 0
    if theirs["addition_embed_type"] == "text_time":
        time = theirs["addition_time_embed_dim"]
        text = theirs["projection_class_embeddings_input_dim"] - 6 * time
    return BranchConfig(
        channels=theirs["block_out_channels"],
        layers=theirs["layers_per_block"],
        groups=theirs["norm_num_groups"],
        eps=theirs["norm_eps"],
        latent_channels=theirs["in_channels"],
        condition_channels=theirs["conditioning_channels"],
        added_time=time,
        added_text=text,
    )


def added(golden) -> dict | None:
    names = ("text_embeds", "time_ids")
    return {name: golden.given(name) for name in names} if all(f"in/{name}" in golden.tensors for name in names) else None


def names(golden) -> list[str]:
    return [f"down_{i}" for i in range(golden.config["n_down"])] + ["mid"] + [f"up_{i}" for i in range(golden.config["n_up"])]


@each("diffusion_brushnet_s*")
@torch.no_grad()
def test_branch(golden):
    branch = Branch(branch_config(golden)).eval()
    branch.load_state_dict(golden.state())
    scale = golden.config["conditioning_scale"]
    if golden.config["guess_mode"]:
        scale = guess_scales(len(names(golden)), scale)
    given = [golden.given(name) for name in ("sample", "timestep", "brushnet_cond")]
    residuals = branch(*given, scale=scale, added=added(golden))
    assert len(residuals) == len(names(golden)) == len(branch.config.taps())
    for name, residual in zip(names(golden), residuals, strict=True):
        assert_near(residual, golden.wanted(name), TOLERANCE, name)


@each("diffusion_brushnet_unet*")
@torch.no_grad()
def test_injection_into_a_stock_unet(golden):
    unet = UNet2DConditionModel(**golden.config["unet"]).eval()
    unet.load_state_dict(golden.state())
    features = [golden.given(name) for name in names(golden)]
    down, assume = golden.config["n_down"], added(golden)
    nothing = [torch.zeros_like(feature) for feature in features]
    cases = {
        "sample": features,
        "sample_only_down": features[:down] + nothing[down:],
        "sample_only_first_down": features[:1] + nothing[1:],
        "sample_only_up": nothing[: down + 1] + features[down + 1 :],
        "sample_no_injection": None,
    }
    for name, given in cases.items():
        with injected(lambda: diffusers_sites(unet), given):
            arguments = [golden.given(x) for x in ("sample", "timestep", "encoder_hidden_states")]
            shown = unet(*arguments, added_cond_kwargs=assume).sample
        assert_near(shown, golden.wanted(name), TOLERANCE, name)


@each("diffusion_brushnet_mask*")
def test_mask(golden):
    image, hole = golden.given("image"), golden.given("mask_white_is_hole")
    size = tuple(side // golden.config["factor"] for side in image.shape[-2:])
    assert torch.equal(known_mask(hole, size), golden.wanted("mask_latent"))
    assert torch.equal(masked_image(image, hole), golden.wanted("masked_image"))
