"""Landmarks of a face in a photo -> the canonical frame's place in it, and from where it is seen.

Photo and crop coordinates are continuous: pixel i covers i .. i + 1, its centre is i + 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..camera import FOCAL, RADIUS, orbit, project
from .network import LANDMARKS
from .points_68 import POINTS_68

# Scene units, in the order of LANDMARKS: the means of 200 people of factory 3; pupils, 0.09 apart, where corneas lie.
CANONICAL_LANDMARKS = (
    (-0.0450, 0.0000, 0.0985),
    (0.0450, 0.0000, 0.0985),
    (0.0000, -0.0458, 0.1460),
    (-0.0379, -0.0969, 0.1028),
    (0.0379, -0.0969, 0.1028),
    (0.0000, -0.1570, 0.1092),
)
# Scene units; how far a landmark lies from that along an axis: people's differences and expressions (0.001 at the pupils,
# 0.005 to 0.007 elsewhere) and about 1 % of the crop for the finding.
LANDMARK_SPREAD = (0.005, 0.005, 0.007, 0.008, 0.008, 0.009)
YAW_SPREAD, PITCH_SPREAD = math.radians(40), math.radians(15)  # of portraits: the weak prior
LANDMARKER_PRIOR = 0.25  # of its weight is left for MediaPipe's landmarks: they err less than our network's
YAW_LIMIT, PITCH_LIMIT = math.radians(75), math.radians(45)
MEDIAPIPE_INDICES = (468, 473, 1, 61, 291, 152)  # LANDMARKS among the 478 of FACE_LANDMARKS


@dataclass(frozen=True)
class FaceShape:
    """Where the landmarks of faces lie, whatever finds them.

    Attributes:
        points: [L, 3] scene units, of the mean face. spread: [L] scene units, the standard deviation along an axis of what is found
            about that.
    """

    points: Tensor
    spread: Tensor

    def __post_init__(self) -> None:
        if self.points.shape != (len(self.spread), 3) or len(self.spread) < 3 or self.spread.min() <= 0:
            raise ValueError(
                f"FaceShape: expected points [L, 3] and L positive spreads, L >= 3, got {list(self.points.shape)} and "
                f"{list(self.spread.shape)}; give one spread per landmark"
            )


SIX = FaceShape(  # the landmarks of the network that ships
    torch.tensor(CANONICAL_LANDMARKS, dtype=torch.float64),
    torch.tensor(LANDMARK_SPREAD, dtype=torch.float64),
)


_MEANS, _SPREADS = torch.tensor(POINTS_68, dtype=torch.float64).split([3, 1], dim=1)
SIXTY_EIGHT = FaceShape(_MEANS, _SPREADS[:, 0])
SHAPES = {len(shape.points): shape for shape in (SIX, SIXTY_EIGHT)}  # by how many points a network tells


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


def fit_pose(
    landmarks_xy: Tensor, weights: Tensor | None = None, *, prior: float = 1.0, shape: FaceShape = SIX
) -> Pose:
    """The camera and the crop under which the canonical landmarks fall on a photo's.

    Minimises, over yaw and pitch, squared distances in units of the shape's spread, plus prior * ((yaw / YAW_SPREAD)^2 +
    (pitch / PITCH_SPREAD)^2); the similarity photo = scale * R(roll) * crop + shift that goes with them is in closed form.

    Args:
        landmarks_xy: [L, 2] photo pixels, the order of the shape's (LANDMARKS for the network's six); NaN where unknown.
        weights: [L], >= 0, None for ones. prior: 0 for none. shape: of the landmarks.

    Raises:
        ValueError: fewer than three known landmarks, or all in one place.
    """
    from scipy.optimize import least_squares

    xy = torch.as_tensor(landmarks_xy, dtype=torch.float64).cpu()
    if xy.shape != (len(shape.points), 2):
        names = ", ".join(LANDMARKS) if len(shape.points) == len(LANDMARKS) else "one per point of the shape"
        raise ValueError(
            f"fit_pose: expected landmarks [{len(shape.points)}, 2], got {list(xy.shape)}; give {names}"
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
    points = shape.points[visible]
    spread = shape.spread[visible] * (FOCAL / RADIUS) / weights[visible].sqrt()
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


def misfit(pose: Pose, landmarks_xy: Tensor, shape: FaceShape = SIX) -> float:
    """How far landmarks lie from a face's under a pose: root mean square over them, in the shape's spreads; about 0.5 for faces.

    Args:
        landmarks_xy: [L, 2] photo pixels; NaN where unknown.
    """
    xy = torch.as_tensor(landmarks_xy, dtype=torch.float64).cpu()
    visible = xy.isfinite().all(-1)
    angles = torch.tensor([pose.yaw, pose.pitch], dtype=torch.float64)
    places = torch.view_as_real(_model(shape.points, angles)) + 0.5
    affine = pose.crop_to_photo(1)
    apart = (places @ affine[:, :2].T + affine[:, 2] - xy).norm(dim=-1) / pose.scale
    return float((apart / (shape.spread * (FOCAL / RADIUS)))[visible].square().mean().sqrt())


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


def _steps(limit: float, count: int) -> Tensor:
    return torch.linspace(-limit, limit, count, dtype=torch.float64)
