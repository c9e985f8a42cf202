"""The photo as texture: what it shows beyond a baked texture is added where the surface faces it.

In two bands. The field's texture keeps the large areas, where a wrong gain or a shift of the shape would show; the photo
brings the detail. Both are its difference from the textured mesh seen by its own camera, so that where the photo and the
mesh agree nothing changes, and no seam can show. A face has one right place for each feature: there only what faces the camera
takes detail. Hair and clothes bear a shift, and take both from steep surfaces too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import FOCAL, RADIUS, Camera, project, rays
from .mesh import Mesh
from .rasterize import render_mesh, sample_texture
from .texture import dilate, texels

STEEP = 4.0  # depth per width: a surface turned away by 76 degrees
# Scene units of the canonical frame: the face is an elliptic cylinder in front of the ears, between the pupils and the mouth.
FACE_CENTRE, FACE_AXES = (0.0, -0.05), (0.08, 0.10)  # x and y; half axes
FACE_ENDS = 1.35  # half axes: here nothing is the face any more
FACE_DEPTH = (0.0, 0.03)  # z: where it begins, where all is


@dataclass(frozen=True, kw_only=True)
class PhotoConfig:
    """How much of the photo a texture takes; the defaults were chosen on validation heads, seen from up to 70 degrees aside.

    Detail from steeper surfaces of a face gains at the front and loses from aside, where it lies in the wrong places of a wrong
    shape; what is coarser bears a shift. Of hair and clothes it gains far more than it loses (`bench texture`).

    Attributes:
        detail_from, detail_to: cosines of the surface's turn away from the camera at which detail begins and is whole, in the face.
        area_from, area_to: the same of what is coarser.
        other_from, other_to: the same of both outside the face.
        coarse: standard deviation, image widths, of the blur that parts the bands.
        relief: standard deviation, image widths, of the blur of the normals: bumps that are smaller do not turn a surface.
        soft, other_soft: standard deviations, image widths, of the blur of the weights, so that none ends at an edge; in the face, outside.
        inset: image widths by which the mask and the mesh's outline are eroded.
        tolerance: scene units; what lies further behind the nearest surface is hidden.
        gain: the largest factor, either way, between the photo's colours and the mesh's.
    """

    detail_from: float = 0.84
    detail_to: float = 0.985
    area_from: float = 0.6
    area_to: float = 0.9
    other_from: float = 0.3
    other_to: float = 0.6
    coarse: float = 5 / 512
    relief: float = 14 / 512
    soft: float = 16 / 512
    other_soft: float = 4 / 512
    inset: float = 2 / 512
    tolerance: float = 0.008
    gain: float = 1.25

    def __post_init__(self) -> None:
        pairs = (
            (self.detail_from, self.detail_to),
            (self.area_from, self.area_to),
            (self.other_from, self.other_to),
        )
        if not all(-1 <= low < high <= 1 for low, high in pairs):
            raise ValueError(
                f"PhotoConfig: expected cosines from -1 to 1, the first of a pair the lower, got {pairs}; swap or widen them"
            )
        lengths = self.coarse, self.relief, self.soft, self.other_soft, self.inset, self.tolerance
        if min(lengths) <= 0 or self.gain < 1:
            raise ValueError(
                f"PhotoConfig: expected positive lengths and a gain of at least 1, got {self}; raise them"
            )


@dataclass(frozen=True)
class PhotoLayer:
    """What a photo adds to a mesh, in the photo's own pixels.

    Attributes:
        addition: [3, P, P] sRGB, signed; weighted, so 0 where nothing is added.
        distance: [1, P, P] of the nearest surface along unit rays; 0 where none is.
        gain: [3], by which the mesh's colours are multiplied before.
    """

    addition: Tensor
    distance: Tensor
    gain: Tensor


@torch.no_grad()
def with_photo(
    mesh: Mesh, photo: Tensor, mask: Tensor, camera: Camera, config: PhotoConfig | None = None
) -> Mesh:
    """A textured mesh with a photo in its texture, where it faces the photo's camera and is seen by it.

    All on one device.

    Args:
        mesh: with a texture [3, T, T]. photo: [3, P, P] in 0..1, taken as fine as the texture can hold.
        mask: [1, S, S] of the person in the same frame. camera: unbatched.

    Raises:
        ValueError: a mesh without a texture.
    """
    config = config or PhotoConfig()
    if mesh.texture is None:
        raise ValueError("photo as texture: expected a mesh with a texture, got none; bake the field's first")
    layer = photo_layer(mesh, _at_most(photo, mesh.texture.shape[-1]), mask, camera, config)
    inside, points, _ = texels(mesh, mesh.texture.shape[-1])
    colours = mesh.texture.permute(1, 2, 0).clone()
    colours[inside] = added(layer, camera, points, colours[inside], config.tolerance)
    return replace(mesh, texture=dilate(colours, inside).permute(2, 0, 1).contiguous())


def photo_layer(mesh: Mesh, photo: Tensor, mask: Tensor, camera: Camera, config: PhotoConfig) -> PhotoLayer:
    """What a photo [3, P, P] shows beyond a mesh with a texture; the other arguments as `with_photo`."""
    view = render_mesh(mesh, camera, photo.shape[-1])
    covered = (view.mask > 0).to(photo)
    trust = eroded(_resized(mask, photo.shape[-1]), config.inset) * eroded(covered, config.inset)
    trust = trust * in_front(view.ray_distance, config)
    normal = F.normalize(weighted_blur(view.normal, covered, config.relief), dim=0)
    cosine = facing(camera, normal) * covered
    face = face_share(camera, view.ray_distance)
    other = _smooth_step(cosine, config.other_from, config.other_to)

    def weights(start: float, whole: float) -> tuple[Tensor, Tensor]:
        """What a band takes, before and after its edges are softened."""
        taken = torch.lerp(other, _smooth_step(cosine, start, whole), face) * trust
        return taken, torch.lerp(softened(taken, config.other_soft), softened(taken, config.soft), face)

    sharp, detail = weights(config.detail_from, config.detail_to)
    _, area = weights(config.area_from, config.area_to)
    gain = matched_gain(photo, view.rgb, sharp, config.gain)
    difference = photo - gain[:, None, None] * view.rgb
    coarse = weighted_blur(difference, trust, config.coarse)
    addition = detail * (difference - coarse) + area * coarse
    return PhotoLayer(addition * (trust > 0), view.ray_distance, gain)


def added(layer: PhotoLayer, camera: Camera, points: Tensor, colours: Tensor, tolerance: float) -> Tensor:
    """Colours [K, 3] in 0..1 of a surface's points [K, 3] with a photo's layer over them.

    Args:
        camera: unbatched, the photo's. colours: [K, 3], of before. tolerance: scene units, as `PhotoConfig`.
    """
    image, z = project(camera.to(points), points)
    distance = (points - camera.position.to(points)).norm(dim=-1, keepdim=True)
    nearest = sample_texture(layer.distance, image)
    framed = (image > 0).all(-1, keepdim=True) & (image < 1).all(-1, keepdim=True) & (z > 0)[:, None]
    visible = ((distance - nearest).abs() < tolerance) & framed
    addition = torch.where(visible, sample_texture(layer.addition, image), 0)
    return (colours * layer.gain + addition).clamp(0, 1)


def facing(camera: Camera, normal: Tensor) -> Tensor:
    """Cosine [1, S, S] between a surface and the way to its camera, 1 where it faces it; of a view's normals [3, S, S]."""
    size = normal.shape[-1]
    _, directions = rays(camera.to(normal), size, size)
    towards = -(directions @ camera.cam2world[:3, :3].to(normal))  # from world to camera axes
    return (normal * towards.permute(2, 0, 1)).sum(0, keepdim=True)


def face_share(camera: Camera, distance: Tensor) -> Tensor:
    """[1, S, S] in 0..1: how much of the face is what a camera, unbatched, sees at distances [1, S, S] along unit rays; 0 where none."""
    size = distance.shape[-1]
    origins, directions = rays(camera.to(distance), size, size)
    points = origins + directions * distance.movedim(0, -1)
    inside = 1 - _smooth_step(across_face(points), 1.0, FACE_ENDS)
    return (inside * _smooth_step(points[..., 2], *FACE_DEPTH))[None] * (distance > 0)


def across_face(points: Tensor) -> Tensor:
    """[...]: how far points [..., 3] lie from the axis of the face's cylinder, in its half axes: below 1 inside."""
    across, up = ((points[..., i] - FACE_CENTRE[i]) / FACE_AXES[i] for i in range(2))
    return torch.hypot(across, up)


def in_front(distance: Tensor, config: PhotoConfig) -> Tensor:
    """1 where a surface at a distance [1, S, S] has no nearer one beside it, else 0: there lies the edge of what hides it.

    A slope of `STEEP` counts as one surface.
    """
    nearest = -_largest(
        -torch.where(distance > 0, distance, torch.inf), _pixels(config.inset, distance.shape[-1])
    )
    return (distance - nearest < config.tolerance + STEEP * config.inset * RADIUS / FOCAL).to(distance)


def matched_gain(photo: Tensor, render: Tensor, weights: Tensor, limit: float) -> Tensor:
    """[3]: the factors of a render [3, S, S] that come nearest to a photo, in weighted least squares, within 1 / limit .. limit.

    1 where no pixel of the weights [1, S, S] counts.
    """
    products = (weights * photo * render).sum((1, 2))
    squares = (weights * render.square()).sum((1, 2))
    gain = torch.where(squares > 1e-6, products / squares.clamp_min(1e-6), 1)
    return gain.clamp(1 / limit, limit)


def weighted_blur(image: Tensor, weights: Tensor, sigma: float) -> Tensor:
    """Gaussian mean of an image [C, S, S] over the pixels that count by weights [1, S, S]; 0 where none is near.

    Args:
        sigma: image widths.
    """
    total = blurred(weights, sigma)
    return torch.where(total > 1e-4, blurred(image * weights, sigma) / total.clamp_min(1e-4), 0)


def softened(weights: Tensor, sigma: float) -> Tensor:
    """Weights [1, S, S] without edges that are sharper than sigma, and nowhere larger than they were."""
    return torch.minimum(weights, blurred(weights, sigma))


def blurred(image: Tensor, sigma: float) -> Tensor:
    """An image [C, S, S] after a Gaussian of sigma image widths; the border goes on outside it."""
    deviation = sigma * image.shape[-1]
    reach = max(1, min(round(3 * deviation), image.shape[-1] - 1))
    places = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (places / deviation).square())
    kernel = (kernel / kernel.sum())[None, None]
    channels = F.pad(image[:, None], (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(channels, kernel[..., None]), kernel[:, :, None])[:, 0]


def eroded(mask: Tensor, width: float) -> Tensor:
    """A mask [1, S, S] less `width` image widths along its edge; the frame is no edge."""
    return -_largest(-mask, _pixels(width, mask.shape[-1]))


def _largest(image: Tensor, pixels: int) -> Tensor:
    """The largest value [C, S, S] within so many pixels around each, along both sides."""
    rows = F.max_pool2d(image[None], (2 * pixels + 1, 1), 1, (pixels, 0))
    return F.max_pool2d(rows, (1, 2 * pixels + 1), 1, (0, pixels))[0]


def _pixels(width: float, size: int) -> int:
    return max(1, round(width * size))


def _smooth_step(value: Tensor, low: float, high: float) -> Tensor:
    """0 below low, 1 above high, between them 3 t^2 - 2 t^3."""
    t = ((value - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _at_most(image: Tensor, size: int) -> Tensor:
    """An image [C, S, S], by area no larger than size."""
    return image if image.shape[-1] <= size else _resized(image, size)


def _resized(image: Tensor, size: int) -> Tensor:
    return F.interpolate(image[None], size=(size, size), mode="bilinear", antialias=True)[0]
