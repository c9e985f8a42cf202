"""Factory heads in photos, and what is none: bars over eyes, single eyes, drawn skin, cloth."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F
from portrait_diffusion.models.camera import orbit, project
from portrait_diffusion.models.photo.network import LANDMARKS
from portrait_diffusion.models.synthetic.backgrounds import random_background
from portrait_diffusion.models.synthetic.head import sample_parameters
from portrait_diffusion.models.synthetic.rendering import landmarks, render_head

NEVER_ASKED = SimpleNamespace(
    config=SimpleNamespace(surface=False)
)  # a network that tells no surface, and may not be called


def factory_photo(seed, yaw=0.0, pitch=0.05, size=128, frame=128):
    """A validation head in a photo [3, size, size], its canonical frame in the middle, and its landmarks [6, 2] in pixels."""
    camera, parameters = orbit(torch.tensor(yaw), torch.tensor(pitch)), sample_parameters(seed)
    view = render_head(parameters, camera[None], frame)
    photo = F.interpolate(random_background(size, torch.Generator().manual_seed(seed))[None], size)[0].clone()
    start = (size - frame) // 2
    part = slice(start, start + frame)
    photo[:, part, part] = torch.lerp(photo[:, part, part], view.rgb[0], view.mask[0])
    points = landmarks(parameters)
    places = project(camera, torch.stack([points[name] for name in LANDMARKS]))[0].double()
    return photo, places * frame + start


def barred(photo, places, height=0.3, width=0.75, colour=0.0, noise=0.0):
    """A photo with a bar across the eyes; height and width to either side, in pupils' distances."""
    photo, distance = photo.clone(), float((places[0] - places[1]).norm())
    (x, y), draws = ((places[0] + places[1]) / 2).tolist(), torch.Generator().manual_seed(0)
    rows = slice(round(max(0, y - height * distance)), round(y + height * distance))
    columns = slice(round(max(0, x - width * distance)), round(x + width * distance))
    grain = torch.randn(photo[:, rows, columns].shape, generator=draws)
    photo[:, rows, columns] = (colour + noise * grain).clamp(0, 1)
    return photo


def enlarged(photo, size=192):
    """A piece, its longer side `size` pixels."""
    shape = [round(size * n / max(photo.shape[-2:])) for n in photo.shape[-2:]]
    return F.interpolate(photo[None], shape, mode="bicubic", antialias=True)[0].clamp(0, 1)


def around(photo, place, half):
    """The square around a place, as far as the photo reaches."""
    x, y = (int(v) for v in place)
    return photo[:, max(0, y - half) : y + half, max(0, x - half) : x + half]


def skin_ellipse(size=160):
    """[3, size, size]: an ellipse of skin colour on grey."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    inside = ((x / 0.45) ** 2 + (y / 0.65) ** 2 < 1).float()
    return torch.lerp(
        torch.full((3, 1, 1), 0.55), torch.tensor([0.86, 0.67, 0.55])[:, None, None], inside[None]
    )


def hand(size=160):
    """[3, size, size]: a palm and fingers of skin colour on grey."""
    mask = torch.zeros(size, size)
    mask[90:150, 50:115] = 1
    for left, top in ((52, 45), (69, 25), (86, 22), (103, 38)):
        mask[top:95, left : left + 12] = 1
    return torch.lerp(torch.full((3, 1, 1), 0.5), torch.tensor([0.86, 0.67, 0.55])[:, None, None], mask[None])


def cloth(size=160):
    """[3, size, size]: folds and weave."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    folds = 0.15 * torch.sin(x / 13 + 2 * torch.sin(y / 40)) + 0.04 * ((x + y) % 4 < 2)
    return (torch.tensor([0.2, 0.25, 0.5])[:, None, None] + folds).clamp(0, 1)
