"""One contract, two backs: a diffusers UNet and a ComfyUI MODEL with the same weights predict the same noise."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from portrait_diffusion.workflows.server import comfyui_path

SCRIPT = Path(__file__).with_name("both_backs.py")
TOLERANCE = 1e-4  # of the greatest number; both are float32


@pytest.fixture(scope="module")
def measured() -> dict:
    """What both_backs.py says, in a process where only the core is loaded."""
    comfy = comfyui_path()
    ran = subprocess.run(
        [sys.executable, SCRIPT, comfy], cwd=comfy, capture_output=True, text=True, timeout=580, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["sd15", "sd21"])
def test_the_same_prediction_from_both_backs(measured, name, record_property):
    record_property("apart", measured["apart"])
    assert measured["apart"][name] < TOLERANCE
    assert measured["apart"][f"{name} mixed"] < TOLERANCE
    assert measured["apart"][f"{name} not mixed after mixing"] < TOLERANCE
    assert measured["apart"][f"{name} what mixing does"] > 100 * TOLERANCE


@pytest.mark.parametrize(
    "name", ["guided, mixed", "v-prediction", "beside", "lora", "vae encodes", "vae decodes", "refined"]
)
def test_what_else_is_the_same(measured, name):
    assert measured["apart"][name] < TOLERANCE
    assert measured["apart"]["what the lora does"] > 100 * TOLERANCE


@pytest.mark.parametrize("name", ["injected", "injected, mixed", "injected and not any more"])
def test_a_branch_feeds_both_alike(measured, name):
    assert measured["apart"][name] < TOLERANCE
    assert measured["apart"]["what injection does"] > 100 * TOLERANCE


@pytest.mark.parametrize("name", ["new view", "new view, v-prediction"])
def test_new_views_are_the_same(measured, name):
    assert measured["apart"][name] < TOLERANCE
    assert measured["apart"]["what branches do"] > 100 * TOLERANCE


@pytest.mark.parametrize(
    "name, done", [("restored", "what restoration does"), ("head refined", "what refinement does")]
)
def test_heads_change_alike(measured, name, done):
    assert measured["apart"][name] < TOLERANCE and measured["apart"][done] > 10 * TOLERANCE


def test_refusals_name_what_to_do(measured):
    assert len(measured["said"]) == 4
    assert "load such a checkpoint" in measured["said"][2] and "wire CLIP Text Encode" in measured["said"][3]
    assert (
        "load such a checkpoint" in measured["said"][0] and "whole groups of 3 views" in measured["said"][1]
    )
