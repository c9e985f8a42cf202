"""Align portrait: IMAGE -> PORTRAIT_ALIGNED."""

from __future__ import annotations

import math

import comfy.model_management as mm
import torch
from comfy_api.latest import io

from ..models.photo.alignment import AlignedPortrait, ManualCrop, align
from ..models.photo.detection import prominence
from ..models.photo.pose import landmarks_of
from . import convert, loading
from .optimising import Progress
from .types import CATEGORY, AlignedWire, LandmarksWire

STEPS = 10  # of the progress bar, per photo


class AlignPortrait(io.ComfyNode):
    """Crop, mask and camera of a photo, one person per image."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionAlignPortrait",
            display_name="Align Portrait",
            category=CATEGORY,
            description="Finds the face, crops the photo as the head prior expects it, masks the person and estimates the camera. "
            "Wire core's face landmarks or a mask to overrule the pack's own small network, or set the crop by hand.",
            search_aliases=["face crop", "align face", "portrait crop", "face detection", "matting"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="A photo, or a batch of photos of different people; one head comes of each.",
                ),
                io.Mask.Input(
                    "foreground_mask",
                    optional=True,
                    tooltip="1 where the person is (as from Remove Background). An inverted one is noticed and turned round; one of zeros alone, as Load Image gives for opaque pictures, counts as none.",
                ),
                LandmarksWire.Input(
                    "face_landmarks",
                    optional=True,
                    tooltip="From core's MediaPipe Face Landmarker, on the same image.",
                ),
                io.Int.Input(
                    "size", default=256, min=64, max=1024, step=32, tooltip="Pixels of the square crop."
                ),
                io.Combo.Input(
                    "crop",
                    options=["automatic", "manual"],
                    default="automatic",
                    tooltip="manual: the five values below decide, nothing is detected.",
                ),
                io.Float.Input(
                    "crop_x",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.005,
                    advanced=True,
                    tooltip="Manual crop: centre, as a share of the photo's width.",
                ),
                io.Float.Input(
                    "crop_y",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.005,
                    advanced=True,
                    tooltip="Manual crop: centre, as a share of the photo's height; about the tip of the nose.",
                ),
                io.Float.Input(
                    "crop_size",
                    default=0.8,
                    min=0.02,
                    max=4.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Manual crop: side, as a share of the photo's shorter side; the head takes about half of it.",
                ),
                io.Float.Input(
                    "yaw_degrees",
                    default=0.0,
                    min=-90.0,
                    max=90.0,
                    step=1.0,
                    advanced=True,
                    tooltip="Manual crop: the camera's yaw; positive sees the subject's left side.",
                ),
                io.Float.Input(
                    "pitch_degrees",
                    default=0.0,
                    min=-60.0,
                    max=60.0,
                    step=1.0,
                    advanced=True,
                    tooltip="Manual crop: the camera's elevation.",
                ),
                io.Int.Input(
                    "face",
                    default=0,
                    min=0,
                    max=64,
                    optional=True,  # graphs of before have none
                    tooltip="Of several people in a photo: 0 takes the large and central one, 1 and up another, as the node's text numbers them.",
                ),
            ],
            outputs=[
                AlignedWire.Output(
                    display_name="aligned", is_output_list=True, tooltip="For Invert Portrait, one per photo."
                ),
                io.Image.Output(display_name="image", tooltip="The crops on white."),
                io.Mask.Output(display_name="mask", tooltip="The crops' foreground."),
            ],
        )

    @classmethod
    def execute(
        cls,
        image,
        size: int = 256,
        crop: str = "automatic",
        crop_x: float = 0.5,
        crop_y: float = 0.5,
        crop_size: float = 0.8,
        yaw_degrees: float = 0.0,
        pitch_degrees: float = 0.0,
        face: int = 0,
        foreground_mask=None,
        face_landmarks=None,
    ) -> io.NodeOutput:
        photos = photos_of(image)
        masks = masks_for(foreground_mask, photos)
        landmarks = faces_for(face_landmarks, photos, face)
        manual = None
        if crop == "manual":
            manual = ManualCrop(
                crop_x, crop_y, crop_size, math.radians(yaw_degrees), math.radians(pitch_degrees)
            )
        aligner = loading.load_aligner()
        mm.load_models_gpu([aligner])
        progress = Progress(STEPS * len(photos))
        portraits = []
        for index, (photo, mask, own) in enumerate(zip(photos, masks, landmarks, strict=True)):
            to = aligner.load_device
            one = align(
                photo[:3].to(to),
                network=aligner.model,
                size=size,
                alpha=photo[3:].to(to) if len(photo) == 4 else None,
                mask=None if mask is None else mask.to(to),
                landmarks=own,
                crop=manual,
                face=face,
                callback=lambda share, index=index: progress.update(round(STEPS * (index + share))),
            )
            portraits.append(one.to(mm.intermediate_device()))
        whites = torch.stack([one.on_white() for one in portraits])
        foregrounds = torch.stack([one.mask for one in portraits])
        return io.NodeOutput(
            portraits,
            convert.to_image(whites),
            convert.to_mask(foregrounds),
            ui={"text": notes_of(portraits)},
        )


def photos_of(image: torch.Tensor) -> list[torch.Tensor]:
    """From IMAGE [B, H, W, 1, 3 or 4] to a list of [3 or 4, H, W], the fourth alpha, without a copy.

    Raises:
        ValueError: another shape, or an empty batch.
    """
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(
            f"image: expected an IMAGE [batch, height, width, 3] with at least one pixel, got {list(image.shape)}; wire a photo"
        )
    planes = image.expand(*image.shape[:3], 3) if image.shape[-1] == 1 else image
    return [photo.movedim(-1, 0) for photo in planes]


def notes_of(portraits: list[AlignedPortrait]) -> list[str]:
    """What was chosen and what is missing, one sentence each, with the photo's number where there are several."""
    return [
        note if len(portraits) == 1 else f"photo {number}: {note}"
        for number, portrait in enumerate(portraits, 1)
        for note in portrait.notes
    ]


def masks_for(mask: torch.Tensor | None, photos: list[torch.Tensor]) -> list[torch.Tensor | None]:
    """One mask [1, H, W] at its photo's size, or None, per photo; None, too, for zeros alone, by which core says that there is none.

    Raises:
        ValueError: as many masks as neither one nor the photos, or values that are not finite.
    """
    if mask is None:
        return [None] * len(photos)
    mask = mask[None] if mask.ndim == 2 else mask
    if mask.ndim != 3 or mask.shape[0] not in (1, len(photos)) or 0 in mask.shape:
        raise ValueError(
            f"foreground_mask: expected one mask, or one per photo ({len(photos)}), got {list(mask.shape)}; wire the mask of these photos"
        )
    if not torch.isfinite(mask).all():
        raise ValueError(
            "foreground_mask: expected finite numbers, got NaN or infinity; check the node that made the mask"
        )
    planes = mask.float().expand(len(photos), -1, -1)
    return [
        fitted(plane[None], photo.shape[-2:]) if bool(plane.any()) else None
        for plane, photo in zip(planes, photos, strict=True)
    ]


def fitted(plane: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """A mask [1, H, W] at another size (H, W)."""
    if plane.shape[-2:] == size:
        return plane
    return torch.nn.functional.interpolate(plane[None], size=tuple(size), mode="bilinear", antialias=True)[0]


def faces_for(landmarks: dict | None, photos: list[torch.Tensor], face: int) -> list[dict | None]:
    """One face's landmarks, or None, per photo; of several the one that `face` counts from 1, with 0 the large and central one.

    Raises:
        ValueError: as many frames as not the photos, or a photo in which no face was found, or not so many.
    """
    if landmarks is None:
        return [None] * len(photos)
    frames = landmarks.get("frames", [])
    if len(frames) != len(photos):
        raise ValueError(
            f"face_landmarks: expected those of {len(photos)} photos, got {len(frames)}; run the face landmarker on the same image"
        )
    empty = [str(i) for i, faces in enumerate(frames) if not faces]
    if empty:
        raise ValueError(
            f"face_landmarks: expected a face in every photo, got none in photo {', '.join(empty)}; unwire them or set the crop by hand"
        )
    few = [str(i) for i, faces in enumerate(frames) if len(faces) < face]
    if few:
        raise ValueError(
            f"face_landmarks: expected face {face} in every photo, got fewer in photo {', '.join(few)}; choose 0 or a lower number"
        )
    if face:
        return [faces[face - 1] for faces in frames]
    return [most_prominent(faces, photo) for faces, photo in zip(frames, photos, strict=True)]


def most_prominent(faces: list[dict], photo: torch.Tensor) -> dict:
    """The large and central one of a photo's faces; photo: [3 or 4, H, W]."""
    if len(faces) == 1:
        return faces[0]
    return max(faces, key=lambda face: prominence(landmarks_of(face), photo.shape[-2], photo.shape[-1]))
