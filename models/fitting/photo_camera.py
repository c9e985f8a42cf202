"""A photo's camera, fitted together with the head: the pose and distance that alignment tells are estimates.

The head turns and moves before the camera instead, and the lens zooms, each in a measure of its own: of one picture the pitch is harder
to tell than the yaw.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera

# what 1 means: radians about x, y and z; scene units along them; natural logarithm of the focal length
MEASURES = (0.1, 0.04, 0.04, 0.008, 0.008, 0.008, 0.02)


def moved_camera(camera: Camera, move: Tensor) -> Camera:
    """A camera turned about the world's middle (by exponential coordinates), then moved, and zoomed; differentiable.

    Args:
        camera: unbatched. move: [7], in `MEASURES`.
    """
    turn, way, zoom = (move * move.new_tensor(MEASURES)).split((3, 3, 1))
    x, y, z = turn
    none = torch.zeros_like(x)
    about = torch.stack([none, -z, y, z, none, -x, -y, x, none]).view(3, 3)
    upper = torch.linalg.matrix_exp(about) @ camera.cam2world[:3]
    upper = upper + F.pad(way[:, None], (3, 0))
    lens = camera.intrinsics
    focal = torch.diag(F.pad(lens.diagonal()[:2], (0, 1)))
    return Camera(torch.cat([upper, camera.cam2world[3:]]), lens + focal * zoom.expm1())
