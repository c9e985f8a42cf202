"""models/prior/encoder.py: any size of picture, wrong sizes."""

import pytest
import torch
from portrait_diffusion.models.prior.encoder import EncoderConfig

from ..small import encoder


def test_an_encoder_takes_any_size():
    net = encoder()
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    code, pose = net(image)
    assert code.shape == (2, 6) and pose.shape == (2, 2)
    flat = torch.full((1, 3, 77, 77), 0.3)
    torch.testing.assert_close(net(flat)[0], net(flat[..., :32, :32])[0], atol=1e-4, rtol=1e-4)


def test_wrong_sizes_are_named():
    with pytest.raises(ValueError, match="does not halve"):
        EncoderConfig(size=100)
