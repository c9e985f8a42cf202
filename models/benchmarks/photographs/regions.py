"""Which parts of a head are meant, in canonical coordinates: no photo comes with labels of skin and hair."""

from __future__ import annotations

from torch import Tensor

from ...camera import Camera, rays

# Scene units; pupils are at y = 0 and 0.09 apart, chins at -0.146, crowns about 0.17.
FACE_Y, FACE_WIDTH, FACE_HEIGHT = (
    -0.055,
    0.075,
    0.090,
)  # centre and half axes: from brow to chin, cheek to cheek
FACE_PLANE = 0.09  # z on which a face lies, seen from in front
FACE_BEGINS = 0.03  # z
FOREHEAD_ENDS = 0.11  # y: above is hair, or a bald head
BACK_BEGINS, BACK_ENDS = -0.02, -0.06  # z, and y of the back of the head
NECK = (-0.21, -0.10)  # y of neck and jaw
NECK_BEGINS, NECK_WIDTH = 0.05, 0.11  # z, half of x


def face_in_picture(camera: Camera, size: int) -> Tensor:
    """[V, 1, size, size] bool: where cameras [V] in front have the face, by an ellipse that stands where faces are."""
    origins, directions = rays(camera, size, size)
    along = (FACE_PLANE - origins[..., 2]) / directions[..., 2]
    points = origins + along[..., None] * directions
    return (in_ellipse(points) & (directions[..., 2] < 0))[:, None]


def points_of(camera: Camera, distance: Tensor) -> Tensor:
    """World points [V, H, W, 3] that cameras [V] see at distances [V, 1, H, W] along unit rays."""
    origins, directions = rays(camera, *distance.shape[-2:])
    return origins + directions * distance.movedim(1, -1)


def in_ellipse(points: Tensor) -> Tensor:
    """[...] bool of points [..., 3]: over the face, as seen from the front."""
    x, y, _ = points.unbind(-1)
    return (x / FACE_WIDTH).square() + ((y - FACE_Y) / FACE_HEIGHT).square() < 1


def in_face(points: Tensor) -> Tensor:
    """[...] bool of points [..., 3] on a head."""
    return in_ellipse(points) & (points[..., 2] > FACE_BEGINS)


def in_crown(points: Tensor) -> Tensor:
    """[...] bool of points [..., 3]: above the forehead, where a photo shows the hair."""
    return points[..., 1] > FOREHEAD_ENDS


def in_back(points: Tensor) -> Tensor:
    """[...] bool of points [..., 3]: the back of the head."""
    return (points[..., 2] < BACK_BEGINS) & (points[..., 1] > BACK_ENDS)


def in_hair(points: Tensor) -> Tensor:
    """[...] bool of points [..., 3]: the hair, or what is bald of a head."""
    return in_crown(points) | in_back(points)


def in_neck(points: Tensor) -> Tensor:
    """[...] bool of points [..., 3]: sides and nape of the neck, and the jaw's."""
    x, y, z = points.unbind(-1)
    return (y > NECK[0]) & (y < NECK[1]) & (z < NECK_BEGINS) & (x.abs() < NECK_WIDTH)
