"""Matter where a photo shows the person and a head has none: shoulders, long hair, an afro beyond what a prior knows.

Empty space has no slope: a ray's error does not reach a density that is 0 along all of it, and what holds a fit to its prior would
take new matter back. So it is told where matter is expected, and there the prior does not hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, project, rays
from ..field.casting import MarchingCaster, render_features
from ..field.triplane import TriplaneField
from ..field.volume_rendering import RenderConfig
from ..photo.alignment import AlignedPortrait

SIZE, FINE = 64, 256  # pixels at which a lack is looked for, and of the rays that points are drawn on
RIM = 1  # pixels of FINE along the mask's edge, of which nothing is expected
WORTH = 8  # of SIZE squared pixels: fewer lie along an outline, which rays find by themselves
NEIGHBOURS = 3.0  # pixels over which the depth of an outline carries on outwards
BEFORE = 0.012  # scene units before the outline beside it, from which on matter is expected
THINNEST, THICKEST = 0.024, 0.16  # scene units along the ray
SOLID = 2.0  # times the density that a mesh takes for its surface


@dataclass(frozen=True)
class Missing:
    """Where matter is expected that a field lacks: for each pixel a piece of its ray, from the depth of the outline beside it on.

    Attributes:
        camera: unbatched, the photo's. near, far: [FINE, FINE] distances along its rays, both 0 where nothing is missing.
        origins, directions, rgb: [N, 3], ends: [N, 2], of the rays on which something is.
    """

    camera: Camera
    near: Tensor
    far: Tensor
    origins: Tensor
    directions: Tensor
    rgb: Tensor
    ends: Tensor

    def contains(self, points: Tensor) -> Tensor:
        """[N] bool of points [N, 3]: where matter is expected."""
        where, _ = project(self.camera, points)
        column, row = (where * FINE).long().clamp(0, FINE - 1).unbind(-1)
        distance = (points - self.camera.position).norm(dim=-1)
        within = ((where >= 0) & (where < 1)).all(-1)
        return within & (distance > self.near[row, column]) & (distance < self.far[row, column])


@torch.no_grad()
def missing_matter(
    field: TriplaneField, reference: AlignedPortrait, sampling: RenderConfig
) -> Missing | None:
    """What a field lacks of the person in a photo, thinner towards the mask's edge, as a round thing would be; None where it is little."""
    camera, mask = reference.camera, F.interpolate(reference.mask[None], size=(SIZE, SIZE), mode="area")[0, 0]
    own = render_features(MarchingCaster(field), camera[None], SIZE, SIZE, sampling)
    solid, depth = own.opacity.view(SIZE, SIZE) > 0.5, own.depth.view(SIZE, SIZE)
    person = mask > 0.5
    lacking = person & ~solid
    if reference.unknown is not None:
        lacking &= F.interpolate(reference.unknown[None], size=(SIZE, SIZE), mode="area")[0, 0] < 1e-3
    if int(lacking.sum()) < WORTH or not bool(solid.any()):
        return None
    beside = solid & (F.max_pool2d(lacking[None, None].float(), 3, 1, 1)[0, 0] > 0)
    beside = beside if bool(beside.any()) else solid
    pixels, outline, outside = (x.nonzero().float() for x in (lacking, beside, ~person))
    share = (-torch.cdist(pixels, outline) / NEIGHBOURS).softmax(-1)
    beginning = share @ depth[beside]  # a pixel inside an outline is before it
    pixel = float(beginning.mean()) / (float(camera.intrinsics[..., 0, 0]) * SIZE)  # scene units
    inwards = (
        torch.cdist(pixels, outside).amin(1) if len(outside) else beginning.new_full(beginning.shape, SIZE)
    )
    thickness = (2 * inwards * pixel).clamp(THINNEST, THICKEST)
    near, far = torch.zeros_like(depth), torch.zeros_like(depth)
    near[lacking], far[lacking] = beginning - BEFORE, beginning - BEFORE + thickness
    near, far = (F.interpolate(x[None, None], size=(FINE, FINE))[0, 0] for x in (near, far))
    fine = F.interpolate(reference.mask[None], size=(FINE, FINE), mode="bilinear", antialias=True)
    rim = F.max_pool2d(1 - fine, 2 * RIM + 1, 1, RIM)[0, 0] > 0.5  # rays find it by themselves
    near, far = near.masked_fill(rim, 0.0), far.masked_fill(rim, 0.0)
    origins, directions = rays(camera, FINE, FINE)
    rgb = F.interpolate(reference.image[None], size=(FINE, FINE), mode="bilinear", antialias=True)[0]
    some = far > 0
    ends = torch.stack((near[some], far[some]), -1)
    return Missing(camera, near, far, origins[some], directions[some], rgb.movedim(0, -1)[some], ends)


def missing_loss(
    field: TriplaneField, missing: Missing, generator: torch.Generator, count: int = 2048
) -> tuple[Tensor, Tensor]:
    """How far drawn points are from solid [], in shares of that density, and their colours from the photo's [].

    A hinge on the density before its activation: its slope does not vanish where there is nothing.

    Args:
        count: points that are drawn.
    """
    pick = torch.randint(len(missing.rgb), (count,), generator=generator).to(missing.rgb.device)
    along = torch.rand(count, 1, generator=generator).to(missing.rgb)
    near, far = missing.ends[pick].split(1, -1)
    points = missing.origins[pick] + (near + along * (far - near)) * missing.directions[pick]
    raw, features = field.raw(points[None])
    config = field.config
    solid = SOLID * config.surface_density / config.density_scale - config.density_shift
    colour = field.rgb(features)[0]
    return (1 - raw / solid).relu().mean(), (colour - missing.rgb[pick]).abs().mean()
