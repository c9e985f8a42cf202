"""A photo file -> tensors: upright, sRGB, at most 2048 pixels along a side."""

from __future__ import annotations

import logging
import warnings
from io import BytesIO
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, UnidentifiedImageError
from torch import Tensor

from .shrinking import MAX_SIDE

MAX_PIXELS = 12_000 * 9_000  # of what it reads; above Pillow's warning, below its error
_FORMATS = ("JPEG", "MPO", "PNG", "TIFF", "GIF", "BMP", "WEBP", "PPM", "JPEG2000", "AVIF", "HEIF")
_VIDEO_SUFFIXES = frozenset(
    (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv", ".3gp", ".ts")
)
_STILL_BRANDS = (
    b"heic",
    b"heix",
    b"mif1",
    b"msf1",
    b"avif",
    b"avis",
)  # of ISO files that hold pictures, not films
_FILM_MAGIC = (b"\x1aE\xdf\xa3", b"\0\0\x01\xba", b"\0\0\x01\xb3")  # Matroska and WebM, MPEG
_MAGIC = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF", b"\0\0\0\x0cjP  ")
_UPRIGHT = {  # EXIF orientation -> what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG = 0x0112
_PROFILED = ("RGB", "CMYK", "L")  # modes to which a profile applies as they are


def read_photo(path: str | PathLike) -> tuple[Tensor, Tensor | None]:
    """A photo from disk; of an animation the first frame.

    EXIF rotation is applied, palettes, grey, 16 bits and CMYK become RGB; what is larger than MAX_SIDE is scaled down
    while it is read. An embedded colour profile (Display P3, Adobe RGB, CMYK) is applied; a broken one is ignored, which the log says.

    Returns:
        rgb [3, H, W] float32 sRGB in [0, 1]; alpha [1, H, W] in [0, 1], or None where nothing is transparent.

    Raises:
        ValueError: no file, not a picture that Pillow reads, damaged, or more than MAX_PIXELS.
    """
    path = Path(path)
    _check_file(path)
    try:
        with _open(path) as image:
            _check_size(path, *image.size)
            return _tensors(_decode(image))
    except Image.DecompressionBombError as error:
        raise _too_large(path, "more") from error
    except UnidentifiedImageError as error:
        raise ValueError(
            f"photo: expected a picture (JPEG, PNG, WebP, TIFF, GIF, BMP), but {path.name} {_what_it_is(path)}"
        ) from error
    except (
        OSError,
        SyntaxError,
        EOFError,
        IndexError,
        ValueError,
        ArithmeticError,
    ) as error:  # what Pillow's decoders raise
        if str(error).startswith("photo: "):
            raise
        raise ValueError(
            f"photo: expected a whole picture, but {path.name} is cut off or damaged ({error}); copy or export it again"
        ) from error


def _check_file(path: Path) -> None:
    """ValueError unless there is a file with something in it."""
    if path.is_dir():
        raise ValueError(f"photo: expected a picture file, but {path} is a folder; name a file in it")
    if not path.is_file():
        raise ValueError(f"photo: expected a picture file, but {path} does not exist; check the path")
    if path.stat().st_size == 0:
        raise ValueError(
            f"photo: expected a picture, but {path.name} is empty (0 bytes); copy or download it again"
        )


def _open(path: Path) -> Image.Image:
    """The file's header, read by photo formats only: others of Pillow's start programs (EPS) or hold no picture (MPEG)."""
    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is our limit
        return Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN])


def _check_size(path: Path, width: int, height: int) -> None:
    """ValueError for more than MAX_PIXELS."""
    if width * height > MAX_PIXELS:
        raise _too_large(path, f"{width}x{height}")


def _too_large(path: Path, size: str) -> ValueError:
    limit = f"{MAX_PIXELS / 1e6:.0f} million pixels (as 12000x9000)"
    return ValueError(f"photo: expected at most {limit}, but {path.name} has {size}; scale it down first")


def _what_it_is(path: Path) -> str:
    """The end of a sentence about a file that Pillow does not know: what came, what to do."""
    with path.open("rb") as file:
        head = file.read(16)
    if head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS:
        return "is a HEIC or AVIF picture, which this installation cannot read; save it as JPEG or PNG"
    film = (
        head[4:8] == b"ftyp"
        or head.startswith(_FILM_MAGIC)
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    )
    if film or path.suffix.lower() in _VIDEO_SUFFIXES:
        return "is a video; save one of its frames as PNG or JPEG"
    if head.startswith(_MAGIC):
        return "is cut off or damaged; copy or export it again"
    return "is none; choose another file"


def _decode(image: Image.Image) -> Image.Image:
    """An opened file -> upright RGB, RGBA or F (one channel in 0..1), at most MAX_SIDE along a side."""
    share = min(1.0, MAX_SIDE / max(image.size))
    width, height = (max(1, round(side * share)) for side in image.size)
    image.draft(None, (width, height))  # JPEG: decodes at 1/2, 1/4 or 1/8
    image.load()
    orientation = image.getexif().get(_ORIENTATION_TAG, 1)  # after loading: Pillow turns TIFF itself
    profile = _foreign_profile(image)
    pixels = image if profile and image.mode in _PROFILED else _simple_mode(image)
    pixels.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    if profile:
        pixels = _simple_mode(_to_srgb(pixels, profile))
    return pixels.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else pixels


def _foreign_profile(image: Image.Image) -> ImageCms.ImageCmsProfile | None:
    """The colour profile of an opened file where it has a readable one that is not sRGB's and its pixels are 8 bits."""
    if not image.info.get("icc_profile") or image.mode == "F" or image.mode.startswith("I"):
        return None
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(image.info["icc_profile"]))
        return None if "srgb" in ImageCms.getProfileDescription(profile).lower() else profile
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
        _ignore_profile(error)
    return None


def _to_srgb(pixels: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    """Colours of a profile -> sRGB, with their alpha; as they came where the profile is of other colours than the file."""
    alpha = pixels.getchannel("A") if pixels.mode == "RGBA" else None
    try:
        colours = ImageCms.profileToProfile(
            pixels if alpha is None else pixels.convert("RGB"),
            profile,
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
        _ignore_profile(error)
        return pixels
    if colours is None:
        return pixels
    if alpha is not None:
        colours.putalpha(alpha)
    return colours


def _ignore_profile(error: Exception) -> None:
    logging.getLogger(__name__).warning(
        "photo: the colour profile is broken and ignored (%s); colours may be a little off", error
    )


def _simple_mode(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes -> RGB, RGBA or F."""
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.asarray(image, dtype=np.float32)
        return Image.fromarray(
            np.clip(values / _white_of(image, values), 0, 1).astype(np.float32, copy=False)
        )
    transparent = image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info
    mode = "RGBA" if transparent else "RGB"
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    return image if image.mode == mode else image.convert(mode)


def _white_of(image: Image.Image, values: np.ndarray) -> float:
    """The value that means white: 16-bit integers by their type, floating-point files by the smallest range that holds them."""
    if image.mode != "F":
        return 65535.0
    return next((white for white in (1.0, 255.0) if values.max(initial=0.0) <= white), 65535.0)


def _tensors(pixels: Image.Image) -> tuple[Tensor, Tensor | None]:
    """RGB, RGBA or F -> rgb [3, H, W], alpha [1, H, W] or None."""
    values = torch.from_numpy(np.array(pixels))
    if pixels.mode == "F":
        return values.clamp(0, 1).expand(3, -1, -1).contiguous(), None
    values = values.permute(2, 0, 1).float() / 255
    rgb, alpha = values[:3].contiguous(), values[3:].contiguous()
    return rgb, alpha if alpha.numel() and alpha.min() < 1 else None
