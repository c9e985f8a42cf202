"""Files of branches: a BrushNet's is one by its weights alone, ours by its config; what fits no UNet is named."""

import pytest
import torch
from portrait_diffusion.models.checkpoint import save_tensors, shipped, write
from portrait_diffusion.models.diffusion.brushnet import Branch, BranchConfig, branch_config_of
from portrait_diffusion.models.diffusion.hpdm import Hpdm, HpdmConfig, check_fits, load_branches
from torch.testing import assert_close

from . import tiny

SMALL = BranchConfig(channels=(32, 64), layers=2)
XL = BranchConfig(channels=(32, 64, 64), layers=2, added_time=256, added_text=1280)


class Denoiser:
    """What `check_fits` looks at."""

    latent_channels, size = 4, ((32, 64), 2)


@pytest.mark.parametrize(
    "config", [SMALL, BranchConfig(channels=(32, 32, 96, 96), layers=1), XL], ids=["small", "deep", "xl"]
)
def test_a_branch_is_known_by_its_weights(config):
    with torch.device("meta"):
        state = Branch(config).state_dict()
    assert branch_config_of(state) == config


def test_a_brushnet_s_file_becomes_the_explicit_branch(tmp_path):
    branch = tiny.seeded(lambda: Branch(SMALL), 1)
    save_tensors(
        tmp_path / "brushnet.safetensors",
        {key: value.half() for key, value in branch.state_dict().items()},
        {"format": "pt"},
    )
    network = load_branches(tmp_path / "brushnet.safetensors")
    assert (
        network.implicit is None
        and network.geometry is None
        and not any(p.requires_grad for p in network.parameters())
    )
    check_fits(network, Denoiser())
    for key, value in branch.state_dict().items():
        assert_close(network.explicit.state_dict()[key], value.half().float(), atol=0, rtol=0)


def test_our_own_file_keeps_its_parts(tmp_path):
    own = tiny.seeded(lambda: Hpdm(HpdmConfig(branch=SMALL)), 2)
    write(tmp_path / "hpdm.safetensors", "hpdm", own.config, own)
    assert load_branches(tmp_path / "hpdm.safetensors").config == own.config


def test_other_files_are_named(tmp_path):
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in Branch(XL).state_dict().items()}
    save_tensors(tmp_path / "xl.safetensors", {key: torch.zeros(shape) for key, shape in shapes.items()}, {})
    save_tensors(tmp_path / "other.safetensors", {"a": torch.zeros(2)}, {})
    for path, words in (
        (tmp_path / "xl.safetensors", "got BrushNet for XL in xl.safetensors"),
        (tmp_path / "other.safetensors", "expected a BrushNet's weights"),
        (shipped("encoder"), "holds"),
        (tmp_path / "none.safetensors", "found none"),
    ):
        with pytest.raises(ValueError, match=words):
            load_branches(path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            BranchConfig(channels=(32, 64), latent_channels=16, condition_channels=17),
            "latents of 4 channels, got some for 16",
        ),
        (BranchConfig(channels=(32, 96)), r"channels and 2 layers, got some for \[32, 96\]"),
        (BranchConfig(channels=(32, 64), layers=1), "and 1; use those"),
    ],
)
def test_branches_of_another_unet_are_named(config, words):
    with pytest.raises(ValueError, match=words):
        check_fits(Hpdm(HpdmConfig(branch=config, geometry=False, implicit=False)), Denoiser())
