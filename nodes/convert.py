"""ComfyUI's conventions <-> ours."""

from __future__ import annotations

import math
from io import BytesIO

import comfy.model_management as mm
import torch
from comfy_api.latest import Types
from PIL import Image, ImageColor
from torch import Tensor

from ..models.camera import FOCAL, RADIUS, Camera, intrinsics_from_focal, look_at, orbit
from ..models.mesh.mesh import Mesh
from .types import CamerasOnWire

METRES_PER_UNIT = 0.7
AROUND = 0.5  # scene units before and behind the middle in which a head lies
NEAR, FAR = RADIUS - AROUND, RADIUS + AROUND  # from the canonical distance


def from_image(image: Tensor) -> Tensor:
    """From IMAGE [B, H, W, 3 or 4] to [B, 3, H, W].

    Raises:
        ValueError: another shape, an empty batch, or values that are not finite.
    """
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(
            f"image: expected an IMAGE [batch, height, width, 3] with at least one pixel, got {list(image.shape)}; wire a photo"
        )
    if not torch.isfinite(image).all():
        raise ValueError(
            "image: expected finite numbers, got NaN or infinity; check the node that made the image"
        )
    return image[..., :3].expand(*image.shape[:3], 3).movedim(-1, 1).float()


def from_mask(mask: Tensor) -> Tensor:
    """From MASK [B, H, W] or [H, W] to [B, 1, H, W]."""
    return (mask[None] if mask.ndim == 2 else mask)[:, None].float()


def to_image(images: Tensor) -> Tensor:
    """From [B, 3 or 1, H, W] to IMAGE [B, H, W, 3], where and as ComfyUI keeps intermediate results."""
    wide = images.detach().expand(-1, 3, -1, -1).movedim(1, -1).clamp(0, 1)
    return wide.to(mm.intermediate_device(), mm.intermediate_dtype()).contiguous()


def to_mask(masks: Tensor) -> Tensor:
    """From [B, 1, H, W] to MASK [B, H, W]."""
    return masks.detach()[:, 0].clamp(0, 1).to(mm.intermediate_device(), mm.intermediate_dtype())


def to_pil(image: Tensor) -> Image.Image:
    """[3, H, W] in [0, 1] -> picture for a preview."""
    return Image.fromarray((image.detach().clamp(0, 1) * 255).round().byte().movedim(0, -1).cpu().numpy())


def color(value: str) -> tuple[float, float, float]:
    """From a COLOR such as "#ffffff" to sRGB in [0, 1].

    Raises:
        ValueError: not a colour.
    """
    try:
        r, g, b = ImageColor.getrgb(value)[:3]
    except ValueError as error:
        raise ValueError(f"background: expected a colour such as #ffffff or white, got {value!r}") from error
    return r / 255, g / 255, b / 255


def depth_picture(depth: Tensor, opacity: Tensor, near: float = NEAR, far: float = FAR) -> Tensor:
    """From ray distances [V, 1, H, W] in scene units to a picture: white at near, black at far and where it is empty."""
    return torch.where(opacity > 0.5, ((far - depth) / (far - near)).clamp(0, 1), torch.zeros_like(depth))


def from_depth_picture(picture: Tensor, near: float = NEAR, far: float = FAR) -> Tensor:
    """And back."""
    return far - (far - near) * picture


def to_mesh(mesh: Mesh) -> Types.MESH:
    """From our Mesh (scene units) to MESH (metres, one item)."""

    def item(tensor):
        return None if tensor is None else tensor[None]

    texture = None if mesh.texture is None else mesh.texture.movedim(0, -1)[None]
    return Types.MESH(
        item(mesh.vertices * METRES_PER_UNIT),
        item(mesh.faces),
        uvs=item(mesh.uvs),
        vertex_colors=item(mesh.vertex_colors),
        texture=texture,
    )


def from_mesh(mesh) -> list[Mesh]:
    """From MESH (metres) to our Meshes (scene units), one per item; also from other packs' look-alikes with fewer fields.

    Raises:
        ValueError: no vertices or faces, vertices that are not finite, or indices out of range.
    """
    vertices, faces = getattr(mesh, "vertices", None), getattr(mesh, "faces", None)
    if (
        not isinstance(vertices, Tensor)
        or not isinstance(faces, Tensor)
        or 0 in vertices.shape
        or 0 in faces.shape
    ):
        raise ValueError(
            "mesh: expected a MESH with vertices and faces, got an empty one; wire a node that makes a mesh"
        )
    if not torch.isfinite(vertices).all():
        raise ValueError(
            "mesh: expected finite vertices, got NaN or infinity; check the node that made the mesh"
        )
    counts, face_counts = getattr(mesh, "vertex_counts", None), getattr(mesh, "face_counts", None)
    meshes = []
    for i in range(vertices.shape[0]):
        n = vertices.shape[1] if counts is None else int(counts[i])
        m = faces.shape[1] if face_counts is None else int(face_counts[i])

        def item(name, i=i, n=n):
            value = getattr(mesh, name, None)
            return None if value is None else value[i, :n].float()

        triangles = faces[i, :m].long()
        if triangles.numel() and not 0 <= int(triangles.min()) <= int(triangles.max()) < n:
            raise ValueError(
                f"mesh: expected face indices from 0 to {n - 1}, got up to {int(triangles.max())}; check the node that made the mesh"
            )
        texture = getattr(mesh, "texture", None)
        colors = item("vertex_colors")
        meshes.append(
            Mesh(
                vertices=vertices[i, :n].float() / METRES_PER_UNIT,
                faces=triangles,
                uvs=item("uvs"),
                texture=None if texture is None else texture[i, ..., :3].movedim(-1, 0).float(),
                vertex_colors=None if colors is None else colors[:, :3],
            )
        )
    return meshes


def orbit_cameras(
    yaws_degrees: list[float],
    pitches_degrees: list[float],
    size: int,
    *,
    radius: float = RADIUS,
    focal: float = FOCAL,
) -> CamerasOnWire:
    """From degrees to cameras around the origin."""
    yaw = torch.tensor(yaws_degrees).deg2rad()
    pitch = torch.tensor([math.radians(degrees) for degrees in pitches_degrees])
    return CamerasOnWire(orbit(yaw, pitch, radius=radius, focal=focal), size)


def joined(cameras: list[Camera]) -> Camera:
    """Unbatched cameras as one batch."""
    return Camera(
        torch.stack([one.cam2world for one in cameras]), torch.stack([one.intrinsics for one in cameras])
    )


def from_load3d(info: dict, *, portrait: bool) -> Camera:
    """From LOAD3D_CAMERA to a batch of one Camera.

    Args:
        portrait: keep only the direction of view, from the canonical distance and with the canonical lens, since the viewer
            shows a model at a size of its own; otherwise its position is read as metres.

    Raises:
        ValueError: fields are missing, or the camera stands on its target.
    """
    try:
        position = torch.tensor([float(info["position"][axis]) for axis in "xyz"])
        target = torch.tensor([float(info["target"][axis]) for axis in "xyz"])
    except (KeyError, TypeError) as error:
        raise ValueError(
            "camera: expected a LOAD3D_CAMERA with position and target, got one without; use Create Camera Info"
        ) from error
    away = position - target
    if away.norm() < 1e-6:
        raise ValueError("camera: expected position and target apart, got the same point; move the camera")
    if portrait:
        pose, focal = look_at(RADIUS * away / away.norm(), (0.0, 0.0, 0.0)), FOCAL
    else:
        zoom = float(info.get("zoom") or 1)
        focal = zoom * 0.5 / math.tan(math.radians(float(info.get("fov") or 35)) / 2)
        pose = look_at(position / METRES_PER_UNIT, tuple((target / METRES_PER_UNIT).tolist()))
    return Camera(pose[None], intrinsics_from_focal(focal, like=pose)[None])


def to_load3d(camera: Camera) -> dict:
    """From one Camera (unbatched, looking at the origin's height) to LOAD3D_CAMERA, in metres.

    The quaternion is what core's Render Splat turns a turntable by; without one it begins at the front.
    """
    position = camera.position
    forward = camera.cam2world[:3, 2]
    target = position + forward * -(
        position @ forward
    )  # the point nearest to the origin on the line of sight

    def point(value: Tensor) -> dict[str, float]:
        return dict(zip("xyz", (value * METRES_PER_UNIT).tolist(), strict=True))

    fov = math.degrees(2 * math.atan(0.5 / float(camera.intrinsics[1, 1])))
    return {
        "position": point(position),
        "target": point(target),
        "quaternion": dict(zip("xyzw", quaternion(camera.cam2world[:3, :3]), strict=True)),
        "zoom": 1,
        "cameraType": "perspective",
        "fov": fov,
        "aspect": 1,
    }


def quaternion(axes: Tensor) -> list[float]:
    """From OpenCV axes [3, 3] in the world to x, y, z and w of the rotation of a camera that looks along its own -z with +y up."""
    turn = (axes * axes.new_tensor([1.0, -1.0, -1.0])).double()
    trace = turn.diagonal()
    # of the four components the largest is taken from the diagonal: no division by nearly nothing
    squares = [1 + trace[0] - trace[1] - trace[2], 1 - trace[0] + trace[1] - trace[2]]
    squares += [1 - trace[0] - trace[1] + trace[2], 1 + trace.sum()]
    rows = [
        [squares[0], turn[0, 1] + turn[1, 0], turn[0, 2] + turn[2, 0], turn[2, 1] - turn[1, 2]],
        [turn[0, 1] + turn[1, 0], squares[1], turn[1, 2] + turn[2, 1], turn[0, 2] - turn[2, 0]],
        [turn[0, 2] + turn[2, 0], turn[1, 2] + turn[2, 1], squares[2], turn[1, 0] - turn[0, 1]],
        [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1], squares[3]],
    ]
    row = torch.tensor(rows[int(torch.stack(squares).argmax())])
    return (row / row.norm()).tolist()


def glb_file(data: bytes) -> Types.File3D:
    """GLB bytes -> FILE_3D_GLB."""
    return Types.File3D(BytesIO(data), "glb")
