"""Any photo -> the crop that head priors expect, with its foreground mask and camera.

Photo and crop coordinates are continuous: pixel i covers i .. i + 1, its centre is i + 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from ..camera import Camera, orbit, project
from . import detection, matting
from .foreground_colours import foreground_colours
from .network import AlignmentNetwork
from .people import faces_note, silhouettes, turn_note
from .pose import CANONICAL_LANDMARKS, LANDMARKER_PRIOR, Pose, fit_pose, landmarks_of
from .relief import Relief, face_relief
from .shrinking import MAX_SIDE, within
from .unknown import cut_notes, either, hidden_by, outside

MIN_SIDE = 32  # pixels of the smallest photo
MIN_FOREGROUND = 0.005  # share of the crop
MAX_PHOTO = 2048  # pixels a side of the region that is kept at the photo's resolution: 12 MB


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
        image: [3, S, S] sRGB with the photo's own background, but the person's colours wherever the mask is above 0; white outside
            the photo.
        mask: [1, S, S] foreground in 0..1; 0 outside the photo.
        camera: unbatched.
        crop_to_photo: [2, 3] float64 on the CPU; crop pixels (x, y, 1) -> photo pixels.
        photo_size: (H, W) pixels.
        unknown: [1, S, S], 1 where this may be the person or background and the photo does not say, else 0: just outside it, behind
            another person, or where matting is in doubt. None where it says so everywhere.
        notes: sentences for people, on what was chosen and what is missing.
        photo: [3, P, P] uint8, what the crop shows at the photo's resolution, S < P <= MAX_PHOTO; None where the crop
            is as fine.
        relief: of the face, as the network sees it; None where it tells none, and of portraits that files hold.
        estimated: whether the camera was told from the photo, and fits may move it.
    """

    image: Tensor
    mask: Tensor
    camera: Camera
    crop_to_photo: Tensor
    photo_size: tuple[int, int]
    unknown: Tensor | None = None
    notes: tuple[str, ...] = ()
    photo: Tensor | None = None
    relief: Relief | None = None
    estimated: bool = False

    def finest(self) -> Tensor:
        """The crop [3, P, P] sRGB in 0..1 at the photo's resolution, where that is kept, else `image`."""
        return self.image if self.photo is None else self.photo.to(self.image) / 255

    def on_white(self) -> Tensor:
        """The person [3, S, S] without the background."""
        return self.image * self.mask + (1 - self.mask)

    def on_white_at(self, size: int) -> Tensor:
        """The same [3, size, size], in 0..1."""
        white = self.on_white()[None]
        return interpolate(white, size=(size, size), mode="bilinear", antialias=True)[0].clamp(0, 1)

    def told_mask(self) -> Tensor:
        """The mask [1, S, S] where the photo tells something, 0 where it does not."""
        return self.mask if self.unknown is None else self.mask * (self.unknown <= 0)

    def to(self, *args) -> AlignedPortrait:
        """As `Tensor.to`, for image, mask, unknown, camera and relief; the photo's bytes change device only."""
        image = self.image.to(*args)
        return replace(
            self,
            image=image,
            mask=self.mask.to(*args),
            unknown=None if self.unknown is None else self.unknown.to(*args),
            camera=self.camera.to(*args),
            photo=None if self.photo is None else self.photo.to(image.device),
            relief=None if self.relief is None else self.relief.to(*args),
        )


def uncropped(image: Tensor, mask: Tensor, camera: Camera) -> AlignedPortrait:
    """A view that is in the canonical frame already, as an aligned portrait whose crop is the photo itself.

    Args:
        image: [3, S, S] in [0, 1]. mask: [1, S, S]. camera: unbatched.
    """
    size = image.shape[-1]
    return AlignedPortrait(image, mask, camera, torch.eye(2, 3, dtype=torch.float64), (size, size))


def align(
    rgb: Tensor,
    *,
    network: AlignmentNetwork,
    size: int = 256,
    alpha: Tensor | None = None,
    mask: Tensor | None = None,
    landmarks: Mapping | None = None,
    crop: ManualCrop | None = None,
    face: int = 0,
    callback: Callable[[float], None] | None = None,
) -> AlignedPortrait:
    """Crop, mask and camera of one person in a photo.

    Where the face is: `crop`, else `landmarks`, else the network. What the person is: `mask`, else an `alpha` with both
    transparent and opaque pixels, else the network. Photos larger than MAX_SIDE are shrunk before anything else.

    Args:
        rgb: [3, H, W] sRGB in 0..1, at least MIN_SIDE along a side.
        network: finds faces and mattes crops, where the other arguments do not, and tells reliefs, if it knows surfaces.
        size: S, pixels of the crop.
        alpha, mask: [1, H, W] in 0..1, 1 on the person; an inverted mask is noticed and turned round.
        landmarks: one face of core's FACE_LANDMARKS, on this photo.
        face: which of the faces that the network finds, from 1 in the order of the notes; 0 for the first, large and central.
        callback: told the share done, 0 .. 1.

    Raises:
        ValueError: no face, or not so many; a photo, mask or landmarks out of shape or not finite; no foreground in the crop.
    """
    report = callback or (lambda share: None)
    _check_photo(rgb)
    if size < MIN_SIDE:
        raise ValueError(
            f"align: expected a crop of at least {MIN_SIDE} pixels, got {size}; choose a larger size"
        )
    photo_size = rgb.shape[1], rgb.shape[2]
    rgb, alpha, mask = _prepared(rgb, alpha, mask, report)
    shrink = photo_size[1] / rgb.shape[2], photo_size[0] / rgb.shape[1]
    sighting = _sighting(rgb, network, landmarks, crop, face, shrink)
    report(0.7)
    pose = sighting.pose
    crop_to_photo = pose.crop_to_photo(size)
    camera = orbit(torch.tensor(pose.yaw), torch.tensor(pose.pitch)).to(rgb)
    planes = [plane for plane in (alpha, mask) if plane is not None]
    crops, inside = resample(torch.cat([rgb, *planes]), crop_to_photo, size)
    image = _crop_on_white(crops, inside, alpha is not None)
    unknown = outside(inside, camera)
    if mask is not None:
        foreground = _upright_mask(crops[-1:] * inside, inside, camera)
    elif alpha is not None:
        foreground = crops[3:4] * inside
    else:
        rivals = silhouettes(sighting.others, crop_to_photo, size)
        matte = matting.matte(image, network, camera, inside=inside, rivals=rivals)
        if sighting.automatic:
            matting.check_person(matte)
        foreground = matte.mask * inside
        unknown = either(unknown, matte.doubt, hidden_by(rivals, matte.mask, camera))
    _check_foreground(foreground, "mask" if mask is not None else "alpha" if alpha is not None else "network")
    notes = (*sighting.notes, *cut_notes(inside, camera))
    photo = _fine_crop(rgb, alpha, pose, size)
    if alpha is None:  # what is transparent has the person's colours as they are
        image, photo = _purified(image, photo, foreground)
    relief = face_relief(image, foreground, network, camera)
    report(1.0)
    affine = torch.tensor(shrink, dtype=torch.float64)[:, None] * crop_to_photo
    return AlignedPortrait(
        image, foreground, camera, affine, photo_size, unknown, notes, photo, relief, estimated=crop is None
    )


def _prepared(
    rgb: Tensor, alpha: Tensor | None, mask: Tensor | None, report: Callable[[float], None]
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Photo [3, H, W], on white where it is transparent, alpha and mask [1, H, W], none larger than MAX_SIDE; an alpha of one kind of
    pixels is none."""
    alpha, mask = _same_size("alpha", alpha, rgb), _same_size("mask", mask, rgb)
    rgb = within(rgb, MAX_SIDE, lambda share: report(0.3 * share))
    alpha, mask = (plane if plane is None else within(plane, MAX_SIDE) for plane in (alpha, mask))
    _check_finite(rgb, alpha, mask)
    rgb = rgb.float().clamp(0, 1)
    alpha, mask = (plane if plane is None else plane.to(rgb).clamp(0, 1) for plane in (alpha, mask))
    if alpha is not None and not bool((alpha < 0.5).any() and (alpha > 0.5).any()):
        alpha = None
    if alpha is not None:
        rgb = rgb * alpha + (1 - alpha)
    return rgb, alpha, mask


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


@dataclass(frozen=True)
class Sighting:
    """Attributes: pose: of the person. others: poses of other people. automatic: whether the network chose. notes: what was chosen."""

    pose: Pose
    others: tuple[Pose, ...] = ()
    automatic: bool = False
    notes: tuple[str, ...] = ()


def _sighting(
    rgb: Tensor,
    network: AlignmentNetwork,
    landmarks: Mapping | None,
    crop: ManualCrop | None,
    face: int,
    shrink: tuple[float, float],
) -> Sighting:
    """Where the face is, from the first source that knows; shrink: pixels (x, y) of the landmarks' photo per one of rgb."""
    height, width = rgb.shape[-2:]
    if crop is not None:
        centre = torch.tensor([crop.x * width, crop.y * height], dtype=torch.float64)
        return Sighting(Pose(crop.size * min(height, width), centre, 0.0, crop.yaw, crop.pitch))
    if landmarks is not None:
        places = landmarks_of(landmarks) / torch.tensor(shrink, dtype=torch.float64)
        return Sighting(fit_pose(places, prior=LANDMARKER_PRIOR))
    faces = detection.find_people(rgb, network)
    index = max(face - 1, 0)
    if index >= len(faces):
        raise ValueError(
            f"align: expected a face from 1 to {len(faces)}, or 0 for the most prominent, got {face}; {faces_note(faces, shrink)}"
        )
    poses = [person.pose() for person in faces]
    notes = [turn_note(faces[index].quarter_turns)] if faces[index].quarter_turns else []
    notes += [f"{faces_note(faces, shrink)}; this is face {index + 1}"] if len(faces) > 1 else []
    return Sighting(poses[index], (*poses[:index], *poses[index + 1 :]), True, tuple(notes))


def _reach(places: Tensor, margin: float, side: int) -> tuple[int, int]:
    """First and last + 1 of the pixels 0 .. side - 1 that matter to places and a margin around them; at least one."""
    start = min(max(int(float(places.min()) - margin), 0), side - 1)
    return start, min(max(int(float(places.max()) + margin) + 1, start + 1), side)


def _crop_on_white(crops: Tensor, inside: Tensor, transparent: bool) -> Tensor:
    """The colours [3, S, S] of crops [3 or more, S, S], the fourth its alpha where `transparent`; white outside the photo."""
    image = _without_white(crops[:3], crops[3:4]) if transparent else crops[:3]
    return image * inside + (1 - inside)


def _fine_crop(rgb: Tensor, alpha: Tensor | None, pose: Pose, size: int) -> Tensor | None:
    """The crop [3, P, P] uint8 with a pixel for a pixel of the photo, up to MAX_PHOTO; None where `size` is as fine.

    Args:
        rgb: [3, H, W] on white where it has an alpha [1, H, W].
    """
    side = min(math.ceil(pose.scale), MAX_PHOTO)
    if side <= size:
        return None
    planes = rgb if alpha is None else torch.cat([rgb, alpha])
    crops, inside = resample(planes, pose.crop_to_photo(side), side)
    return (_crop_on_white(crops, inside, alpha is not None) * 255).round().to(torch.uint8)


def _purified(image: Tensor, photo: Tensor | None, mask: Tensor) -> tuple[Tensor, Tensor | None]:
    """A crop [3, S, S] and its fine one [3, P, P] uint8 without the background's colours along the outline of a mask [1, S, S]."""
    crop = foreground_colours(image, mask)
    if photo is None:
        return crop, None
    fine = photo.to(image) / 255
    soft = interpolate(mask[None], size=fine.shape[-2:], mode="bilinear", align_corners=False)[0]
    return crop, (foreground_colours(fine, soft) * 255).round().to(torch.uint8)


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


def _check_finite(rgb: Tensor, alpha: Tensor | None, mask: Tensor | None) -> None:
    """ValueError for numbers that no photo and no mask has."""
    if not rgb.isfinite().all():
        raise ValueError(
            "align: expected finite colours, got NaN or infinity in the photo; check the node or file that made it"
        )
    for name, plane in (("alpha", alpha), ("mask", mask)):
        if plane is not None and not plane.isfinite().all():
            raise ValueError(
                f"align: expected finite numbers in the {name}, got NaN or infinity; check what made it"
            )


def _same_size(name: str, plane: Tensor | None, rgb: Tensor) -> Tensor | None:
    """An optional [1, H, W], once it is known to be of the photo's size."""
    if plane is not None and plane.shape != (1, *rgb.shape[-2:]):
        shape = [1, *rgb.shape[-2:]]
        raise ValueError(
            f"align: expected the {name} {shape} like the photo, got {list(plane.shape)}; resize it to the photo"
        )
    return plane


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
