"""Files of branches: a BrushNet's is one by its weights alone, ours by its config; what fits no UNet is named."""

import pytest
import torch
from portrait_diffusion.models.checkpoint import save_tensors, shipped, write
from portrait_diffusion.models.diffusion.brushnet import Branch, BranchConfig, branch_config_of
from portrait_diffusion.models.diffusion.hpdm import (
    Hpdm,
    HpdmConfig,
    HpdmDenoiser,
    Priors,
    check_fits,
    load_branches,
)
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
        assert torch.equal(network.explicit.state_dict()[key], value.half())  # half as much memory as float32


def test_half_branches_tell_a_float_unet(tmp_path):
    """The same features, but for the rounding, whatever precision the file has."""
    branch = tiny.seeded(lambda: Branch(BranchConfig(channels=(8, 16), layers=1, groups=8)), 1)
    for conv in branch.zero_convolutions():
        torch.nn.init.normal_(conv.weight, 0, 0.1, generator=tiny.draws())
    z, latents = torch.randn(2, 2, 4, 8, 8, generator=tiny.draws(1))
    priors = Priors(latents, (latents[:, :1] > 0).float())
    noise = []
    for dtype in (torch.float32, torch.bfloat16):
        path = tmp_path / f"{dtype}.safetensors"
        save_tensors(path, {key: value.to(dtype) for key, value in branch.state_dict().items()}, {})
        network = load_branches(path)
        assert next(network.parameters()).dtype == dtype
        denoiser = HpdmDenoiser(tiny.denoiser(), network, priors)
        with torch.no_grad():
            noise.append(denoiser(z, torch.tensor([10, 600]), tiny.conditioning(2)))
    assert noise[1].dtype == torch.float32
    assert_close(noise[1], noise[0], rtol=0.05, atol=0.05)
    assert not torch.equal(*noise)


def test_our_own_file_keeps_its_parts(tmp_path):
    own = tiny.seeded(lambda: Hpdm(HpdmConfig(branch=SMALL)), 2)
    write(tmp_path / "hpdm.safetensors", "hpdm", own.config, own)
    assert load_branches(tmp_path / "hpdm.safetensors").config == own.config


def test_other_files_are_named(tmp_path):
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in Branch(XL).state_dict().items()}
    save_tensors(tmp_path / "xl.safetensors", {key: torch.zeros(shape) for key, shape in shapes.items()}, {})
    save_tensors(tmp_path / "other.safetensors", {"a": torch.zeros(2)}, {})
    attends = {"down_blocks.0.attentions.0.norm.weight": torch.zeros(32)}
    save_tensors(tmp_path / "powerpaint.safetensors", Branch(SMALL).state_dict() | attends, {})
    for path, words in (
        (tmp_path / "xl.safetensors", "got BrushNet for XL in xl.safetensors"),
        (
            tmp_path / "powerpaint.safetensors",
            "got PowerPaint v2's in powerpaint.safetensors; use BrushNet's",
        ),
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
