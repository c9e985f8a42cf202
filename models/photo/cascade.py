"""scikit-image's bundled face cascade: another opinion on where faces are, by patterns that the network never learnt from."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .squares import apply, cut, upright

CASCADE_SIDE = 480  # pixels of the photo's longer side that the cascade gets
BOX = (
    0.505,
    0.536,
    0.376,
)  # centre (x, y) and width of the cascade's box in the canonical frame, means over validation heads


def cascade_boxes(rgb: Tensor) -> Tensor:
    """Boxes [N, 3] (centre x, centre y, width) in photo pixels of scikit-image's bundled frontal face cascade, widest first."""
    shrink = max(1.0, max(rgb.shape[-2:]) / CASCADE_SIDE)
    size = [max(1, round(n / shrink)) for n in rgb.shape[-2:]]
    small = F.interpolate(rgb[None].float(), size=size, mode="bilinear", antialias=True)[0]
    squares = [
        (f["c"] + f["width"] / 2, f["r"] + f["height"] / 2, f["width"]) for f in _cascade(small, least=28)
    ]
    boxes = torch.tensor(sorted(squares, key=lambda box: -box[2]), dtype=torch.float64).reshape(-1, 3)
    return boxes * (max(rgb.shape[-2:]) / max(size))


def confirmed(rgb: Tensor, box: Tensor) -> bool:
    """Whether the cascade fires again in each of eight copies of its box [3] and the surroundings, turned, mirrored or scaled."""
    for angle, scale in ((-0.1, 2.0), (0.0, 1.7), (0.0, 2.3), (0.1, 2.0)):
        turn = (
            box[2]
            * scale
            * torch.tensor(
                [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=box.dtype
            )
        )
        square = torch.cat([turn, (box[:2] - turn.sum(-1) / 2)[:, None]], -1)
        copy = cut(rgb, square[None], 96)[0]
        for picture in (copy, copy.flip(-1)):
            fires = _cascade(picture, least=28)
            if not any(
                math.hypot(f["c"] + f["width"] / 2 - 48, f["r"] + f["height"] / 2 - 48) < 10 for f in fires
            ):
                return False
    return True


def _cascade(picture: Tensor, least: int) -> list[dict[str, int]]:
    """What scikit-image's cascade finds in a picture [3, H, W], `least` pixels wide or wider."""
    try:
        from skimage.data import lbp_frontal_face_cascade_filename
        from skimage.feature import Cascade
    except ImportError as error:
        raise ImportError(
            "find_face needs the package scikit-image; install it with pip install scikit-image"
        ) from error
    most = min(picture.shape[-2:])
    if most < least + 2:
        return []
    pixels = (picture.clamp(0, 1) * 255).byte().permute(1, 2, 0).cpu().contiguous().numpy()
    return Cascade(lbp_frontal_face_cascade_filename()).detect_multi_scale(
        img=pixels,
        scale_factor=1.15,
        step_ratio=1,
        min_size=(least, least),
        max_size=(most, most),
        min_neighbor_number=4,
    )


def box_squares(boxes: Tensor) -> Tensor:
    """Canonical frames [N, 2, 3] (0 .. 1 -> photo pixels) around cascade boxes [N, 3]."""
    size = boxes[:, 2] / BOX[2]
    corner = boxes[:, :2] - size[:, None] * torch.tensor(BOX[:2], dtype=boxes.dtype)
    return upright(corner, size)


def boxed(boxes: Tensor, square: Tensor) -> bool:
    """Whether one of the cascade's boxes [N, 3] lies as it would in a canonical frame [2, 3]."""
    middle = apply(square[None], torch.tensor([BOX[:2]], dtype=square.dtype))[0, 0]
    side = square[:, 0].norm() * BOX[2]
    away = (boxes[:, :2] - middle).norm(dim=-1) / side
    ratio = (boxes[:, 2] / side).log().abs()
    return bool(((away < 0.35) & (ratio < math.log(1.6))).any())
