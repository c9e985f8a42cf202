"""models/photo/mean_head.py: the stored surface is that of the prior's mean head, and its silhouettes those of the prior's renders."""

import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.checkpoint import shipped
from portrait_diffusion.models.head import head_of
from portrait_diffusion.models.photo.mean_head import mean_head
from portrait_diffusion.models.photo.pose import CANONICAL_LANDMARKS
from portrait_diffusion.models.prior.contract import average_styles
from portrait_diffusion.models.prior.families import load_generator
from portrait_diffusion.models.training import mean_head as writing

SIZE = 64
YAW, PITCH = torch.tensor([0.0, 0.5, -0.9, 0.2]), torch.tensor([0.0, 0.2, -0.1, -0.35])
CAMERAS = orbit(YAW, PITCH)


def silhouettes(head):
    return torch.cat([head.silhouette(CAMERAS[i], SIZE) for i in range(len(YAW))])


def test_the_file_is_what_the_command_writes():
    """To a pixel or two of the outline: sums of other processors differ in the last digit."""
    stored, built = mean_head(), writing.build()
    assert torch.equal(stored.landmarks, torch.tensor(CANONICAL_LANDMARKS))
    assert (silhouettes(stored) != silhouettes(built)).flatten(1).sum(1).max() <= 2


def test_silhouettes_are_those_of_the_priors_renders():
    """But for a few of some 170 pixels along the outline, and above the cut through the chest."""
    prior = load_generator(shipped("prior"))
    with torch.no_grad():
        seen = (head_of(prior, average_styles(prior)).render(CAMERAS, SIZE).opacity > 0.5).float()
    ours = silhouettes(mean_head())
    above = slice(0, SIZE * 3 // 4)
    differing = (ours != seen)[:, :, above].flatten(1).sum(1)
    assert differing.max() <= 20, differing
    assert ((ours == 0) | (ours == 1)).all()
