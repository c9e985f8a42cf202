"""Any photo -> the crop that head priors expect, with its foreground mask and camera.

Photo and crop coordinates are continuous: pixel i covers i .. i + 1, its centre is i + 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from ..camera import FOCAL, RADIUS, Camera, orbit, project
from . import detection, matting
from .network import LANDMARKS, AlignmentNetwork

# Scene units; the mean of the factory's `landmarks`, in the order of LANDMARKS.
CANONICAL_LANDMARKS = (
    (-0.0450, 0.0000, 0.0985),
    (0.0450, 0.0000, 0.0985),
    (0.0000, -0.0501, 0.1416),
    (-0.0313, -0.0929, 0.1057),
    (0.0313, -0.0929, 0.1057),
    (0.0000, -0.1457, 0.1008),
)
# Scene units; how far a landmark lies from that: the factory's differences between people (0.003 - 0.005), plus about
# 1 % of the crop for the finding, plus smiles (mouth corners) and open mouths and long chins, which the factory lacks.
LANDMARK_SPREAD = (0.005, 0.005, 0.006, 0.010, 0.010, 0.015)
YAW_SPREAD, PITCH_SPREAD = math.radians(40), math.radians(15)  # of portraits: the weak prior
LANDMARKER_PRIOR = (
    0.25  # of its weight is left where MediaPipe found the landmarks: it errs less than our network
)
YAW_LIMIT, PITCH_LIMIT = math.radians(75), math.radians(45)
MEDIAPIPE_INDICES = (468, 473, 1, 61, 291, 152)  # LANDMARKS among the 478 of FACE_LANDMARKS
MIN_SIDE = 32  # pixels of the smallest photo
MIN_FOREGROUND = 0.005  # share of the crop


@dataclass(frozen=True)
class ManualCrop:
    """A crop and camera set by hand.

    Attributes:
        x, y: the crop's centre, as shares of the photo's width and height. size: its side, as a share of the photo's shorter one.
        yaw, pitch: radians, of the camera.
    """

    x: float
    y: float
    size: float
    yaw: float = 0.0
    pitch: float = 0.0

    def __post_init__(self) -> None:
        values = (self.x, self.y, self.size, self.yaw, self.pitch)
        if not all(math.isfinite(value) for value in values) or self.size <= 0:
            raise ValueError(
                f"ManualCrop: expected finite numbers and a size above 0, got {values}; set them within the photo"
            )


@dataclass(frozen=True)
class AlignedPortrait:
    """A portrait in the canonical frame.

    Attributes:
        image: [3, S, S] sRGB with the photo's own background; white outside the photo.
        mask: [1, S, S] foreground in 0..1; 0 outside the photo.
        camera: unbatched.
        crop_to_photo: [2, 3] float64 on the CPU; crop pixels (x, y, 1) -> photo pixels.
        photo_size: (H, W) pixels.
    """

    image: Tensor
    mask: Tensor
    camera: Camera
    crop_to_photo: Tensor
    photo_size: tuple[int, int]

    def on_white(self) -> Tensor:
        """The person [3, S, S] without the background."""
        return self.image * self.mask + (1 - self.mask)

    def to(self, *args) -> AlignedPortrait:
        """As `Tensor.to`, for image, mask and camera."""
        return replace(
            self, image=self.image.to(*args), mask=self.mask.to(*args), camera=self.camera.to(*args)
        )


def uncropped(image: Tensor, mask: Tensor, camera: Camera) -> AlignedPortrait:
    """A view that is in the canonical frame already, as an aligned portrait whose crop is the photo itself.

    Args:
        image: [3, S, S] in [0, 1]. mask: [1, S, S]. camera: unbatched.
    """
    size = image.shape[-1]
    return AlignedPortrait(image, mask, camera, torch.eye(2, 3, dtype=torch.float64), (size, size))


@dataclass(frozen=True)
class Pose:
    """Where the canonical frame lies in a photo, and from where it is seen.

    Attributes:
        scale: photo pixels per crop width. shift: [2] float64, the crop's centre in photo pixels.
        roll: radians; the crop's x axis in the photo, positive towards +y (clockwise as seen).
        yaw, pitch: radians, of the camera.
    """

    scale: float
    shift: Tensor
    roll: float
    yaw: float
    pitch: float

    def crop_to_photo(self, size: int) -> Tensor:
        """[2, 3] float64: pixels (x, y, 1) of a crop of size x size -> photo pixels."""
        cos, sin = math.cos(self.roll), math.sin(self.roll)
        turn = self.scale / size * torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
        return torch.cat(
            [turn, (self.shift - turn @ torch.full((2,), size / 2, dtype=torch.float64))[:, None]], dim=1
        )


def align(
    rgb: Tensor,
    *,
    network: AlignmentNetwork,
    size: int = 256,
    alpha: Tensor | None = None,
    mask: Tensor | None = None,
    landmarks: Mapping | None = None,
    crop: ManualCrop | None = None,
) -> AlignedPortrait:
    """Crop, mask and camera of one person in a photo.

    Where the face is: `crop`, else `landmarks`, else the network. What the person is: `mask`, else an `alpha` with both
    transparent and opaque pixels, else the network.

    Args:
        rgb: [3, H, W] sRGB in 0..1, at least MIN_SIDE along a side.
        network: finds faces and mattes crops; unused where the other arguments say both.
        size: S, pixels of the crop.
        alpha, mask: [1, H, W] in 0..1, 1 on the person; an inverted mask is noticed and turned round.
        landmarks: one face of core's FACE_LANDMARKS, on this photo.

    Raises:
        ValueError: no face; a photo, mask or landmarks out of shape or not finite; no foreground in the crop.
    """
    _check_photo(rgb)
    if size < MIN_SIDE:
        raise ValueError(
            f"align: expected a crop of at least {MIN_SIDE} pixels, got {size}; choose a larger size"
        )
    rgb = rgb.float().clamp(0, 1)
    alpha, mask = (_same_size(name, plane, rgb) for name, plane in (("alpha", alpha), ("mask", mask)))
    if alpha is not None and not bool((alpha < 0.5).any() and (alpha > 0.5).any()):
        alpha = None
    if alpha is not None:
        rgb = rgb * alpha + (1 - alpha)

    pose = _pose(rgb, network, landmarks, crop)
    crop_to_photo = pose.crop_to_photo(size)
    camera = orbit(torch.tensor(pose.yaw), torch.tensor(pose.pitch)).to(rgb)
    planes = [plane for plane in (alpha, mask) if plane is not None]
    crops, inside = resample(torch.cat([rgb, *planes]), crop_to_photo, size)
    image = crops[:3] if alpha is None else _without_white(crops[:3], crops[3:4])
    image = image * inside + (1 - inside)
    if mask is not None:
        foreground = _upright_mask(crops[-1:] * inside, inside, camera)
    elif alpha is not None:
        foreground = crops[3:4] * inside
    else:
        foreground = matting.foreground(image, network, camera) * inside
    _check_foreground(foreground, "mask" if mask is not None else "alpha" if alpha is not None else "network")
    return AlignedPortrait(image, foreground, camera, crop_to_photo, (rgb.shape[1], rgb.shape[2]))


def fit_pose(landmarks_xy: Tensor, weights: Tensor | None = None, *, prior: float = 1.0) -> Pose:
    """The camera and the crop under which the canonical landmarks fall on a photo's.

    Minimises, over yaw and pitch, squared distances in units of LANDMARK_SPREAD, plus prior * ((yaw / YAW_SPREAD)^2 +
    (pitch / PITCH_SPREAD)^2); the similarity photo = scale * R(roll) * crop + shift that goes with them is in closed form.

    Args:
        landmarks_xy: [6, 2] photo pixels, the order of LANDMARKS; NaN where unknown.
        weights: [6], >= 0, None for ones. prior: 0 for none.

    Raises:
        ValueError: fewer than three known landmarks, or all in one place.
    """
    from scipy.optimize import least_squares

    xy = torch.as_tensor(landmarks_xy, dtype=torch.float64).cpu()
    if xy.shape != (len(LANDMARKS), 2):
        names = ", ".join(LANDMARKS)
        raise ValueError(
            f"fit_pose: expected landmarks [{len(LANDMARKS)}, 2], got {list(xy.shape)}; give {names}"
        )
    weights = (
        torch.ones(len(xy), dtype=torch.float64)
        if weights is None
        else torch.as_tensor(weights, dtype=torch.float64).cpu()
    )
    visible = xy.isfinite().all(-1) & (weights > 0)
    if visible.sum() < 3:
        raise ValueError(
            f"fit_pose: expected at least 3 known landmarks, got {int(visible.sum())}; set the crop by hand"
        )
    photo = torch.complex(*xy[visible].unbind(-1))
    points = torch.tensor(CANONICAL_LANDMARKS, dtype=torch.float64)[visible]
    spread = (
        torch.tensor(LANDMARK_SPREAD, dtype=torch.float64)[visible]
        * (FOCAL / RADIUS)
        / weights[visible].sqrt()
    )
    frontal = _model(points, torch.zeros(1, 2, dtype=torch.float64))[0]
    unit = (photo - photo.mean()).abs().norm() / (
        frontal - frontal.mean()
    ).abs().norm()  # about photo pixels per crop width
    if unit < 1e-6:
        raise ValueError(
            "fit_pose: expected the landmarks of a face, got all in one place; set the crop by hand"
        )
    prior_spread = torch.tensor([YAW_SPREAD, PITCH_SPREAD], dtype=torch.float64) / max(prior, 1e-12) ** 0.5

    def residuals(angles: Tensor) -> Tensor:
        """angles [..., 2] -> [..., 2 N + 2], each in its standard deviations."""
        model = _model(points, angles)
        a, b = _similarity(model, photo, spread**-2)
        apart = torch.view_as_real((photo - a * model - b) / (unit * spread)).flatten(-2)
        return torch.cat([apart, angles / prior_spread], dim=-1)

    grid = torch.cartesian_prod(
        _steps(YAW_LIMIT, 16), _steps(PITCH_LIMIT, 10)
    )  # even: scipy's first step is as long as the start
    start = grid[residuals(grid).square().sum(-1).argmin()]
    limits = np.array([YAW_LIMIT, PITCH_LIMIT])
    fit = least_squares(
        lambda angles: residuals(torch.from_numpy(angles)).numpy(),
        start.numpy(),
        bounds=(-limits, limits),
        xtol=1e-10,
        ftol=1e-12,
    )
    angles = torch.from_numpy(fit.x)
    a, b = (value.squeeze() for value in _similarity(_model(points, angles), photo, spread**-2))
    return Pose(float(a.abs()), torch.view_as_real(b), float(a.angle()), float(angles[0]), float(angles[1]))


def landmarks_of(face: Mapping) -> Tensor:
    """One face of core's FACE_LANDMARKS -> [6, 2] float64 photo pixels, the order of LANDMARKS.

    Raises:
        ValueError: not one face with the 478 points that include the irises.
    """
    if not isinstance(face, Mapping) or "landmarks_xy" not in face:
        content = (
            f"the keys {', '.join(map(str, face)) or 'none'}"
            if isinstance(face, Mapping)
            else f"a {type(face).__name__}"
        )
        raise ValueError(
            f"face landmarks: expected one face with `landmarks_xy`, got {content}; wire MediaPipe Face Landmarker's output"
        )
    try:
        points = torch.as_tensor(np.asarray(face["landmarks_xy"], dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"face landmarks: expected numbers in `landmarks_xy`, got something else ({error}); run the landmarker again"
        ) from error
    if points.ndim != 2 or points.shape[0] <= max(MEDIAPIPE_INDICES) or points.shape[1] != 2:
        raise ValueError(
            f"face landmarks: expected `landmarks_xy` [478, 2], got {list(points.shape)}; run the landmarker again"
        )
    points = points[list(MEDIAPIPE_INDICES)]
    if not points.isfinite().all():
        raise ValueError(
            "face landmarks: expected finite pixels, got NaN or infinity; run the landmarker again or set the crop by hand"
        )
    return points


def resample(values: Tensor, crop_to_photo: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """A square cut out of a photo, antialiased: shrunk by area first where the crop is coarser, then bicubic.

    Args:
        values: [C, H, W] in 0..1. crop_to_photo: [2, 3] similarity, pixels to pixels.

    Returns:
        crop [C, size, size] in 0..1, the photo's border repeated outside it; inside [1, size, size], 1 within the photo and
        0 outside.
    """
    height, width = values.shape[-2:]
    step = float(crop_to_photo[:, 0].norm())  # photo pixels per crop pixel
    centres = torch.arange(size, dtype=torch.float64) + 0.5
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)
    xy = grid @ crop_to_photo[:, :2].T + crop_to_photo[:, 2]  # [S, S, 2] photo pixels
    extent = torch.tensor([width, height], dtype=torch.float64)
    inside = (torch.minimum(xy, extent - xy).amin(-1) / step + 0.5).clamp(0, 1)[None].to(values)

    margin = 4 * step + 4
    left, right = _reach(xy[..., 0], margin, width)
    top, bottom = _reach(xy[..., 1], margin, height)
    part = values[None, :, top:bottom, left:right]
    across = torch.tensor([right - left, bottom - top], dtype=torch.float64)
    if step > 1:
        smaller = tuple(max(1, round(side / step)) for side in part.shape[-2:])
        part = interpolate(part, size=smaller, mode="bicubic", antialias=True, align_corners=False)
    where = 2 * (xy - torch.tensor([left, top], dtype=torch.float64)) / across - 1
    crop = grid_sample(
        part, where[None].to(values), mode="bicubic", padding_mode="border", align_corners=False
    )[0]
    return crop.clamp(0, 1), inside


def _pose(rgb: Tensor, network: AlignmentNetwork, landmarks: Mapping | None, crop: ManualCrop | None) -> Pose:
    """Where the face is, from the first source that knows."""
    height, width = rgb.shape[-2:]
    if crop is not None:
        centre = torch.tensor([crop.x * width, crop.y * height], dtype=torch.float64)
        return Pose(crop.size * min(height, width), centre, 0.0, crop.yaw, crop.pitch)
    if landmarks is not None:
        return fit_pose(landmarks_of(landmarks), prior=LANDMARKER_PRIOR)
    return fit_pose(detection.find_face(rgb, network).landmarks)


def _model(points: Tensor, angles: Tensor) -> Tensor:
    """Points [N, 3] seen from yaw and pitch [..., 2]: complex [..., N], crop widths from the crop's centre, y down."""
    image, _ = project(orbit(*angles.unbind(-1)), points)
    return torch.view_as_complex((image - 0.5).contiguous())


def _similarity(model: Tensor, photo: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The a and b [..., 1] of photo = a * model + b in weighted least squares; |a| is its scale, its angle the roll."""
    weights = weights / weights.sum()
    model_mean, photo_mean = (weights * model).sum(-1, keepdim=True), (weights * photo).sum(-1, keepdim=True)
    model_apart, photo_apart = model - model_mean, photo - photo_mean
    a = (weights * model_apart.conj() * photo_apart).sum(-1, keepdim=True) / (
        weights * model_apart.abs().square()
    ).sum(-1, keepdim=True)
    return a, photo_mean - a * model_mean


def _reach(places: Tensor, margin: float, side: int) -> tuple[int, int]:
    """First and last + 1 of the pixels 0 .. side - 1 that matter to places and a margin around them; at least one."""
    start = min(max(int(float(places.min()) - margin), 0), side - 1)
    return start, min(max(int(float(places.max()) + margin) + 1, start + 1), side)


def _steps(limit: float, count: int) -> Tensor:
    return torch.linspace(-limit, limit, count, dtype=torch.float64)


def _without_white(composite: Tensor, alpha: Tensor) -> Tensor:
    """Colours [3, S, S] of what lies in front of white with alpha [1, S, S]; white where nothing does."""
    return torch.where(alpha > 0.02, (1 - (1 - composite) / alpha.clamp_min(0.02)).clamp(0, 1), 1.0)


def _upright_mask(mask: Tensor, inside: Tensor, camera: Camera) -> Tensor:
    """The mask [1, S, S] of a crop, turned round where it is 1 around the head and 0 on the face."""
    size = mask.shape[-1]
    centres = (torch.arange(size, dtype=mask.dtype, device=mask.device) + 0.5) / size
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    middle = project(camera, torch.tensor(CANONICAL_LANDMARKS).to(mask))[0].mean(0)
    face = (torch.hypot(x - middle[0], y - middle[1]) < 0.1)[None] & (inside > 0.5)
    around = ((torch.hypot(x - 0.5, y - 0.5) > 0.35) & (y < 0.5))[None] & (inside > 0.5)
    is_inverse = bool(face.any() and around.any()) and bool(mask[face].mean() < 0.5 < mask[around].mean())
    return inside - mask if is_inverse else mask


def _check_photo(rgb: Tensor) -> None:
    """ValueError unless rgb is a photo that can be aligned."""
    if rgb.ndim != 3 or rgb.shape[0] != 3 or not rgb.is_floating_point():
        raise ValueError(
            f"align: expected one photo [3, H, W] of floating-point numbers in 0..1, got {rgb.dtype} {list(rgb.shape)}; convert it to RGB"
        )
    if min(rgb.shape[-2:]) < MIN_SIDE:
        raise ValueError(
            f"align: expected a photo of at least {MIN_SIDE}x{MIN_SIDE} pixels, got {rgb.shape[2]}x{rgb.shape[1]}; use a larger photo"
        )
    if not rgb.isfinite().all():
        raise ValueError(
            "align: expected finite colours, got NaN or infinity in the photo; check the node or file that made it"
        )


def _same_size(name: str, plane: Tensor | None, rgb: Tensor) -> Tensor | None:
    """An optional [1, H, W] of the photo, checked, as its dtype."""
    if plane is None:
        return None
    if plane.shape != (1, *rgb.shape[-2:]):
        shape = [1, *rgb.shape[-2:]]
        raise ValueError(
            f"align: expected the {name} {shape} like the photo, got {list(plane.shape)}; resize it to the photo"
        )
    if not plane.isfinite().all():
        raise ValueError(
            f"align: expected finite numbers in the {name}, got NaN or infinity; check what made it"
        )
    return plane.to(rgb).clamp(0, 1)


def _check_foreground(foreground: Tensor, source: str) -> None:
    """ValueError for a crop without a person in it."""
    share = float(foreground.mean())
    if share < MIN_FOREGROUND:
        remedy = {
            "mask": "the person must be 1 in the mask: wire another, or none",
            "alpha": "the person must be opaque: use a photo without transparency, or wire a mask",
            "network": "move the crop to the person, or wire a mask",
        }[source]
        raise ValueError(
            f"align: expected a person in the crop, got {share:.1%} foreground by the {source}; {remedy}"
        )
