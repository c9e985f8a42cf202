"""models/diffusion/usage.py: size, guidance and timesteps are the model's unless they are asked for."""

import pytest
from portrait_diffusion.models.diffusion.new_views import DiffusionModel, NewViewConfig
from portrait_diffusion.models.diffusion.usage import (
    EMBEDDED,
    FOREIGN,
    SD_1,
    SD_2,
    SD_2_V,
    TURBO,
    Usage,
    chosen_size,
    usage_of,
)
from portrait_diffusion.models.distillation.head_scene import RefineConfig
from portrait_diffusion.models.distillation.refinement import PRESETS, for_model
from portrait_diffusion.models.distillation.restoration import RestorationConfig


def test_families_are_told_apart():
    assert usage_of(linear=False, velocity=False) is SD_1
    assert usage_of(linear=True, velocity=False, file="v2-1_512-ema-pruned.safetensors") is SD_2
    assert usage_of(linear=True, velocity=True) is SD_2_V
    assert usage_of(linear=True, velocity=False, file="sd_turbo.safetensors") is TURBO


def test_sizes_are_those_of_their_training():
    assert [usage.size for usage in (EMBEDDED, SD_1, SD_2, SD_2_V, TURBO)] == [256, 512, 512, 768, 512]
    assert TURBO.views == TURBO.refinement == TURBO.distillation == 1 < SD_1.views
    assert list(FOREIGN) == [usage.name for usage in FOREIGN.values()]


def test_the_embedded_model_s_settings_are_the_defaults():
    """So that what it makes of a head stays what it was."""
    assert RestorationConfig().for_model(EMBEDDED) == RestorationConfig()
    assert all(for_model(preset, EMBEDDED) == preset for preset in PRESETS.values())
    assert NewViewConfig().for_model(EMBEDDED) == NewViewConfig() and DiffusionModel.usage is EMBEDDED
    assert (
        EMBEDDED.size_of(0, 384) == 384 and EMBEDDED.size_of(0) == 256 and EMBEDDED.size_of(512, 384) == 512
    )


@pytest.mark.parametrize("usage", FOREIGN.values(), ids=FOREIGN)
def test_renders_have_the_size_that_is_seen(usage):
    restoration = RestorationConfig(steps=10).for_model(usage)
    assert restoration.size == restoration.seen == usage.size_of(0, 256) == usage.size
    assert restoration.text_guidance == usage.distillation
    assert restoration.t_range(0, 1000) == tuple(
        round(1000 * ends[0]) for ends in (usage.least_t, usage.most_t)
    )
    assert restoration.t_range(9, 1000) == tuple(
        round(1000 * ends[1]) for ends in (usage.least_t, usage.most_t)
    )
    refinement = for_model(RefineConfig(iterations=3), usage)
    assert refinement.size == usage.size and refinement.guidance == usage.refinement
    assert [refinement.t(step, 1000) for step in (0, 2)] == [round(1000 * t) for t in usage.refinement_t]
    assert NewViewConfig(steps=3).for_model(usage) == NewViewConfig(steps=3, guidance=usage.views)


def test_what_is_asked_for_goes_before():
    restoration = RestorationConfig().for_model(SD_1, size=128, guidance=0.0)
    assert (restoration.size, restoration.seen, restoration.text_guidance) == (128, 128, 0.0)
    assert RestorationConfig().for_model(EMBEDDED, size=64).size == 64  # not more rays than pixels
    refinement = for_model(RefineConfig(), SD_2_V, size=320, guidance=3.0)
    assert (refinement.size, refinement.guidance) == (320, 3.0)
    assert NewViewConfig().for_model(SD_1, guidance=2.0).guidance == 2.0


@pytest.mark.parametrize("size", [100, 32, 4096, -64])
def test_sizes_that_no_network_takes_are_named(size):
    with pytest.raises(ValueError, match=f"multiple of 64 from 64 to 2048 pixels, got {size}; choose one"):
        chosen_size(size, 512)


def test_a_usage_without_sense_is_named():
    numbers = {
        "views": 1.0,
        "refinement": 1.0,
        "distillation": 1.0,
        "least_t": (0.2, 0.1),
        "most_t": (0.5, 0.4),
    }
    with pytest.raises(ValueError, match="shares inside"):
        Usage(name="x", size=64, refinement_t=(1.5, 0.2), **numbers)
