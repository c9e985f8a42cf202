"""Where a photo's silhouette and a head's disagree: matter that is missing (shoulders, long hair, an afro beyond what a prior knows),
and matter before the photo's background.

Empty space has no slope: a ray's error does not reach a density that is 0 along all of it, and what holds a fit to its prior would
take new matter back, and keep the old. So it is told where matter is expected and where none may be, and there the prior does not hold.
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

SIZE, FINE = 64, 256  # pixels at which silhouettes are compared, and of the rays that points are drawn on
RIM = 1  # pixels of FINE along the mask's edge, of which nothing is said: rays find it by themselves
WORTH = 8  # of SIZE squared pixels, as many as have to be missing
NEIGHBOURS = 3.0  # pixels over which the depth of an outline carries on outwards
BEFORE = 0.012  # scene units before the outline beside it, from which on matter is expected
THINNEST, THICKEST = 0.024, 0.16  # scene units along the ray
PERSON = 0.05  # of the mask's coverage, from which on a pixel is not background
DEEP = 0.3  # scene units behind what it meets first, that are emptied
SOLID = 2.0  # times the density that a mesh takes for its surface
EMPTY = -2.0  # density before its activation, from which on nothing is seen


@dataclass(frozen=True)
class Stretches:
    """Pieces of N rays.

    Attributes:
        origins, directions: [N, 3]. ends: [N, 2] distances. rgb: [N, 3], the photo's there.
    """

    origins: Tensor
    directions: Tensor
    ends: Tensor
    rgb: Tensor

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random points on them [1, count, 3], and the photo's colours there [count, 3]."""
        pick = torch.randint(len(self.ends), (count,), generator=generator).to(self.ends.device)
        along = torch.rand(count, 1, generator=generator).to(self.ends)
        near, far = self.ends[pick].split(1, -1)
        points = self.origins[pick] + (near + along * (far - near)) * self.directions[pick]
        return points[None], self.rgb[pick]


@dataclass(frozen=True)
class Coverage:
    """What a field lacks of a photo's silhouette, and what it has beyond.

    Attributes:
        camera: unbatched, the photo's. near, far: [FINE, FINE] distances along its rays between which matter is expected, both 0 where
            none is. background: [FINE, FINE] bool, before which nothing is.
        missing, excess: where matter is expected, and where there is some that is not to be; None where that is little.
    """

    camera: Camera
    near: Tensor
    far: Tensor
    background: Tensor
    missing: Stretches | None
    excess: Stretches | None

    def says(self, points: Tensor) -> Tensor:
        """[N] bool of points [N, 3]: whether the silhouette says what is there, rather than the prior."""
        where, _ = project(self.camera, points)
        column, row = (where * FINE).long().clamp(0, FINE - 1).unbind(-1)
        distance = (points - self.camera.position).norm(dim=-1)
        expected = (distance > self.near[row, column]) & (distance < self.far[row, column])
        return ((where >= 0) & (where < 1)).all(-1) & (expected | self.background[row, column])


@torch.no_grad()
def coverage_of(field: TriplaneField, reference: AlignedPortrait, sampling: RenderConfig) -> Coverage:
    """How a field covers the person in a photo. What is missing is thinner towards the mask's edge, as a round thing would be."""
    camera, photo = reference.camera, reference.image[None]
    own = render_features(MarchingCaster(field), camera[None], SIZE, SIZE, sampling)
    opacity, depth = own.opacity.view(SIZE, SIZE), own.depth.view(SIZE, SIZE)
    unknown = torch.zeros_like(reference.mask) if reference.unknown is None else reference.unknown
    known = 1 - unknown[None]
    near, far = _expected(opacity > 0.5, depth, reference, _shrunk(known, SIZE) > 0.999)
    near, far = (F.interpolate(x[None, None], size=(FINE, FINE))[0, 0] for x in (near, far))
    mask, sure = _shrunk(reference.mask[None], FINE), _shrunk(known, FINE) > 0.999
    rim = F.max_pool2d(1 - mask[None, None], 2 * RIM + 1, 1, RIM)[0, 0] > 0.5
    near, far = near.masked_fill(rim | ~sure, 0.0), far.masked_fill(rim | ~sure, 0.0)
    background = sure & (F.max_pool2d(mask[None, None], 2 * RIM + 1, 1, RIM)[0, 0] < PERSON)
    wide = F.interpolate(torch.stack((opacity, depth))[None], size=(FINE, FINE), mode="bilinear")[0]
    origins, directions = rays(camera, FINE, FINE)
    rgb = F.interpolate(photo, size=(FINE, FINE), mode="bilinear", antialias=True)[0].movedim(0, -1)

    def stretches(some: Tensor, ends: Tensor) -> Stretches | None:
        if int(some.sum()) < WORTH * (FINE // SIZE) ** 2:
            return None
        return Stretches(origins[some], directions[some], ends[some], rgb[some])

    missing = stretches(far > 0, torch.stack((near, far), -1))
    first = torch.stack((wide[1] - BEFORE, wide[1] + DEEP), -1)
    excess = stretches(background & (wide[0] > 0.5), first)
    return Coverage(camera, near, far, background, missing, excess)


def _shrunk(image: Tensor, size: int) -> Tensor:
    """[1, 1, S, S] -> [size, size]."""
    return F.interpolate(image, size=(size, size), mode="bilinear", antialias=True)[0, 0]


def _expected(
    solid: Tensor, depth: Tensor, reference: AlignedPortrait, sure: Tensor
) -> tuple[Tensor, Tensor]:
    """Distances [SIZE, SIZE] between which a field lacks matter, 0 where it lacks none; solid, depth and sure: [SIZE, SIZE]."""
    person = _shrunk(reference.mask[None], SIZE) > 0.5
    lacking = person & ~solid & sure
    near, far = torch.zeros_like(depth), torch.zeros_like(depth)
    if not bool(lacking.any()) or not bool(solid.any()):
        return near, far
    beside = solid & (F.max_pool2d(lacking[None, None].float(), 3, 1, 1)[0, 0] > 0)
    beside = beside if bool(beside.any()) else solid
    pixels, outline, outside = (x.nonzero().float() for x in (lacking, beside, ~person))
    share = (-torch.cdist(pixels, outline) / NEIGHBOURS).softmax(-1)
    beginning = share @ depth[beside] - BEFORE  # a pixel inside an outline is before it
    pixel = float(beginning.mean()) / (float(reference.camera.intrinsics[..., 0, 0]) * SIZE)  # scene units
    inwards = (
        torch.cdist(pixels, outside).amin(1)
        if len(outside)
        else beginning.new_full(beginning.shape, float(SIZE))
    )
    near[lacking] = beginning
    far[lacking] = beginning + (2 * inwards * pixel).clamp(THINNEST, THICKEST)
    return near, far


def coverage_loss(
    field: TriplaneField, coverage: Coverage, generator: torch.Generator, count: int = 2048
) -> tuple[Tensor, Tensor]:
    """How far drawn points are from solid, or from empty, [], in shares of the former; and the colours of the former from the photo's [].

    Hinges on the density before its activation: their slope does not vanish where there is nothing.

    Args:
        count: points that are drawn of either kind.
    """
    config = field.config
    solid = config.raw_of(SOLID * config.surface_density)
    shape, paint = field.planes.new_zeros(()), field.planes.new_zeros(())
    if coverage.missing is not None:
        points, rgb = coverage.missing.draw(count, generator)
        raw, features = field.raw(points)
        shape = (1 - raw / solid).relu().mean()
        paint = (field.rgb(features)[0] - rgb).abs().mean()
    if coverage.excess is not None:
        points, _ = coverage.excess.draw(count, generator)
        shape = shape + (field.raw(points)[0] + config.density_shift - EMPTY).relu().mean() / solid
    return shape, paint
