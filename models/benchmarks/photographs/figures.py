"""What is measured of one head: its own view, its surface, and what goes on where the photo ends."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...camera import Camera, orbit
from ...field.casting import Rendering
from ...fitting.photo_losses import unknown_at
from ...head import Head
from ...mesh.isosurface import sample_grid
from ...mesh.mesh import Mesh
from ...mesh.rasterize import render_mesh
from ...metrics.geometry import silhouette_iou
from ...metrics.image import high_frequency, masked_psnr
from ...metrics.perceptual import PerceptualNetwork, perceptual_distance
from ...metrics.photo_border import colour_drift, colour_of, lab_of, seam, seen_by
from ...metrics.surface import roughness, stray_matter
from ...photo.alignment import AlignedPortrait, resample
from ...portrait import FLOOR
from ..exact_heads import ExactHead, views_at
from .photos import Photo
from .regions import face_in_picture, in_back, in_crown, in_face, in_hair, in_neck, points_of

SIZE, GLB_SIZE = 256, 512  # pixels
SIDES = (
    0,
    45,
    90,
    120,
    180,
    -120,
    -90,
    -45,
)  # degrees of yaw: of what factory heads are rendered from, eight
CELLS = 128  # along the box: matter is looked for in cells of 4 mm
REACH = 6 / 256  # image widths between the points of a colour step: one centimetre
RIM = 3 / 256  # image widths left out along outlines, where normals turn away
FACING = (
    0.5  # cosine: surfaces seen at more than 60 degrees are left out, where a pixel reaches far along them
)
Figures = dict[str, float]


@dataclass(frozen=True)
class Sides:
    """A head from all sides.

    Attributes:
        views, camera: [V]. seen: [V, 1, S, S] bool, what the photo shows, too. points: [V, S, S, 3] on the surface.
    """

    views: Rendering
    camera: Camera
    seen: Tensor
    points: Tensor

    @property
    def distance(self) -> Tensor:
        """[V, 1, S, S] along the rays, 0 where the head is not."""
        return solid_distance(self.views)


def solid_distance(views: Rendering) -> Tensor:
    """Distances [V, 1, S, S], 0 where a ray passes."""
    return torch.where(views.opacity > 0.5, views.depth, 0.0)


def sides(views: Rendering, camera: Camera, front: Tensor, photo: Camera) -> Sides:
    """Views [V] and which of their pixels the photo's camera [1] sees, which has distances front [1, 1, S, S]."""
    distance = solid_distance(views)
    return Sides(views, camera, seen_by(front, photo, distance, camera), points_of(camera, distance))


@torch.no_grad()
def sides_of(head: Head, reference: AlignedPortrait) -> Sides:
    """Of a head that was made from a photo; the field itself, for super-resolved normals are smoothed ones."""
    camera, photo = orbit(torch.tensor(SIDES).float().deg2rad(), torch.zeros(len(SIDES))), reference.camera
    views = head.render(camera, SIZE, raw=True)
    front = solid_distance(head.render(photo[None], SIZE, raw=True, normals=False))
    mask = F.interpolate(reference.mask[None], size=(SIZE, SIZE), mode="bilinear", antialias=True)
    return sides(views, camera, front * (mask > 0.5), photo[None])


def exact_sides(exact: ExactHead) -> Sides:
    """Of a head of the factory, with its frontal view for the photo."""
    index, all_views, camera = views_at(exact, SIDES), exact.exact.views, exact.exact.camera
    views = Rendering(all_views.rgb, all_views.ray_distance, all_views.mask, all_views.normal)
    chosen = Rendering(*(getattr(views, name)[index] for name in ("rgb", "depth", "opacity", "normal")))
    front = slice(exact.exact.frontal, exact.exact.frontal + 1)
    return sides(chosen, camera[index], solid_distance(views)[front], camera[front])


def surface_figures(around: Sides) -> Figures:
    """Roughness of face and hair, the seam along the border of what the photo shows, and drifts of colour beyond it."""
    views, points, size = around.views, around.points, around.views.rgb.shape[-1]
    rim = 2 * round(RIM * size) + 1
    there = around.distance > 0
    inner = F.max_pool2d((~there).to(points), rim, 1, rim // 2) == 0
    normal = torch.zeros_like(views.rgb) if views.normal is None else views.normal
    inner &= -normal[:, 2:] > FACING

    def region(chosen: Tensor) -> Tensor:
        return chosen[:, None] & there

    seen, hidden = around.seen, ~around.seen
    skin = colour_of(views.rgb, region(in_face(points)) & seen)
    hair = colour_of(views.rgb, region(in_crown(points)) & seen)
    back = colour_of(views.rgb, region(in_back(points)) & hidden)
    lab = lab_of(views.rgb)
    from_skin, from_hair = ((lab - one[:, None, None]).norm(dim=1, keepdim=True) for one in (skin, hair))
    nape = colour_of(views.rgb, region(in_neck(points)) & hidden & (from_skin < from_hair))
    return {
        "roughness": roughness(normal, inner & region(in_face(points) | in_hair(points))),
        "roughness, face": roughness(normal, inner & region(in_face(points))),
        "roughness, hair": roughness(normal, inner & region(in_hair(points))),
        "seam": seam(views.rgb, seen, around.distance, round(REACH * size)),
        "drift, hair": colour_drift(hair, back),
        "drift, skin": colour_drift(skin, nape),
    }


@torch.no_grad()
def stray_figures(head: Head) -> Figures:
    """Pieces of matter off the main one, at the density that meshes are made of."""
    side, field = head.config.box_side, head.field()
    low = head.planes.new_full((3,), -side / 2)
    low[1] = max(FLOOR, -side / 2)
    grid = sample_grid(
        lambda points: field.density(points[None])[0], low, side / 2, side / CELLS, chunk=1 << 18
    )
    pieces, share = stray_matter(grid.values >= head.config.surface_density)
    return {"stray pieces": float(pieces), "stray share": share}


@torch.no_grad()
def own_view_figures(head: Head, reference: AlignedPortrait, network: PerceptualNetwork) -> Figures:
    """The head from the photo's camera against the photo."""
    camera, photo, mask = reference.camera[None], reference.on_white()[None], reference.mask[None]
    view = head.render(camera, SIZE, normals=False)
    photo, mask = (
        F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", antialias=True) if x.shape[-1] != SIZE else x
        for x in (photo, mask)
    )
    told = told_in(reference, SIZE)
    mask = mask * told
    face = face_in_picture(camera, SIZE) & (mask > 0.5)
    return {
        "own view": masked_psnr(view.rgb, photo, mask),
        "own face": masked_psnr(view.rgb, photo, face.to(mask)) if face.any() else float("nan"),
        "coverage": (view.opacity > 0.5)[mask > 0.5].float().mean().item(),
        "silhouette IoU": silhouette_iou(view.opacity * told, mask),
        "perceptual": perceptual_distance(network, torch.where(told > 0, view.rgb, photo), photo).item(),
    }


def told_in(reference: AlignedPortrait, size: int) -> Tensor:
    """[1, 1, size, size], 1 where the photo tells something: elsewhere a fitted head's portrait shows the head itself."""
    inside, unknown = inside_photo(reference, size), unknown_at(reference, size)
    return inside if unknown is None else inside * (1 - unknown)


def crop_at(reference: AlignedPortrait, size: int) -> Tensor:
    """[2, 3] float64: pixels of the canonical frame at another size -> photo pixels."""
    crop = reference.crop_to_photo.double()  # head files hold floats
    return torch.cat([crop[:, :2] * (reference.image.shape[-1] / size), crop[:, 2:]], 1)


def inside_photo(reference: AlignedPortrait, size: int) -> Tensor:
    """[1, 1, size, size], 1 where the frame lies within the photo: beyond, nobody knows where the person ends."""
    _, inside = resample(torch.zeros(1, *reference.photo_size), crop_at(reference, size), size)
    return (inside > 0.5).float()[None]


def photo_at(reference: AlignedPortrait, photo: Photo, size: int) -> tuple[Tensor, Tensor]:
    """The person of a photo in the canonical frame at another size: [1, 3, size, size] on white, mask [1, 1, size, size]."""
    rgb, alpha = photo.read()
    if alpha is not None:
        rgb = rgb * alpha + (1 - alpha)
    image, _ = resample(rgb, crop_at(reference, size), size)
    mask = F.interpolate(reference.mask[None], size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
    return image[None] * mask + (1 - mask), mask


def glb_figures(mesh: Mesh, reference: AlignedPortrait, photo: Photo) -> Figures:
    """The GLB from the photo's camera against the photo, twice as fine."""
    exact, mask = photo_at(reference, photo, GLB_SIZE)
    mask = mask * told_in(reference, GLB_SIZE)
    view = render_mesh(mesh, reference.camera, GLB_SIZE, supersampling=2, back_faces=False)
    both = mask * (view.mask[None] > 0.5)
    share, correlation = (
        high_frequency(view.rgb[None], exact, both) if (both > 0.5).any() else [float("nan")] * 2
    )
    return {
        "GLB front": masked_psnr(view.rgb[None], exact, mask),
        "GLB detail": share,
        "GLB detail correlation": correlation,
    }
