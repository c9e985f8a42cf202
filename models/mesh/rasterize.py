"""A small triangle rasteriser in PyTorch, without OpenGL: for baking, checks and previews."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, project
from .mesh import Mesh, vertex_normals

CANDIDATES = 1 << 18  # pixel-face pairs tested at once: small enough that memory is used again from the cache
EDGE_TOLERANCE = 1e-5  # of a face's area: no pixel centre falls between two faces that share an edge
EMPTY = torch.iinfo(torch.int64).max
FAR = 0x7F800000  # bits of infinity


@dataclass(frozen=True)
class MeshView:
    """What one camera sees of a mesh.

    Attributes:
        rgb: [3, S, S] sRGB on the background.
        mask: [1, S, S] share of the pixel that is covered: 0 or 1, or between with supersampling.
        ray_distance: [1, S, S] scene units along unit rays; 0 where nothing is.
        normal: [3, S, S] unit length, camera space (OpenCV axes); 0 where nothing is.
    """

    rgb: Tensor
    mask: Tensor
    ray_distance: Tensor
    normal: Tensor


def rasterize(
    positions: Tensor, faces: Tensor, height: int, width: int, *, back_faces: bool = True
) -> tuple[Tensor, Tensor]:
    """The nearest face at every pixel centre.

    Candidates are the pixel centres inside each face's bounding box; the z-buffer is one scatter-minimum over
    (depth, face) packed into an integer, so equal depths go to the lower face and the result never depends on order.

    Args:
        positions: [N, 3] pixel x (right), pixel y (down), depth > 0; the first pixel's centre is (0.5, 0.5). A face
            with a corner at depth <= 0 or a coordinate that is not finite is left out.
        faces: [M, 3].
        back_faces: whether to draw faces seen from behind (clockwise on screen); a closed mesh hides them anyway.

    Returns:
        face_index [H, W], -1 where empty; barycentric [H, W, 3], perspective-correct, 0 where empty. With all depths
        equal they are the plain ones.

    Raises:
        ValueError: a picture without pixels.
    """
    if height < 1 or width < 1:
        raise ValueError(
            f"rasterize: expected at least 1x1 pixels, got {height}x{width}; choose a positive size"
        )
    triangles = positions[faces]  # [M, 3 corners, 3]
    planes = _planes(triangles)
    drawable = _drawable(triangles, back_faces)
    nearest = torch.full((height * width,), EMPTY, dtype=torch.int64, device=positions.device)
    for face, x, y in _candidates(triangles[..., :2], drawable, height, width):
        second, third, inverse_depth = _evaluate(planes.index_select(0, face), x, y)
        inside = torch.minimum(torch.minimum(second, third), 1 - second - third) >= -EDGE_TOLERANCE
        hits = inside.nonzero()[:, 0]
        key = _pack(inverse_depth[hits], face[hits])
        nearest.scatter_reduce_(0, (y * width + x)[hits], key, "amin")
    return _unpack(nearest, planes, triangles[..., 2], height, width)


def _drawable(triangles: Tensor, back_faces: bool) -> Tensor:
    """[M] bool: in front of the camera, finite, with area on screen, and facing it if asked."""
    twice_area = _cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    facing = (
        twice_area.abs() > 1e-12 if back_faces else twice_area < -1e-12
    )  # counter-clockwise is negative where y runs down
    return facing & (triangles[..., 2] > 0).all(1) & triangles.isfinite().flatten(1).all(1)


def _planes(triangles: Tensor) -> Tensor:
    """[M, 9]: per face the first corner (x, y), the rows that take an offset from it to the second and the third
    barycentric coordinate on screen, and 1 / depth with its change along both coordinates."""
    a, b, c = triangles.unbind(1)
    ab, ac = (b - a)[:, :2], (c - a)[:, :2]
    twice_area = _cross(ab, ac)[:, None]
    second = torch.stack([ac[:, 1], -ac[:, 0]], -1) / twice_area
    third = torch.stack([-ab[:, 1], ab[:, 0]], -1) / twice_area
    near = 1 / triangles[..., 2]
    return torch.cat([a[:, :2], second, third, near[:, :1], near[:, 1:] - near[:, :1]], -1)


def _evaluate(planes: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Second and third barycentric coordinate on screen and 1 / depth [K] at the centres of pixels (x, y) [K]."""
    ax, ay, bx, by, cx, cy, near, near_b, near_c = planes.unbind(-1)
    dx, dy = x + 0.5 - ax, y + 0.5 - ay
    second, third = bx * dx + by * dy, cx * dx + cy * dy
    return second, third, near + near_b * second + near_c * third


def _candidates(
    screen: Tensor, drawable: Tensor, height: int, width: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Pairs of a face and a pixel centre inside its bounding box, as (face, x, y) [K], a bounded number at a time.

    Args:
        screen: [M, 3, 2] corners in pixels. drawable: [M] bool.
    """
    limit = screen.new_tensor([width, height])
    low = (screen.amin(1) - 0.5).ceil().clamp_min(0).minimum(limit)  # first pixel whose centre is inside
    high = (screen.amax(1) - 0.5).floor().add(1).clamp_min(0).minimum(limit)  # one past the last
    sizes = torch.where(drawable[:, None], (high - low).clamp_min(0), torch.zeros_like(low)).long()
    visible = sizes.prod(1).nonzero()[:, 0]
    counts = sizes[visible].prod(1)
    blocks = torch.bincount((counts.cumsum(0) - 1) // CANDIDATES).tolist() if len(visible) else []
    for face, count in zip(visible.split(blocks), counts.split(blocks), strict=True):
        first = count.cumsum(0) - count
        columns, left, top = sizes[face, 0], low[face, 0].long(), low[face, 1].long()
        row = torch.stack([face, first, columns, left, top], -1).repeat_interleave(count, dim=0)
        face_of, first_of, columns_of, left_of, top_of = row.unbind(-1)
        step = torch.arange(len(row), device=face.device) - first_of
        down = torch.div(step, columns_of, rounding_mode="floor")
        yield face_of, left_of + step - down * columns_of, top_of + down


def _cross(p: Tensor, q: Tensor) -> Tensor:
    return p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]


def _pack(inverse_depth: Tensor, face: Tensor) -> Tensor:
    """Integers [K] that sort from near to far, then by face: positive floats sort as their bits do."""
    bits = inverse_depth.clamp_min(0).float().contiguous().view(torch.int32).long()
    return ((FAR - bits) << 32) | face


def _unpack(nearest: Tensor, planes: Tensor, depth: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    pixel = (nearest != EMPTY).nonzero()[:, 0]
    face = nearest[pixel] & 0xFFFFFFFF
    second, third, _ = _evaluate(planes[face], pixel % width, torch.div(pixel, width, rounding_mode="floor"))
    # from screen to surface: a corner counts by 1 / depth
    weights = torch.stack([1 - second - third, second, third], -1).clamp_min(0) / depth[face]
    face_index = torch.full_like(nearest, -1)
    face_index[pixel] = face
    barycentric = weights.new_zeros(height * width, 3)
    barycentric[pixel] = weights / weights.sum(-1, keepdim=True)
    return face_index.view(height, width), barycentric.view(height, width, 3)


def interpolate(values: Tensor, faces: Tensor, face_index: Tensor, barycentric: Tensor) -> Tensor:
    """Values of vertices at the pixels of a rasterisation.

    Args:
        values: [N, C]; faces: [M, 3]; face_index: [...] without -1; barycentric: [..., 3].

    Returns:
        [..., C].
    """
    return (values[faces[face_index]] * barycentric[..., None]).sum(-2)


def sample_texture(texture: Tensor, uvs: Tensor) -> Tensor:
    """Bilinear lookup, clamped at the border.

    Args:
        texture: [3, H, W]; uvs: [K, 2] in 0..1, v running down.

    Returns:
        [K, 3].
    """
    # from 0..1 over the whole texture to grid_sample's -1..1
    grid = (uvs * 2 - 1)[None, :, None].to(texture.dtype)
    return F.grid_sample(texture[None], grid, padding_mode="border", align_corners=False)[0, :, :, 0].T


def render_mesh(
    mesh: Mesh,
    camera: Camera,
    size: int,
    *,
    background: tuple[float, float, float] | Tensor = (1.0, 1.0, 1.0),
    supersampling: int = 1,
    back_faces: bool = True,
) -> MeshView:
    """A picture of a mesh, unlit: its texture, else its vertex colours, else grey lit from the camera.

    Args:
        camera: unbatched. size: pixels a side. background: [3] or broadcastable to [3, S, S].
        supersampling: k x k samples a pixel, averaged.
        back_faces: False is faster and shows the same for a closed mesh.

    Raises:
        ValueError: a batch of cameras, or a size or supersampling below 1.
    """
    if camera.shape != ():
        raise ValueError(
            f"render_mesh: expected one camera, got a batch {list(camera.shape)}; pass camera[i]"
        )
    if size < 1 or supersampling < 1:
        raise ValueError(
            f"render_mesh: expected a positive size and supersampling, got {size} and {supersampling}; choose at least 1"
        )
    camera = camera.to(mesh.vertices)
    fine = size * supersampling
    image, z = project(camera, mesh.vertices)
    face_index, barycentric = rasterize(
        torch.cat([image * fine, z[:, None]], -1), mesh.faces, fine, fine, back_faces=back_faces
    )
    covered_pixels = face_index >= 0
    samples = _shade(mesh, camera, face_index[covered_pixels], barycentric[covered_pixels])
    layers = samples.new_zeros(fine, fine, 8)
    layers[covered_pixels] = samples
    layers = F.avg_pool2d(
        layers.permute(2, 0, 1), supersampling
    )  # colour, mask, distance, normal; all times coverage
    rgb, mask, distance, normal = layers.split([3, 1, 1, 3])
    behind = torch.as_tensor(background, dtype=rgb.dtype, device=rgb.device)
    behind = behind[:, None, None] if behind.ndim == 1 else behind
    rgb = rgb + (1 - mask) * behind
    return MeshView(rgb, mask, distance / mask.clamp_min(1e-6), F.normalize(normal, dim=0))


def _shade(mesh: Mesh, camera: Camera, face_index: Tensor, barycentric: Tensor) -> Tensor:
    """[K, 8] at the covered samples: colour, 1, ray distance, camera-space normal."""
    normals = vertex_normals(mesh) if mesh.normals is None else mesh.normals
    fields = torch.cat(
        [mesh.vertices, normals] + [x for x in (mesh.uvs, mesh.vertex_colors) if x is not None], -1
    )
    values = interpolate(fields, mesh.faces, face_index, barycentric)
    distance = (values[:, :3] - camera.position).norm(dim=-1, keepdim=True)
    normal = F.normalize(values[:, 3:6] @ camera.cam2world[:3, :3], dim=-1)  # from world to camera axes
    if mesh.texture is not None:
        colour = sample_texture(mesh.texture, values[:, 6:8])
    elif mesh.vertex_colors is not None:
        colour = values[:, -3:]
    else:
        colour = (0.25 + 0.6 * (-normal[:, 2:]).clamp_min(0)).expand(-1, 3)
    return torch.cat([colour, torch.ones_like(distance), distance, normal], -1)
