"""What speaks for a face: several measures of one place of a photo, each with its own limit, for no single score tells a face from a hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .squares import cut

RIGHT, LEFT, RIGHT_MOUTH, LEFT_MOUTH = 0, 1, 3, 4  # of `LANDMARKS`
PATCH = 12  # pixels along an eye's patch
STRIP = 72  # pixels along the square around both eyes
STRIP_SIDE = 2.4  # pupils' distances along it
ONE_COLOUR = 0.12  # range within 3 x 3 pixels, up to which they are of one colour (noise and JPEG included)
OTHER_COLOUR = 0.12  # difference in a channel from which a colour is another


@dataclass(frozen=True, kw_only=True)
class FaceLimits:
    """Up to where a place still is a face: between what faces measure (factory heads of validation seeds, photographs) and garbage does
    (bars over eyes, single eyes, hands, cloth, backs of heads). A network that learns from more than the factory may move them.

    Attributes:
        presence: least probability that the network gives a face. confidence: least mean probability that its landmarks are near
            their highest cell. boxed_confidence: the same where the cascade, which learnt otherwise, sees a face there, too.
        scatter: most that looks of other sizes and mirrored ones disagree, pupils' distances.
        misfit: most that landmarks lie off a face's, in their spreads. boxed_misfit: where the cascade sees a face, too.
        margin: least distance of the pupils from the photo's edge, pupils' distances.
        contrast: least standard deviation of luminance about an eye, in cheeks' luminance.
        band: most height of one colour across both eyes, pupils' distances.
    """

    presence: float = 0.5
    confidence: float = 0.65
    boxed_confidence: float = 0.6
    scatter: float = 0.2
    misfit: float = 2.0
    boxed_misfit: float = 2.4
    margin: float = 0.2
    contrast: float = 0.06
    band: float = 0.15

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 0:
            raise ValueError(f"FaceLimits: expected limits >= 0, got {self}; use the defaults")


FACE_LIMITS = FaceLimits()


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was measured of one place.

    Attributes:
        presence, confidence, scatter, misfit, margin, contrast, band: as the limits of `FaceLimits`.
        boxed: whether the cascade sees a face there. by_network: whether the network's landmarks are judged; else the cascade's box
            alone said where the face is, and its landmarks are the mean head's.
    """

    presence: float
    confidence: float
    scatter: float
    misfit: float
    margin: float
    contrast: float
    band: float
    boxed: bool
    by_network: bool = True

    def objection(self, limits: FaceLimits = FACE_LIMITS) -> str | None:
        """Why no head can be made of this: the middle of a sentence, after "expected "; None where nothing speaks against it."""
        return self.denial(limits) or self.flaw(limits)

    def denial(self, limits: FaceLimits = FACE_LIMITS) -> str | None:
        """Why this is no face, likewise."""
        if not self.by_network:
            return None
        confidence = limits.boxed_confidence if self.boxed else limits.confidence
        misfit = limits.boxed_misfit if self.boxed else limits.misfit
        why = None
        if self.presence < limits.presence:
            why = f"presence {self.presence:.2f}, needs {limits.presence}"
        elif self.confidence < confidence:
            why = f"landmarks sure to {self.confidence:.2f}, needs {confidence}"
        elif self.scatter > limits.scatter:
            why = f"landmarks move by {self.scatter:.2f} pupils' distances from look to look, at most {limits.scatter}"
        elif self.misfit > misfit:
            why = f"landmarks are {self.misfit:.1f} spreads off a face's, at most {misfit}"
        return why and f"a photo with a visible face, found none ({why})"

    def flaw(self, limits: FaceLimits = FACE_LIMITS) -> str | None:
        """Why this face will not do, likewise."""
        if self.margin < limits.margin:
            place = "outside the photo" if self.margin < 0 else "at its very edge"
            return f"both eyes well inside the photo, got one {place}"
        if self.band > limits.band:
            return f"two visible eyes, got a bar of one colour across them, {self.band:.2f} pupils' distances high"
        if self.contrast < limits.contrast:
            return f"two visible eyes, got one that is covered or blank (contrast {self.contrast:.2f}, needs {limits.contrast})"
        return None


def margin_of(landmarks: Tensor, height: int, width: int) -> float:
    """Distance of the pupils from the edge of a photo, in pupils' distances, the lesser; negative outside.

    Args:
        landmarks: [L, 2] photo pixels, in the order of `LANDMARKS`.
    """
    pupils = landmarks[[RIGHT, LEFT]]
    extent = torch.tensor([width, height], dtype=pupils.dtype)
    return float(
        torch.minimum(pupils, extent - pupils).min() / (pupils[0] - pupils[1]).norm().clamp_min(1e-6)
    )


def contrast_of(rgb: Tensor, landmarks: Tensor) -> float:
    """Standard deviation of luminance within a quarter of the pupils' distance about an eye, in the cheeks' luminance; the flatter eye's.

    Args:
        rgb: [3, H, W] sRGB in 0..1. landmarks: [L, 2] photo pixels, in the order of `LANDMARKS`.
    """
    axis = landmarks[LEFT] - landmarks[RIGHT]
    contrasts = []
    for eye, cheek in zip((RIGHT, LEFT), cheeks(rgb, landmarks, 0.5), strict=True):
        patch = luminance(_square(rgb, landmarks[eye], 0.5 * axis, PATCH))
        contrasts.append(float(patch.std() / luminance(cheek).mean().clamp_min(0.05)))
    return min(contrasts)


def cheeks(rgb: Tensor, landmarks: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Patches [3, n, n] of the right and left cheek, `share` of the way from the eye to the mouth's corner."""
    axis = landmarks[LEFT] - landmarks[RIGHT]
    right, left = (
        _square(rgb, torch.lerp(landmarks[eye], landmarks[mouth], share), 0.3 * axis, PATCH)
        for eye, mouth in ((RIGHT, RIGHT_MOUTH), (LEFT, LEFT_MOUTH))
    )
    return right, left


def band_of(rgb: Tensor, landmarks: Tensor) -> float:
    """Height of a bar across the eyes, in pupils' distances; 0 where there is none.

    A bar is one piece of one colour, not that of a cheek, as wide as the pupils are apart and longer than high, that fills its own box
    and ends abruptly. Lids, irises and frames of glasses make no such piece. It is looked for around the eyes, for a network that
    cannot see them puts them above or below it.

    Args:
        rgb: [3, H, W] sRGB in 0..1. landmarks: [L, 2] photo pixels, in the order of `LANDMARKS`.
    """
    axis = landmarks[LEFT] - landmarks[RIGHT]
    middle = (landmarks[RIGHT] + landmarks[LEFT]) / 2
    strip = _square(rgb, middle, STRIP_SIDE * axis, STRIP)[None]
    inside = _square(torch.ones_like(rgb[:1]), middle, STRIP_SIDE * axis, STRIP)[0] > 0.95
    largest, least = F.max_pool2d(strip, 3, 1, 1), -F.max_pool2d(-strip, 3, 1, 1)
    pieces = labels(((largest - least).amax((0, 1)) < ONE_COLOUR) & inside)
    skin = [cheek.mean((1, 2)) for cheek in cheeks(rgb, landmarks, 0.7)]
    heights = [0.0]
    for number in range(1, int(pieces.max()) + 1):
        piece = pieces == number
        colour = strip[0, :, piece].mean(1)
        if min(float((colour - cheek).abs().max()) for cheek in skin) > OTHER_COLOUR:
            heights.append(bar_height(piece, strip[0], inside))
    return max(heights) * STRIP_SIDE / STRIP


def bar_height(piece: Tensor, strip: Tensor, inside: Tensor) -> float:
    """Pixels along the shorter side of a piece that is a bar in the middle of a strip, else 0.

    Args:
        piece: bool [n, n]. strip: [3, n, n] in 0..1, the pupils n / STRIP_SIDE apart in the middle. inside: bool [n, n], the photo.
    """
    distance = STRIP / STRIP_SIDE
    places = piece.nonzero().double()
    if len(places) < 0.1 * distance**2:
        return 0.0
    away = places.mean(0) - STRIP / 2
    variances = torch.linalg.eigvalsh((places - places.mean(0)).T @ (places - places.mean(0)) / len(places))
    height, width = (12 * variances).clamp_min(0).sqrt().tolist()  # of the rectangle with these variances
    fullness = len(places) / max(height * width, 1e-6)
    in_the_middle = abs(float(away[0])) < 0.8 * distance and abs(float(away[1])) < 0.5 * distance
    if not in_the_middle or width < 0.9 * distance or height > width / 1.3 or fullness < 0.9:
        return 0.0
    colour = strip[:, piece].mean(1)
    grown = F.max_pool2d(piece[None, None].float(), 7, 1, 3)[0, 0] > 0
    rim = grown & ~(F.max_pool2d(piece[None, None].float(), 5, 1, 2)[0, 0] > 0) & inside
    abrupt = (strip[:, rim] - colour[:, None]).abs().amax(0) > OTHER_COLOUR
    return height if bool(rim.any()) and float(abrupt.float().mean()) > 0.8 else 0.0


def labels(mask: Tensor) -> Tensor:
    """Connected pieces of a boolean mask [H, W], numbered from 1; 0 elsewhere.

    Raises:
        ImportError: without scikit-image.
    """
    try:
        from skimage.measure import label
    except ImportError as error:
        raise ImportError(
            "find_face needs the package scikit-image; install it with pip install scikit-image"
        ) from error
    pieces = np.asarray(label(mask.cpu().numpy(), connectivity=1), dtype=np.int64)
    return torch.from_numpy(pieces).to(mask.device)


def luminance(patch: Tensor) -> Tensor:
    """sRGB [3, n, n] -> its Rec. 709 weighted sum [n, n], which is luma."""
    return torch.einsum("chw,c->hw", patch, patch.new_tensor([0.2126, 0.7152, 0.0722]))


def _square(rgb: Tensor, middle: Tensor, axis: Tensor, size: int) -> Tensor:
    """[3, size, size] around a place [2] of the photo, its x axis and side those of axis [2]."""
    turn = torch.stack([torch.stack([axis[0], -axis[1]]), torch.stack([axis[1], axis[0]])])
    return cut(rgb, torch.cat([turn, (middle - turn.sum(-1) / 2)[:, None]], -1)[None], size)[0]
