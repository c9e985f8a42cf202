"""models/prior/embedded.py and encoder.py: shapes, demodulation, what each style row reaches."""

import pytest
import torch
from portrait_diffusion.models.field.triplane import FieldConfig
from portrait_diffusion.models.prior.embedded import GeneratorConfig, ModulatedConv
from portrait_diffusion.models.prior.encoder import EncoderConfig

from ..small import CONFIG, FIELD, encoder, generator


def test_planes_have_the_configs_shape_and_every_row_of_latents_matters():
    net = generator()
    latents = net.mapping(torch.zeros(2, CONFIG.z_dim))
    assert latents.shape == (2, CONFIG.num_ws, CONFIG.w_dim)
    planes = net.synthesis(latents)
    assert planes.shape == (2, *FIELD.planes_shape)
    for row in range(CONFIG.num_ws):
        moved = latents.clone()
        moved[0, row] += torch.randn(CONFIG.w_dim, generator=torch.Generator().manual_seed(row))
        change = (net.synthesis(moved) - planes).abs().amax((1, 2, 3, 4, 5))
        assert change[0] > 1e-6 and change[1] == 0


def test_demodulation_keeps_the_variance_whatever_the_style():
    draws = torch.Generator().manual_seed(0)
    conv = ModulatedConv(64, 32, 3, 16)
    x, w = torch.randn(4, 64, 24, 24, generator=draws), torch.randn(4, 16, generator=draws)
    spread = [conv(x, scale * w)[..., 2:-2, 2:-2].std().item() for scale in (1, 5)]
    assert spread == pytest.approx([1, 1], abs=0.15)


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match=r"expected latents \[B, 6, 8\]"):
        generator().synthesis(torch.zeros(1, 3, 8))
    with pytest.raises(ValueError, match="reach 16 pixels, but the planes have 128"):
        GeneratorConfig(channels=(8, 8, 8), field=FieldConfig())
    with pytest.raises(ValueError, match="does not halve"):
        EncoderConfig(size=100)


def test_an_encoder_takes_any_size():
    net = encoder()
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    code, pose = net(image)
    assert code.shape == (2, 6) and pose.shape == (2, 2)
    flat = torch.full((1, 3, 77, 77), 0.3)
    torch.testing.assert_close(net(flat)[0], net(flat[..., :32, :32])[0], atol=1e-4, rtol=1e-4)
