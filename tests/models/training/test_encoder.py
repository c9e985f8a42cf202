"""models/training/encoder.py: augmentation keeps portraits portraits."""

import torch
from portrait_diffusion.models.training.encoder import augment


def test_augmented_portraits_stay_on_white_and_repeat_with_their_generator():
    image, mask = torch.full((6, 3, 64, 64), 0.4), torch.zeros(6, 1, 64, 64)
    mask[..., 16:48, 16:48] = 1
    image = image * mask + 1 - mask
    out = [augment(image, mask, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(out[0], out[1]) and not torch.equal(out[0], out[2])
    assert 0 <= out[0].min() and out[0].max() <= 1
    assert (out[0][..., :4, :4] > 0.99).float().mean() > 0.9  # corners stay white
    assert (out[0][..., 28:36, 28:36] - 1).abs().mean() > 0.1  # the middle does not
