"""models/diffusion/zero123.py against threestudio's camera vectors and conditions, both variants; Perp-Neg prompts likewise."""

import math

import pytest
import torch
from portrait_diffusion.models.diffusion.denoiser import Conditioning
from portrait_diffusion.models.diffusion.perp_neg import PerpNegConfig, view_prompt
from portrait_diffusion.models.diffusion.zero123 import Pose, ViewConditioning, camera_vector, without_picture

from ...golden_fixtures import assert_near, each

TOLERANCE = 2e-6


@pytest.mark.parametrize("variant", ["zero123", "stable_zero123"])
@each("diffusion_zero123_camera*")
def test_conditions(golden, variant):
    config = golden.config
    target = Pose(
        *(golden.given(f"{name}_deg").deg2rad() for name in ("azimuth", "elevation")),
        golden.given("distance"),
    )
    angles = (torch.tensor(math.radians(config[f"cond_{name}_deg"])) for name in ("azimuth", "elevation"))
    source = Pose(*angles, torch.tensor(config["cond_camera_distance"]))
    vector = camera_vector(target, source, stable=variant == "stable_zero123")
    assert_near(vector, golden.wanted(f"{variant}/camera_embedding"), TOLERANCE, "camera")
    network = ViewConditioning(config["clip_dim"])
    network.load_state_dict(golden.state())
    with torch.no_grad():
        given = network(golden.given("clip_image_embed"), vector, golden.given("c_concat"))
    both = Conditioning.cat(without_picture(given), given)
    assert_near(both.tokens, golden.wanted(f"{variant}/c_crossattn"), TOLERANCE, "tokens")
    assert_near(both.concat, golden.wanted(f"{variant}/c_concat"), TOLERANCE, "beside")


@each("diffusion_view_prompts*")
def test_perp_neg_prompts(golden):
    config = golden.config
    yaw, pitch = (golden.given(f"{name}_deg").deg2rad() for name in ("azimuth", "elevation"))
    settings = PerpNegConfig(
        side_on_back=config["f_sb"],
        front_on_back=config["f_fsb"],
        front_on_side=config["f_fs"],
        side_on_front=config["f_sf"],
        overhead=math.radians(config["overhead_threshold"]),
    )
    empty = golden.given("uncond_text_embeddings_vd")
    made = view_prompt(golden.given("text_embeddings_vd"), empty[0], yaw, pitch, settings)
    B = len(yaw)
    positive, _, negative = golden.wanted("perpneg_text_embeddings").split([B, B, 2 * B])
    assert_near(made.weights, golden.wanted("perpneg_weights"), TOLERANCE, "weights")
    assert_near(made.positive, positive, TOLERANCE, "positive")
    told = made.weights.ne(0).flatten()
    assert_near(made.negative.flatten(0, 1)[told], negative[told], TOLERANCE, "negative")


def test_the_embedding_is_handed_on_at_first():
    network = ViewConditioning(6)
    embedding = torch.randn(1, 1, 6, generator=torch.Generator().manual_seed(0))
    given = network(embedding, torch.randn(3, 4), torch.zeros(1, 4, 2, 2))
    assert torch.allclose(given.tokens, embedding.expand(3, 1, 6)) and given.concat.shape == (3, 4, 2, 2)
