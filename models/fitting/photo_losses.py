"""How far a head is from a photo: on drawn rays, and on a piece of the super-resolved picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, orbit, project, rays
from ..field.casting import MarchingCaster, render_features
from ..field.outline import outline
from ..field.triplane import FieldConfig, TriplaneField
from ..field.volume_rendering import RenderConfig, draw, surface_normals
from ..out_of_memory import Pieces
from ..photo.alignment import AlignedPortrait
from ..prior.contract import HeadGenerator
from ..prior.eg3d import resized
from .carried import carried_colours
from .coverage import Coverage
from .perceptual import Perceptual
from .rays import render_in_pieces


@dataclass(frozen=True)
class Target:
    """The photo's rays: origins, directions, rgb [P, 3]; mask [P]; weight [P], how likely a ray is drawn."""

    origins: Tensor
    directions: Tensor
    rgb: Tensor
    mask: Tensor
    weight: Tensor

    def seen_by(self, camera: Camera) -> Target:
        """The same photo, had another camera, unbatched, taken it."""
        size = math.isqrt(len(self.mask))
        origins, directions = (x.reshape(-1, 3) for x in rays(camera, size, size))
        return replace(self, origins=origins, directions=directions)


def photo_target(reference: AlignedPortrait, size: int) -> Target:
    """The photo's rays at `size` pixels; features, and what is just outside the silhouette, are drawn more often than flat skin.

    Without the latter heads stay a pixel too wide all around: 6 dB on white.
    """
    rgb = F.interpolate(reference.image[None], size=(size, size), mode="bilinear", antialias=True)[0].clamp(
        0, 1
    )
    mask = F.interpolate(reference.mask[None], size=(size, size), mode="bilinear", antialias=True)[
        0, 0
    ].clamp(0, 1)
    grey = rgb.mean(0)
    detail = F.pad(grey.diff(dim=0).abs(), (0, 0, 0, 1)) + F.pad(grey.diff(dim=1).abs(), (0, 1))
    reach = size // 28 | 1
    outside = F.max_pool2d(mask[None, None], reach, 1, reach // 2)[0, 0] - mask
    weight = mask * (0.4 + 4 * detail.clamp(max=0.3)) + outside + 0.1
    if (
        unknown := unknown_at(reference, size)
    ) is not None:  # neither person nor background: left to the prior
        weight = weight * (1 - unknown)
    origins, directions = rays(reference.camera, size, size)
    return Target(
        origins.reshape(-1, 3), directions.reshape(-1, 3), rgb.flatten(1).mT, mask.flatten(), weight.flatten()
    )


def unknown_at(reference: AlignedPortrait, size: int) -> Tensor | None:
    """[size, size]: 1 where a pixel has any part of what the photo does not tell, else 0; None where it tells all."""
    if reference.unknown is None:
        return None
    unknown = F.interpolate(reference.unknown[None], size=(size, size), mode="bilinear", antialias=True)[0, 0]
    return (unknown > 1e-3).to(unknown)


def ray_loss(
    field: TriplaneField,
    target: Target,
    sampling: RenderConfig,
    count: int,
    generator: torch.Generator,
    pieces: Pieces | None = None,
) -> Tensor:
    """Colour and opacity error [] on `count` drawn rays, over a random backdrop so that white is not matter.

    Args:
        pieces: how many rays are rendered at once; None for all.
    """
    weight = target.weight.cpu()
    too_few = int((weight > 0).sum()) < count  # where nearly all is unknown
    pick = torch.multinomial(weight, count, too_few, generator=generator).to(target.rgb.device)
    backdrop = torch.rand(3, generator=generator).to(target.rgb)
    origins, directions = target.origins[None, pick], target.directions[None, pick]
    draws = draw(origins, sampling, generator)
    samples = render_in_pieces(pieces or Pieces(), field, origins, directions, sampling, draws)
    opacity, mask = samples.opacity[0], target.mask[pick]
    colour = field.rgb(samples.features, samples.opacity[..., None])[0]
    truth = target.rgb[pick] * mask[:, None] + backdrop * (1 - mask[:, None])
    picture = colour + (1 - opacity[:, None]) * backdrop
    return (
        (picture - truth).abs().mean()
        + 2 * (picture - truth).square().mean()
        + 0.3 * (opacity - mask).square().mean()
    )


WORST_OF = 4  # as many random points are looked at as are compared


def field_drift(
    field: TriplaneField,
    pivot: TriplaneField,
    generator: torch.Generator,
    count: int = 4096,
    coverage: Coverage | None = None,
) -> tuple[Tensor, Tensor]:
    """How far a tuned field has moved from its pivot at random points, half of them the worst of many, or specks stay unseen.

    Args:
        count: points that are compared. coverage: where it says what is there, the pivot does not count.

    Returns:
        Mean differences: of opacity over 0.02 units [], and of the colour of matter [].
    """
    points = (
        torch.rand(1, WORST_OF * count, 3, generator=generator).to(field.planes) - 0.5
    ) * field.config.box_side
    with torch.no_grad():
        drift = (torch.exp(-0.02 * field.density(points)) - torch.exp(-0.02 * pivot.density(points))).abs()
        if coverage is not None:
            drift = drift * ~coverage.says(points[0])
    points = torch.cat([points[:, : count // 2], points[:, drift[0].topk(count // 2).indices]], 1)
    density, colour = field(points)
    with torch.no_grad():
        pivot_density, pivot_colour = pivot(points)
    alpha, pivot_alpha = 1 - torch.exp(-0.02 * density), 1 - torch.exp(-0.02 * pivot_density)
    if coverage is not None:
        alpha = torch.where(coverage.says(points[0]), pivot_alpha, alpha)
    return (alpha - pivot_alpha).abs().mean(), ((colour - pivot_colour).abs().mean(-1) * pivot_alpha).mean()


AROUND = (
    (0, 0.0),
    (35, 0.1),
    (-35, -0.1),
    (70, 0.0),
    (110, 0.25),
    (145, -0.1),
    (180, 0.1),
    (-145, 0.3),
    (-110, -0.1),
    (-70, 0.2),
)
HELD_SIZE = 56  # pixels of those views (yaw in degrees, pitch in radians), which find a head's surface
BEHIND = 0.04  # scene units behind what a camera sees first, from which matter counts as hidden; less would count steep cheeks
GRAZING = (
    0.35  # cosine of the angle under which the photo sees a surface: at less, its pixels are smeared along it
)


@dataclass(frozen=True)
class HeldSurface:
    """A head's surface, and what of it the photo is not to change.

    Attributes:
        points: [N, 3]. colour, shape: [N], 1 where it is held, else 0. rgb: [N, 3] sRGB that it is held to.
    """

    points: Tensor
    rgb: Tensor
    colour: Tensor
    shape: Tensor


@torch.no_grad()
def held_surface(field: TriplaneField, reference: AlignedPortrait, sampling: RenderConfig) -> HeldSurface:
    """Surface that other cameras find. Held in colour and shape is what lies behind the face, for planes are shared by front and back;
    in colour, what the photo sees at a grazing angle; in shape, what it sees well, for its detail is paint; in both, what it does not
    tell.

    All but the outline, which is the photo's to say: holding surface near it cost 2 dB of the front.
    """
    camera, device = reference.camera, reference.image.device
    yaw, pitch = torch.tensor(AROUND).T
    around = orbit(torch.deg2rad(yaw), pitch).to(device)
    cast = MarchingCaster(field)
    rays_at_front = render_features(cast, around, HELD_SIZE, HELD_SIZE, sampling)
    origins, directions = (x.reshape(-1, 3) for x in rays(around, HELD_SIZE, HELD_SIZE))
    points = (origins + directions * rays_at_front.depth[0, :, None])[rays_at_front.opacity[0] > 0.5]
    own = render_features(cast, camera[None], HELD_SIZE, HELD_SIZE, sampling)
    first = torch.where(own.opacity > 0.5, own.depth, torch.inf).view(1, 1, HELD_SIZE, HELD_SIZE)
    first = -F.max_pool2d(-first, 3, 1, 1)  # a pixel's edge sees a little past its centre
    where, _ = project(camera, points)
    mask = F.interpolate(reference.mask[None], size=(HELD_SIZE, HELD_SIZE), mode="area")
    column, row = (where * HELD_SIZE).long().clamp(0, HELD_SIZE - 1).unbind(-1)
    deep = (F.max_pool2d(1 - mask, 3, 1, 1)[0, 0] < 0.01)[row, column] & ((where > 0) & (where < 1)).all(-1)
    sight = points - camera.position
    distance = sight.norm(dim=-1)
    behind = distance > first[0, 0, row, column] + BEHIND
    normals = surface_normals(field, points[None], sampling.normal_step)[0]
    facing = -(normals * sight).sum(-1) / distance
    grazing = facing.abs() < GRAZING
    held_colour, held_shape = behind | grazing, deep & (behind | ~grazing)
    if (unknown := unknown_at(reference, HELD_SIZE)) is not None:
        untold = unknown[row, column] > 0
        held_colour, held_shape = held_colour | untold, held_shape | untold
    rgb = carried_colours(field, reference, points, normals, sampling)
    return HeldSurface(points, rgb, held_colour.float(), held_shape.float())


def held_drift(
    field: TriplaneField,
    pivot: TriplaneField,
    surface: HeldSurface,
    generator: torch.Generator,
    count: int = 3072,
) -> Tensor:
    """How far colour is from what it is held to, and opacity from the pivot's, about held surface, [].

    Args:
        count: points that are compared.
    """
    if not len(surface.points):
        return field.planes.new_zeros(())
    pick = torch.randint(len(surface.points), (count,), generator=generator).to(surface.points.device)
    jitter = (torch.rand(count, 3, generator=generator).to(surface.points) - 0.5) * 0.016
    some = (surface.points[pick] + jitter)[None]
    density, colour = field(some)
    with torch.no_grad():
        pivot_density = pivot.density(some)
    alpha, pivot_alpha = 1 - torch.exp(-0.01 * density), 1 - torch.exp(-0.01 * pivot_density)
    return (surface.colour[pick] * (colour - surface.rgb[pick]).abs().mean(-1)).mean() + (
        surface.shape[pick] * (alpha - pivot_alpha).abs()
    ).mean()


@dataclass(frozen=True)
class PictureTarget:
    """The photo as a generator would make it.

    Attributes:
        origins, directions: [R, R, 3] of the raw picture. image: [1, 3, S, S] and raw: [1, 3, R, R], in [-1, 1], on white, or as it is.
        mask: [1, 1, R, R] of the person.
        compared: [1, 1, S, S], 0 along outlines on white, which heads draw without super-resolution; else 1.
        unknown: [S, S] and raw_unknown: [R, R], bool, what the photo does not tell; None where it tells all.
        background: whether the photo has its own, for a generator that draws some.
    """

    origins: Tensor
    directions: Tensor
    image: Tensor
    raw: Tensor
    mask: Tensor
    compared: Tensor
    unknown: Tensor | None = None
    raw_unknown: Tensor | None = None
    background: bool = False

    def seen_by(self, camera: Camera) -> PictureTarget:
        """The same photo, had another camera, unbatched, taken it."""
        origins, directions = rays(camera, len(self.origins), len(self.origins))
        return replace(self, origins=origins, directions=directions)


def picture_target(
    reference: AlignedPortrait, generator: HeadGenerator, *, background: bool = False
) -> PictureTarget:
    """The photo on white, or with its background, at a generator's final and raw sizes."""
    R = generator.config.raw_resolution
    photo = reference.image if background else reference.on_white()
    photo = photo[None].clamp(0, 1) * 2 - 1  # from [0, 1] to [-1, 1]
    origins, directions = rays(reference.camera, R, R)
    mask = resized(reference.mask[None], R)
    compared = 1 - outline(mask, generator.resolution).to(photo)[:, None]
    if background:
        compared = torch.ones_like(compared)
    unknown, raw_unknown = (unknown_at(reference, size) for size in (generator.resolution, R))
    return PictureTarget(
        origins,
        directions,
        resized(photo, generator.resolution),
        resized(photo, R),
        mask,
        compared,
        None if unknown is None else unknown > 0,
        None if raw_unknown is None else raw_unknown > 0,
        background,
    )


def on_white(picture: Tensor, opacity: Tensor, config: FieldConfig) -> Tensor:
    """A picture [B, 3, S, S] in [-1, 1] with black behind, over white by its opacity [B, 1, R, R]."""
    mask = resized(opacity, picture.shape[-1])
    if config.activation == "sigmoid":
        return picture + 2 * (1 - mask)  # from black to white
    return torch.lerp(torch.ones_like(picture), picture, mask)


def crop_loss(
    generator: HeadGenerator,
    field: TriplaneField,
    latents: Tensor,
    target: PictureTarget,
    sampling: RenderConfig,
    side: int,
    draws: torch.Generator,
    perceptual: Perceptual | None,
    weight: float,
    pieces: Pieces | None = None,
    *,
    pixels: float = 1.0,
    silhouette: float = 0.0,
) -> Tensor:
    """Raw and super-resolved error on a random square of `side` raw pixels, and `weight` times its perceptual distance.

    Convolutions do not mind where a piece was cut out; a pixel's width at its border is not compared.

    Args:
        latents: [1, num_ws, w_dim], the styles.
        sampling: of the rays; what is behind them is what the generator draws there or knows, and white afterwards.
        pixels: weight of the pixels' errors. silhouette: of the opacity's squared distance from the mask.

    Returns:
        [].
    """
    R, S = len(target.origins), generator.resolution
    grain = R // math.gcd(R, S)  # raw pixels between those that begin where a final one does
    side = min(side, R) // math.lcm(16, grain) * math.lcm(16, grain) or R
    top, left = (grain * int(torch.randint((R - side) // grain + 1, (), generator=draws)) for _ in range(2))
    piece = slice(top, top + side), slice(left, left + side)
    sampling = replace(sampling, white_back=generator.config.render.white_back)
    origins, directions = (x[piece].reshape(1, -1, 3) for x in (target.origins, target.directions))
    jitter = draw(origins, sampling, draws)
    rays = render_in_pieces(pieces or Pieces(), field, origins, directions, sampling, jitter)
    features = generator.signed(rays.features.mT.unflatten(2, (side, side)))
    opacity = rays.opacity.view(1, 1, side, side)
    behind = generator.behind(latents, R) if target.background else None
    if behind is not None:
        features = features + (1 - opacity) * behind[..., piece[0], piece[1]]
    raw = generator.colours(features, latents)
    image = generator.super_resolve_piece(raw, features, latents)
    if behind is None and not sampling.white_back:
        raw, image = (on_white(picture, opacity, field.config) for picture in (raw, image))
    true_raw = target.raw[..., piece[0], piece[1]]
    fine = tuple(slice(s.start * S // R, s.stop * S // R) for s in piece)
    true_image = target.image[..., fine[0], fine[1]]
    if (
        target.unknown is not None and target.raw_unknown is not None
    ):  # is as it is drawn: no error, no gradient
        true_raw = torch.where(target.raw_unknown[piece], raw.detach(), true_raw)
        true_image = torch.where(target.unknown[fine], image.detach(), true_image)
    error = ((image - true_image) * target.compared[..., fine[0], fine[1]])[..., 2:-2, 2:-2]
    loss = pixels * ((raw - true_raw).abs().mean() + error.abs().mean() + error.square().mean())
    if silhouette:
        apart = (opacity - target.mask[..., piece[0], piece[1]]).square()
        if target.raw_unknown is not None:
            apart = apart * ~target.raw_unknown[piece]
        loss = loss + silhouette * apart.mean()
    return loss if perceptual is None else loss + weight * perceptual((image, raw), (true_image, true_raw))
