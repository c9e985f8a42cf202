"""Where the face is in a photo: candidates, looked at again and again until their landmarks lie as a face's do."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..camera import orbit, project
from .cascade import box_squares, boxed, cascade_boxes, confirmed
from .evidence import Evidence, FaceLimits, band_of, contrast_of, margin_of
from .mean_head import mean_head
from .network import MIRRORED, AlignmentNetwork
from .pose import SHAPES, Pose, fit_pose, misfit
from .squares import apply, cut, sane, upright

CANDIDATES = 6  # are looked at again
SMALLEST = 0.40  # of the photo's shorter side: canonical frames believed without a cascade's box
SMALLEST_BOXED = 0.12  # and with one
TRUSTED = 0.5  # the score of a face that the cascade alone sees
SURE = 0.8  # from which on no further search is made
GLANCE = 0.3  # the score at first sight from which on a place is looked at again for another person
MOST_OTHERS = 4  # people beside the first, per kind of proposal
TURNED_LIMITS = FaceLimits(confidence=0.85, boxed_confidence=0.72, scatter=0.12, misfit=1.5, boxed_misfit=1.8)
TOLERANCE = 0.35  # of the pupils' distance: misfit to the layout of a face at which a candidate's score falls to 1 / e


@dataclass(frozen=True)
class Detection:
    """A face in a photo.

    Attributes:
        landmarks: [6, 2] float64 (x, y) in the order of `LANDMARKS`, photo pixels counted from the photo's top left corner
            (the first pixel's centre is at 0.5).
        score: by which places of one photo are compared, in 0 .. 1. evidence: by which a place is judged.
        quarter_turns: of the photo, counterclockwise, after which the face was found; the landmarks are the unturned photo's.
        points: [L, 2] all that the network tells, likewise; None of a face that it does not see.
    """

    landmarks: Tensor
    score: float
    evidence: Evidence
    quarter_turns: int = 0
    points: Tensor | None = None

    def pose(self) -> Pose:
        """Where the canonical frame lies, by all points there are."""
        points = self.landmarks if self.points is None else self.points
        return fit_pose(points, shape=SHAPES[len(points)])


@dataclass(frozen=True)
class Looks:
    """What the network saw in K squares.

    Attributes:
        landmarks: [K, L, 2] in photo pixels. confidence: [K, L] of them. presence: [K] of a face.
        scatter: [K] pupils' distances by which the looks that these are the median of disagree; None for single ones.
        points: [K, P, 2] all that the network tells, in photo pixels.
    """

    points: Tensor
    landmarks: Tensor
    confidence: Tensor
    presence: Tensor
    scatter: Tensor | None = None


def find_face(rgb: Tensor, network: AlignmentNetwork) -> Detection:
    """The most prominent face of an upright photo.

    Args:
        rgb: [3, H, W] sRGB in [0, 1].

    Raises:
        ValueError: for a picture that is none, or without a face.
    """
    return find_people(rgb, network, turns=False)[0]


def find_people(rgb: Tensor, network: AlignmentNetwork, *, turns: bool = True) -> list[Detection]:
    """The faces of a photo, the most prominent first: large, in the middle, and sure.

    Where the network sees no face, but the cascade firmly does, the landmarks are the mean head's inside the cascade's box. Where neither
    sees one, the photo is looked at after each quarter turn, for cameras that did not say how they were held.

    Args:
        rgb: [3, H, W] sRGB in [0, 1]. turns: whether quarter turns are tried.

    Raises:
        ValueError: for a picture that is none, without a face, or whose eyes are outside it or covered.
    """
    _check(rgb)
    boxes = cascade_boxes(rgb)
    places = search(rgb, network, boxes)
    faces = [place for place in places if place.evidence.objection() is None]
    faces = faces or boxed_faces(rgb, boxes)
    if not faces and turns and places[0].evidence.denial() is not None:
        faces = turned_faces(rgb, network)
    if not faces:
        remedy = (
            "use a photo in which both eyes are visible, or set the crop by hand"
            if places[0].evidence.denial() is None
            else "crop closer, wire FACE_LANDMARKS, or set the crop by hand"
        )
        raise ValueError(f"find_face: expected {places[0].evidence.objection()}; {remedy}")
    return sorted(
        faces, key=lambda face: face.score * prominence(face.landmarks, *rgb.shape[-2:]), reverse=True
    )


def prominence(landmarks: Tensor, height: int, width: int) -> float:
    """The size of landmarks [L, 2] (photo pixels); in a corner of the photo half of that: how likely the photo is of that person."""
    away = landmarks.mean(0) - torch.tensor([width, height], dtype=landmarks.dtype) / 2
    return extent_of(landmarks) * (1 - float(away.norm()) / math.hypot(width, height))


def near(a: Tensor, b: Tensor) -> bool:
    """Whether landmarks [L, 2] and [L, 2] are one face's."""
    apart = float((a.mean(0) - b.mean(0)).norm())
    return apart < 1.5 * max(extent_of(a), extent_of(b))


def extent_of(landmarks: Tensor) -> float:
    """Root mean square distance of landmarks [L, 2] from their mean: of a face about a seventh of the canonical frame's width."""
    return float((landmarks - landmarks.mean(0)).square().sum(-1).mean().sqrt())


def search(rgb: Tensor, network: AlignmentNetwork, boxes: Tensor) -> list[Detection]:
    """The most face-like places of a photo, the best first; at least one, be it a face or not.

    scikit-image's face cascade proposes squares, and if none of them convinces, a grid of windows does. The network finds landmarks
    in each; the best squares are cut anew around their landmarks and looked at twice more. What counts is presence x confidence of the
    landmarks x how well they fit the layout of a head. Then the same in what is left of the photo, for other people.

    Args:
        rgb: [3, H, W]. boxes: [N, 3] of the cascade.
    """
    layouts = standard_layouts()
    shorter = min(rgb.shape[-2:])
    proposals = (
        (box_squares(boxes), SMALLEST_BOXED * shorter),
        (windows(*rgb.shape[-2:]), SMALLEST * shorter),
    )
    places: list[Detection] = []
    for squares, least in proposals:
        if len(squares) and not (places and places[0].score >= SURE):
            places.append(refine(rgb, squares, network, layouts, boxes, least))
            places.sort(key=lambda place: -place.score)
    for squares, least in proposals:
        places += others(rgb, squares, network, layouts, boxes, least, places[0].landmarks)
    return distinct(places)


def others(
    rgb: Tensor,
    squares: Tensor,
    network: AlignmentNetwork,
    layouts: Tensor,
    boxes: Tensor,
    least: float,
    first: Tensor,
) -> list[Detection]:
    """Places other than that of the landmarks `first` [L, 2], to which squares [K, 2, 3] lead; arguments as those of `refine`."""
    if not len(squares):
        return []
    looks = look(rgb, sane(squares, max(rgb.shape[-2:])), network)
    squares, scores = fit_layouts(looks, layouts)
    places: list[Detection] = []
    neighbours = [first]
    for index in scores.argsort(descending=True).tolist():
        if float(scores[index]) < GLANCE or len(places) == MOST_OTHERS:
            break
        landmarks = looks.landmarks[index]
        if not any(near(landmarks, other) for other in neighbours):
            places.append(refine(rgb, squares[index : index + 1], network, layouts, boxes, least))
            neighbours += [landmarks, places[-1].landmarks]
    return places


def distinct(places: list[Detection]) -> list[Detection]:
    """Places without those that are near a better one, the best first."""
    best: list[Detection] = []
    for place in sorted(places, key=lambda place: -place.score):
        if not any(near(place.landmarks, other.landmarks) for other in best):
            best.append(place)
    return best


def boxed_faces(rgb: Tensor, boxes: Tensor) -> list[Detection]:
    """Faces that the cascade alone firmly sees; boxes: [N, 3], of which the widest are asked."""
    layouts = standard_layouts()
    for box in boxes[:4]:
        landmarks = apply(box_squares(box[None]), layouts[len(layouts) // 2])[0]
        evidence = replace(_evidence_of_eyes(rgb, landmarks), boxed=True, by_network=False)
        if evidence.objection() is None and confirmed(rgb, box):
            return [Detection(landmarks, TRUSTED, evidence)]
    return []


def turned_faces(rgb: Tensor, network: AlignmentNetwork) -> list[Detection]:
    """Faces that stand upright after one to three quarter turns, by stricter limits, for there are three more places to err in."""
    best: list[Detection] = []
    for turns in (1, 2, 3):
        photo = rgb.rot90(turns, (1, 2))
        places = search(photo, network, cascade_boxes(photo))
        faces = [place for place in places if place.evidence.objection(TURNED_LIMITS) is None]
        if faces and (not best or faces[0].score > best[0].score):
            best = [
                replace(
                    face,
                    landmarks=unturned(face.landmarks, turns, *rgb.shape[-2:]),
                    points=None if face.points is None else unturned(face.points, turns, *rgb.shape[-2:]),
                    quarter_turns=turns,
                )
                for face in faces
            ]
    return best


def unturned(places: Tensor, turns: int, height: int, width: int) -> Tensor:
    """Places [N, 2] in a photo that was turned counterclockwise `turns` quarter turns -> those in the photo of height and width."""
    x, y = places.unbind(-1)
    for turn in range(turns):
        side = width if (turns - turn) % 2 else height  # across the photo that one turn less gives
        x, y = side - y, x
    return torch.stack([x, y], -1)


def evidence_of(rgb: Tensor, looks: Looks, boxes: Tensor, square: Tensor) -> Evidence:
    """What was measured of the place of one settled look.

    Args:
        rgb: [3, H, W]. boxes: [N, 3] of the cascade. square: [2, 3], the canonical frame there.
    """
    landmarks = looks.landmarks[0]
    eyes = _evidence_of_eyes(rgb, landmarks)
    return replace(
        eyes,
        presence=float(looks.presence),
        confidence=float(looks.confidence.mean()),
        scatter=0.0 if looks.scatter is None else float(looks.scatter),
        misfit=misfit(fit_pose(landmarks), landmarks) if extent_of(landmarks) > 1e-3 else math.inf,
        boxed=boxed(boxes, square),
    )


def _evidence_of_eyes(rgb: Tensor, landmarks: Tensor) -> Evidence:
    """What the eyes alone tell, [6, 2]; the rest as of a face."""
    height, width = rgb.shape[-2:]
    return Evidence(
        presence=1.0,
        confidence=1.0,
        scatter=0.0,
        misfit=0.0,
        margin=margin_of(landmarks, height, width),
        contrast=contrast_of(rgb, landmarks),
        band=band_of(rgb, landmarks),
        boxed=False,
    )


def refine(
    rgb: Tensor, squares: Tensor, network: AlignmentNetwork, layouts: Tensor, boxes: Tensor, least: float
) -> Detection:
    """The best of squares [K, 2, 3] after looking at all once, and twice more at the best of them cut anew around their landmarks.

    Canonical frames narrower than `least` pixels score nothing.

    Args:
        rgb: [3, H, W]. layouts: [Y, L, 2]. boxes: [N, 3] of the cascade.
    """
    squares, score = fit_layouts(look(rgb, squares, network), layouts)
    squares = squares[score.topk(min(CANDIDATES, len(score))).indices]
    candidates = []
    for _ in range(2):
        looks = look(rgb, sane(squares, max(rgb.shape[-2:])), network)
        squares, score = fit_layouts(looks, layouts)
        score = score * (squares[:, :, 0].norm(dim=-1) >= least)
        candidates += [(float(s), square) for s, square in zip(score, squares, strict=True)]
    highest, square = max(candidates, key=lambda pair: pair[0])
    median = settle(rgb, sane(square[None], max(rgb.shape[-2:])), network)
    frames, score = fit_layouts(median, layouts)
    evidence = evidence_of(rgb, median, boxes, frames[0])
    return Detection(median.landmarks[0], min(highest, float(score)), evidence, points=median.points[0])


def settle(rgb: Tensor, square: Tensor, network: AlignmentNetwork) -> Looks:
    """One look [1] for a square [1, 2, 3]: the median landmarks and means over three sizes of it, each as it is and mirrored."""
    middle = torch.tensor([[0.5, 0.5]], dtype=square.dtype)
    views = []
    for scale in (0.85, 1.0, 1.2):
        for mirror in (1, -1):
            linear = square[:, :, :2] * (scale * torch.tensor([mirror, 1], dtype=square.dtype))
            views.append(torch.cat([linear, (apply(square, middle) - middle @ linear.mT).mT], -1))
    looks = look(rgb, torch.cat(views), network)
    for values in (looks.points, looks.landmarks, looks.confidence):
        values[1::2] = values[1::2, list(MIRRORED[values.shape[1]])]
    median = looks.landmarks.quantile(0.5, dim=0)
    apart = (looks.landmarks - median).norm(dim=-1).quantile(0.5, dim=0).mean()
    return Looks(
        looks.points.quantile(0.5, dim=0)[None],
        median[None],
        looks.confidence.mean(0)[None],
        looks.presence.mean()[None],
        (apart / (median[0] - median[1]).norm().clamp_min(1e-6))[None],
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
    return upright(torch.tensor(corners, dtype=torch.float64), torch.tensor(sizes, dtype=torch.float64))


def look(rgb: Tensor, squares: Tensor, network: AlignmentNetwork) -> Looks:
    """The network's landmarks in squares [K, 2, 3] of the photo."""
    parts = []
    with torch.no_grad():
        for some in squares.split(32):
            finding = network(cut(rgb, some, network.config.size))
            places, confidence = finding.landmarks()
            parts.append(
                (
                    apply(some, finding.points()[0].cpu().double()),
                    apply(some, places.cpu().double()),
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
