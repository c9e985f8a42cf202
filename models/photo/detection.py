"""Where the face is in a photo: candidates, looked at again and again until their landmarks lie as a face's do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import orbit, project
from .mean_head import mean_head
from .network import AlignmentNetwork

MIRRORED = [1, 0, 2, 4, 3, 5]  # the landmarks of a mirror image, in the order of `LANDMARKS`
CANDIDATES = 6  # are looked at again
CASCADE_SIDE = 480  # pixels of the photo's longer side that the cascade gets
BOX = (
    0.505,
    0.536,
    0.376,
)  # centre (x, y) and width of the cascade's box in the canonical frame, means over validation heads
SMALLEST = 0.40  # of the photo's shorter side: canonical frames believed without a cascade's box
SMALLEST_BOXED = 0.12  # and with one
TRUSTED = 0.5  # the score from which on landmarks are believed
SURE = 0.8  # from which on no further search is made
TOLERANCE = 0.35  # of the pupils' distance: misfit to the layout of a face at which a candidate's score falls to 1 / e


@dataclass(frozen=True)
class Detection:
    """A face in a photo.

    Attributes:
        landmarks: [6, 2] float64 (x, y) in the order of `LANDMARKS`, photo pixels counted from the photo's top left corner
            (the first pixel's centre is at 0.5).
        score: how sure, in 0 .. 1.
    """

    landmarks: Tensor
    score: float


@dataclass(frozen=True)
class Looks:
    """What the network saw in K squares: landmarks [K, L, 2] in photo pixels, their confidences [K, L], a face's presence [K]."""

    landmarks: Tensor
    confidence: Tensor
    presence: Tensor


def find_face(rgb: Tensor, network: AlignmentNetwork) -> Detection:
    """The most face-like place of a photo.

    scikit-image's face cascade proposes squares, and if none convinces, a grid of windows does. The network finds landmarks
    in each; the best squares are cut anew around their landmarks and looked at twice more. What counts is presence x
    confidence of the landmarks x how well they fit the layout of a head. Where the network sees no such face, but the
    cascade firmly does, the landmarks are the mean head's inside the cascade's box.

    Args:
        rgb: [3, H, W] sRGB in [0, 1].

    Raises:
        ValueError: for a picture that is none, or without a face.
    """
    _check(rgb)
    layouts = standard_layouts()
    boxes = cascade_boxes(rgb)
    best = Detection(layouts[0], 0.0)
    for squares, smallest in ((box_squares(boxes), SMALLEST_BOXED), (windows(*rgb.shape[-2:]), SMALLEST)):
        if best.score < SURE and len(squares):
            least = smallest * min(rgb.shape[-2:])
            best = max(
                best, refine(rgb, squares, network, layouts, least), key=lambda detection: detection.score
            )
    if best.score >= TRUSTED:
        return best
    for box in boxes[:4]:
        if confirmed(rgb, box):
            return Detection(_apply(box_squares(box[None]), layouts[len(layouts) // 2])[0], TRUSTED)
    raise ValueError(
        f"find_face: expected a photo with a visible face, found none (best score {best.score:.2f}, needs {TRUSTED}); "
        "crop closer, wire FACE_LANDMARKS, or set the crop by hand"
    )


def refine(
    rgb: Tensor, squares: Tensor, network: AlignmentNetwork, layouts: Tensor, least: float
) -> Detection:
    """The best of squares [K, 2, 3] after looking at all once, and twice more at the best of them cut anew around their landmarks.

    Canonical frames narrower than `least` pixels score nothing.
    """
    squares, score = fit_layouts(look(rgb, squares, network), layouts)
    squares = squares[score.topk(min(CANDIDATES, len(score))).indices]
    candidates = []
    for _ in range(2):
        looks = look(rgb, _sane(squares, max(rgb.shape[-2:])), network)
        squares, score = fit_layouts(looks, layouts)
        score = score * (squares[:, :, 0].norm(dim=-1) >= least)
        candidates += [(float(s), square) for s, square in zip(score, squares, strict=True)]
    highest, square = max(candidates, key=lambda pair: pair[0])
    median = settle(rgb, _sane(square[None], max(rgb.shape[-2:])), network)
    return Detection(median.landmarks[0], min(highest, float(fit_layouts(median, layouts)[1])))


def settle(rgb: Tensor, square: Tensor, network: AlignmentNetwork) -> Looks:
    """One look [1] for a square [1, 2, 3]: the median landmarks and means over three sizes of it, each as it is and mirrored."""
    middle = torch.tensor([[0.5, 0.5]], dtype=square.dtype)
    views = []
    for scale in (0.85, 1.0, 1.2):
        for mirror in (1, -1):
            linear = square[:, :, :2] * (scale * torch.tensor([mirror, 1], dtype=square.dtype))
            views.append(torch.cat([linear, (_apply(square, middle) - middle @ linear.mT).mT], -1))
    looks = look(rgb, torch.cat(views), network)
    for values in (looks.landmarks, looks.confidence):
        values[1::2] = values[1::2, MIRRORED]
    return Looks(
        looks.landmarks.quantile(0.5, dim=0)[None],
        looks.confidence.mean(0)[None],
        looks.presence.mean()[None],
    )


def standard_layouts() -> Tensor:
    """Landmarks [15, L, 2] of the mean head in 0 .. 1 of the canonical frame, at yaws of -60 to 60 and pitches of -20 to 20 degrees.

    The one in the middle is seen from in front.
    """
    pitch, yaw = torch.meshgrid(
        torch.linspace(-1, 1, 3) * math.radians(20),
        torch.linspace(-1, 1, 5) * math.radians(60),
        indexing="ij",
    )
    places, _ = project(orbit(yaw.flatten(), pitch.flatten()), mean_head().landmarks)
    return places.double()


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
    return _upright(corner, size)


def windows(height: int, width: int) -> Tensor:
    """Squares [K, 2, 3] (0 .. 1 -> photo pixels): around the whole photo, then of two sizes that overlap by half."""
    whole = max(height, width)
    corners = [((width - whole) / 2, (height - whole) / 2)]
    sizes: list[float] = [whole]
    for size in (min(height, width) / 2**level for level in range(2)):
        if size < 24 and size < min(height, width):
            break
        across, down = (max(1, math.ceil(2 * (n - size) / size - 1e-6) + 1) for n in (width, height))
        for row in range(down):
            for column in range(across):
                corners.append(
                    ((width - size) * column / max(across - 1, 1), (height - size) * row / max(down - 1, 1))
                )
                sizes.append(size)
    return _upright(torch.tensor(corners, dtype=torch.float64), torch.tensor(sizes, dtype=torch.float64))


def cut(rgb: Tensor, squares: Tensor, size: int) -> Tensor:
    """The photo's content of squares [K, 2, 3] as pictures [K, 3, size, size]; grey beyond the photo's edges."""
    u = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    grid = torch.stack([u.expand(size, size), u[:, None].expand(size, size)], -1).reshape(-1, 2)
    extent = torch.tensor([rgb.shape[-1], rgb.shape[-2]], dtype=torch.float64)
    places = (_apply(squares, grid) / extent * 2 - 1).reshape(-1, size, size, 2).to(rgb)
    finest = (
        (squares[:, :, 0].norm(dim=-1) / size).clamp_min(1).log2().floor().int().tolist()
    )  # halvings before sampling, per square
    pictures: dict[int, Tensor] = {}
    level = 0
    photo = rgb[None] - 0.5
    for index in sorted(range(len(squares)), key=lambda i: finest[i]):
        while level < finest[index] and min(photo.shape[-2:]) >= 2:
            photo = F.interpolate(photo, scale_factor=0.5, mode="bilinear", antialias=True)
            level += 1
        pictures[index] = F.grid_sample(photo, places[index : index + 1], align_corners=False)[0] + 0.5
    return torch.stack([pictures[index] for index in range(len(squares))])


def look(rgb: Tensor, squares: Tensor, network: AlignmentNetwork) -> Looks:
    """The network's landmarks in squares [K, 2, 3] of the photo."""
    parts = []
    with torch.no_grad():
        for some in squares.split(32):
            finding = network(cut(rgb, some, network.config.size))
            places, confidence = finding.landmarks()
            parts.append(
                (
                    _apply(some, places.cpu().double()),
                    confidence.cpu().double(),
                    finding.presence.cpu().double().sigmoid(),
                )
            )
    return Looks(*(torch.cat(part) for part in zip(*parts, strict=True)))


def fit_layouts(looks: Looks, layouts: Tensor) -> tuple[Tensor, Tensor]:
    """The similarity that lays the best of the layouts [Y, L, 2] over each square's landmarks, by weighted least squares.

    Returns:
        squares [K, 2, 3] (0 .. 1 of the canonical frame -> photo pixels), scores [K] in 0 .. 1.
    """
    weight = looks.confidence[:, None].clamp_min(1e-3)  # [K, 1, L]
    weight = weight / weight.sum(-1, keepdim=True)
    p, q = (
        torch.view_as_complex(looks.landmarks.contiguous())[:, None],
        torch.view_as_complex(layouts.contiguous())[None],
    )
    p_mean, q_mean = (weight * p).sum(-1, keepdim=True), (weight * q).sum(-1, keepdim=True)
    spread = (weight * (q - q_mean).abs().square()).sum(-1, keepdim=True)
    turn = (weight * (q - q_mean).conj() * (p - p_mean)).sum(-1, keepdim=True) / spread  # [K, Y, 1]
    turn = torch.where(turn.abs() < 1e-6, torch.full_like(turn, 1e-6), turn)
    residual = (weight * (p - p_mean - turn * (q - q_mean)).abs().square()).sum(-1).sqrt() / turn[
        ..., 0
    ].abs()
    frontal = layouts[len(layouts) // 2]
    misfit, best = (residual / (frontal[0] - frontal[1]).norm()).min(
        -1
    )  # from frame widths to pupils' distances
    rows = torch.arange(len(best))
    shift = (p_mean - turn * q_mean)[rows, best, 0]
    turn = turn[rows, best, 0]
    squares = torch.stack(
        [
            torch.stack([turn.real, -turn.imag, shift.real], -1),
            torch.stack([turn.imag, turn.real, shift.imag], -1),
        ],
        1,
    )
    return squares, looks.presence * looks.confidence.mean(-1).sqrt() * torch.exp(
        -(misfit / TOLERANCE).square()
    )


def _check(rgb: Tensor) -> None:
    if rgb.ndim != 3 or rgb.shape[0] != 3:
        raise ValueError(
            f"find_face: expected one photo [3, H, W], got {list(rgb.shape)}; pass the photos of a batch one by one"
        )
    if min(rgb.shape[-2:]) < 32:
        raise ValueError(
            f"find_face: expected a photo of at least 32x32 pixels, got {rgb.shape[-1]}x{rgb.shape[-2]}; choose a larger one"
        )
    if not bool(torch.isfinite(rgb).all()):
        raise ValueError(
            "find_face: expected finite colours in [0, 1], got NaN or infinite ones; check the node that made the photo"
        )


def _apply(squares: Tensor, places: Tensor) -> Tensor:
    """Places [L, 2] or [K, L, 2] in 0 .. 1 of squares [K, 2, 3] -> photo pixels [K, L, 2]."""
    return places @ squares[:, :, :2].mT + squares[:, None, :, 2]


def _upright(corner: Tensor, size: Tensor) -> Tensor:
    """Squares [K, 2, 3] with their top left corners [K, 2] and sizes [K], photo pixels."""
    return torch.cat([size[:, None, None] * torch.eye(2, dtype=size.dtype), corner[..., None]], -1)


def _sane(squares: Tensor, side: int) -> Tensor:
    """Squares around the same centres, with sizes between 16 pixels and three photos."""
    size = squares[:, :, 0].norm(dim=-1)[:, None, None]
    linear = squares[:, :, :2] * (size.clamp(16, 3 * side) / size)
    centre = squares[:, :, :2].sum(-1, keepdim=True) / 2 + squares[:, :, 2:]
    return torch.cat([linear, centre - linear.sum(-1, keepdim=True) / 2], -1)
