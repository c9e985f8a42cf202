"""Align portrait: IMAGE -> PORTRAIT_ALIGNED."""

from __future__ import annotations

import math

import comfy.model_management as mm
import torch
from comfy_api.latest import io

from ..models.photo.alignment import ManualCrop, align
from . import convert, loading
from .types import CATEGORY, AlignedWire, LandmarksWire


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
                    tooltip="1 where the person is (as from Remove Background). An inverted one is noticed and turned round.",
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
        foreground_mask=None,
        face_landmarks=None,
    ) -> io.NodeOutput:
        photos = convert.from_image(image)
        masks = masks_for(foreground_mask, photos)
        faces = faces_for(face_landmarks, len(photos))
        manual = None
        if crop == "manual":
            manual = ManualCrop(
                crop_x, crop_y, crop_size, math.radians(yaw_degrees), math.radians(pitch_degrees)
            )
        aligner = loading.load_aligner()
        mm.load_models_gpu([aligner])
        portraits = []
        for photo, mask, face in zip(photos, masks, faces, strict=True):
            mm.throw_exception_if_processing_interrupted()
            to = aligner.load_device
            one = align(
                photo.to(to),
                network=aligner.model,
                size=size,
                mask=None if mask is None else mask.to(to),
                landmarks=face,
                crop=manual,
            )
            portraits.append(one.to(mm.intermediate_device()))
        whites = torch.stack([one.on_white() for one in portraits])
        foregrounds = torch.stack([one.mask for one in portraits])
        return io.NodeOutput(portraits, convert.to_image(whites), convert.to_mask(foregrounds))


def masks_for(mask: torch.Tensor | None, photos: torch.Tensor) -> list:
    """One mask [1, H, W] at its photo's size, or None, per photo.

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
    planes = torch.nn.functional.interpolate(
        mask[:, None].float(), size=photos.shape[-2:], mode="bilinear", antialias=True
    )
    return list(planes.expand(len(photos), -1, -1, -1))


def faces_for(landmarks: dict | None, count: int) -> list:
    """The first face's landmarks, or None, per photo.

    Raises:
        ValueError: as many frames as not the photos, or a photo in which no face was found.
    """
    if landmarks is None:
        return [None] * count
    frames = landmarks.get("frames", [])
    if len(frames) != count:
        raise ValueError(
            f"face_landmarks: expected those of {count} photos, got {len(frames)}; run the face landmarker on the same image"
        )
    empty = [str(i) for i, faces in enumerate(frames) if not faces]
    if empty:
        raise ValueError(
            f"face_landmarks: expected a face in every photo, got none in photo {', '.join(empty)}; unwire them or set the crop by hand"
        )
    return [faces[0] for faces in frames]
