"""Cameras, orbits and rays. Conventions: `models/__init__.py`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

FOCAL = 4.2647  # image widths; EG3D's FFHQ camera, full field of view 13.37 degrees
RADIUS = 2.7  # scene units from the camera to the origin


@dataclass(frozen=True)
class Camera:
    """One pinhole camera, or a batch of them.

    Attributes:
        cam2world: [..., 4, 4], OpenCV axes.
        intrinsics: [..., 3, 3], divided by the image's size.
    """

    cam2world: Tensor
    intrinsics: Tensor

    def __post_init__(self) -> None:
        if self.cam2world.shape[-2:] != (4, 4) or self.intrinsics.shape[-2:] != (3, 3):
            raise ValueError(
                "Camera: expected cam2world [..., 4, 4] and intrinsics [..., 3, 3], got "
                f"{list(self.cam2world.shape)} and {list(self.intrinsics.shape)}; pass matrices with the batch in front"
            )
        if self.cam2world.shape[:-2] != self.intrinsics.shape[:-2]:
            raise ValueError(
                f"Camera: {list(self.cam2world.shape[:-2])} poses came with {list(self.intrinsics.shape[:-2])} "
                "intrinsics; expand one to the other's batch"
            )

    @property
    def shape(self) -> torch.Size:
        """Batch dimensions."""
        return self.cam2world.shape[:-2]

    @property
    def position(self) -> Tensor:
        """[..., 3] in the world."""
        return self.cam2world[..., :3, 3]

    def __getitem__(self, index) -> Camera:
        return Camera(self.cam2world[index], self.intrinsics[index])

    def before(self, others: Camera) -> Camera:
        """This one camera, then others [V]: [1 + V], where this one is."""
        own, more = (self.cam2world, self.intrinsics), (others.cam2world, others.intrinsics)
        return Camera(*(torch.cat([a[None], b.to(a)]) for a, b in zip(own, more, strict=True)))

    def to(self, *args) -> Camera:
        """As `Tensor.to`, for both matrices."""
        return Camera(self.cam2world.to(*args), self.intrinsics.to(*args))


def camera_from_label(label: Tensor) -> Camera:
    """The camera of a label [..., 25] of the generator family: cam2world, then intrinsics, each row by row.

    Raises:
        ValueError: a label of another length.
    """
    if label.shape[-1] != 25:
        raise ValueError(
            f"camera label: expected 25 numbers (cam2world 16, intrinsics 9), got {list(label.shape)}"
        )
    return Camera(label[..., :16].unflatten(-1, (4, 4)), label[..., 16:].unflatten(-1, (3, 3)))


def label_from_camera(camera: Camera) -> Tensor:
    """[..., 25]: what `camera_from_label` reads."""
    return torch.cat([camera.cam2world.flatten(-2), camera.intrinsics.flatten(-2)], -1)


def intrinsics_from_focal(focal: float | Tensor, *, like: Tensor) -> Tensor:
    """[..., 3, 3] with `focal` [...] image widths and the principal point in the middle."""
    focal = torch.as_tensor(focal, dtype=like.dtype, device=like.device)
    zero, one = torch.zeros_like(focal), torch.ones_like(focal)
    rows = [focal, zero, one / 2, zero, focal, one / 2, zero, zero, one]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def look_at(
    position: Tensor,
    target: Tensor | tuple[float, float, float],
    up: tuple[float, float, float] = (0.0, 1.0, 0.0),
) -> Tensor:
    """Pose of a camera at `position` that looks at `target` with `up` towards the top of the image.

    Args:
        position: [..., 3] world.
        target: [..., 3] world.
        up: world direction; where the view is parallel to it, the image's top is taken along -z (looking down on the
            head) or +z, so that an orbit over the top has a picture there, too.

    Returns:
        cam2world [..., 4, 4].
    """
    target = torch.as_tensor(target, dtype=position.dtype, device=position.device).expand_as(position)
    forward = torch.nn.functional.normalize(target - position, dim=-1)
    above = torch.as_tensor(up, dtype=position.dtype, device=position.device).expand_as(position)
    parallel = torch.linalg.cross(forward, above).norm(dim=-1, keepdim=True) < 1e-6
    towards_back = forward[..., 1:2].sign() * torch.tensor(
        [0.0, 0.0, 1.0], dtype=position.dtype, device=position.device
    )
    above = torch.where(parallel, towards_back, above)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, above), dim=-1)
    down = torch.linalg.cross(forward, right)
    pose = torch.zeros(*position.shape[:-1], 4, 4, dtype=position.dtype, device=position.device)
    pose[..., :3, :] = torch.stack([right, down, forward, position], dim=-1)
    pose[..., 3, 3] = 1
    return pose


def orbit(
    yaw: float | Tensor,
    pitch: float | Tensor,
    *,
    radius: float | Tensor = RADIUS,
    target: tuple[float, float, float] = (0.0, 0.0, 0.0),
    focal: float | Tensor = FOCAL,
) -> Camera:
    """Cameras on a sphere around `target`, looking at it.

    Args:
        yaw: [...] radians; 0 in front, positive towards +x (the subject's left).
        pitch: [...] radians of elevation; positive above.
        radius: [...] scene units. focal: [...] image widths. All four broadcast.
    """
    values = [
        torch.as_tensor(v, dtype=torch.get_default_dtype()) if not isinstance(v, Tensor) else v
        for v in (yaw, pitch, radius, focal)
    ]
    yaws, pitches, radii, focals = torch.broadcast_tensors(*values)
    direction = torch.stack([yaws.sin() * pitches.cos(), pitches.sin(), yaws.cos() * pitches.cos()], dim=-1)
    centre = torch.as_tensor(target, dtype=direction.dtype, device=direction.device)
    pose = look_at(centre + radii[..., None] * direction, centre)
    return Camera(pose, intrinsics_from_focal(focals, like=pose))


def eg3d_pose(
    horizontal: Tensor,
    vertical: Tensor,
    *,
    radius: float | Tensor = RADIUS,
    target: Tensor | tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Tensor:
    """cam2world [..., 4, 4] from the angles of EG3D's scripts: on a sphere around the origin, looking at `target` [..., 3].

    Args:
        horizontal: [...] radians; pi / 2 in front, larger towards +x. radius: [...] scene units.
        vertical: [...] pi / 2 at the height of the origin, smaller above; not an angle: its cosine would be 1 - 2 * vertical / pi.
    """
    horizontal, vertical, radii = torch.broadcast_tensors(
        horizontal, vertical, torch.as_tensor(radius).to(horizontal)
    )
    up = 1 - 2 * vertical.clamp(1e-5, math.pi - 1e-5) / math.pi  # cosine of the polar angle
    across = (1 - up.square()).sqrt()
    direction = torch.stack(
        [across * (math.pi - horizontal).cos(), up, across * (math.pi - horizontal).sin()], dim=-1
    )
    return look_at(radii[..., None] * direction, target)


def focal_from_fov_degrees(fov: float | Tensor) -> Tensor:
    """Focal length in image widths of EG3D's field of view in degrees, which is measured along the image's diagonal.

    Its constants are rounded (1.414), and 18.837 degrees give 4.2634, not quite `FOCAL`.

    Args:
        fov: [...] degrees.

    Returns:
        [...].
    """
    half = torch.as_tensor(fov) * 3.14159 / 360
    return 1 / (half.tan() * 1.414)


def frontal() -> Camera:
    """The canonical camera in front of the face, unbatched."""
    return orbit(0.0, 0.0)


def yaw_pitch(camera: Camera) -> tuple[Tensor, Tensor]:
    """Yaw and pitch [...] (radians) of the camera's position, seen from the origin."""
    x, y, z = camera.position.unbind(-1)
    return torch.atan2(x, z), torch.atan2(y, torch.hypot(x, z))


def rays(camera: Camera, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Origins and unit directions [..., H, W, 3] of the rays through all pixel centres.

    Raises:
        ValueError: for an image without pixels.
    """
    if height < 1 or width < 1:
        raise ValueError(f"rays: expected at least 1x1 pixels, got {height}x{width}; choose a positive size")
    like = camera.cam2world
    v = (torch.arange(height, dtype=like.dtype, device=like.device) + 0.5) / height
    u = (torch.arange(width, dtype=like.dtype, device=like.device) + 0.5) / width
    image = torch.stack(
        [u.expand(height, width), v[:, None].expand(height, width), torch.ones_like(u).expand(height, width)],
        -1,
    )
    to_world = camera.cam2world[..., :3, :3] @ torch.linalg.inv(camera.intrinsics)
    directions = torch.nn.functional.normalize(image @ to_world.mT[..., None, :, :], dim=-1)
    return camera.position[..., None, None, :].expand_as(directions), directions


def project(camera: Camera, points: Tensor) -> tuple[Tensor, Tensor]:
    """Where world points fall in the image.

    Args:
        points: [..., N, 3] world; the camera's batch broadcasts against `...`.

    Returns:
        image [..., N, 2] in image sizes (x right, y down; inside the frame where 0 .. 1), z [..., N] OpenCV depth.
    """
    in_camera = (points - camera.position[..., None, :]) @ camera.cam2world[..., :3, :3]
    z = in_camera[..., 2]
    image = in_camera @ camera.intrinsics.mT
    return image[..., :2] / image[..., 2:], z


def field_of_view(focal: float) -> float:
    """Full angle in radians of an image that is 1 / focal wide at distance 1."""
    return 2 * math.atan(0.5 / focal)
