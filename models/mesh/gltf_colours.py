"""Base colours of a GLB's materials: a factor and a picture, the only one that is decoded of a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..pictures import format_of, open_embedded, rgb_values
from .gltf_buffers import Buffers, from_data_uri
from .gltf_limits import (
    MAX_ALL_PIXELS,
    MAX_BYTES,
    MAX_DEMANDING_PIXELS,
    MAX_PIXELS,
    MAX_SIDE,
    entry,
    finite,
    mapping,
    refusal,
    within,
)

OLDER = "KHR_materials_pbrSpecularGlossiness"  # its diffuse colour stands for the base colour
WEBP = "EXT_texture_webp"
SMALLER = "scale the model's textures down"


@dataclass(frozen=True)
class BaseColour:
    """factor: linear RGB in 0..1 that multiplies; image: the picture's number, or None."""

    factor: tuple[float, float, float] = (1.0, 1.0, 1.0)
    image: int | None = None


def base_colour(header: dict, material) -> BaseColour:
    """Of a material by its number; white for None.

    Raises:
        ValueError: JSON that is no glTF's, or a factor that is not finite.
    """
    if material is None:
        return BaseColour()
    materials = entry(header, "materials", material)
    extensions = mapping(materials.get("extensions", {}), "a material's extensions")
    if OLDER in extensions:
        parts, names = mapping(extensions[OLDER], OLDER), ("diffuseFactor", "diffuseTexture")
    else:
        parts = mapping(materials.get("pbrMetallicRoughness", {}), "pbrMetallicRoughness")
        names = ("baseColorFactor", "baseColorTexture")
    factor, texture = (parts.get(name) for name in names)
    factor = BaseColour.factor if factor is None else quantised(finite(factor, names[0], 3, 4))
    return BaseColour(factor, None if texture is None else image_of(header, mapping(texture, names[1])))


def quantised(factor: np.ndarray) -> tuple[float, float, float]:
    """In steps of 1/255, as trimesh keeps it."""
    from trimesh.visual.color import to_rgba

    return tuple((to_rgba(factor)[:3] / 255).tolist())


def image_of(header: dict, texture: dict) -> int | None:
    """The number of a texture's picture: the WebP where there is one; None where it has none that we know.

    Raises:
        ValueError: JSON that is no glTF's.
    """
    source = entry(header, "textures", texture.get("index"))
    webp = mapping(source.get("extensions", {}), "a texture's extensions").get(WEBP)
    number = source.get("source") if webp is None else mapping(webp, WEBP).get("source")
    if number is not None:
        entry(header, "images", number)
    return number


def check_pictures(buffers: Buffers, colours: Iterable[BaseColour]) -> None:
    """Formats and sizes of all pictures by their headers, before one is decoded.

    Raises:
        ValueError: a picture outside of the file, of another format, damaged, or more pixels than the limits.
    """
    area, size = 0, 0
    for image in [colour.image for colour in set(colours) if colour.image is not None]:
        data = encoded(buffers, image)
        size += len(data)
        within(size, MAX_BYTES, "bytes in all textures together", SMALLER)
        with opened(data, image) as picture:
            width, height = picture.size
            demanding = (
                picture.format == "WEBP" or picture.mode == "CMYK"
            )  # 16 and 9 bytes of memory for each pixel
        limit = MAX_DEMANDING_PIXELS if demanding else MAX_PIXELS
        if width * height > limit:
            raise refusal(f"a texture of at most {limit} pixels", f"{width}x{height}", SMALLER)
        area += width * height
        within(area, MAX_ALL_PIXELS, "pixels in all textures together", SMALLER)


def pixels(buffers: Buffers, image: int) -> np.ndarray:
    """A picture [H, W, 3] uint8, sRGB, at most MAX_SIDE pixels along a side.

    Raises:
        ValueError: it is damaged.
    """
    with opened(encoded(buffers, image), image) as picture:
        try:
            return rgb_values(picture, MAX_SIDE)
        except Exception as error:  # whatever a decoder stumbles on
            raise damaged(image, error) from error


def opened(data: bytes, image: int) -> Image.Image:
    """A picture with its header read.

    Raises:
        ValueError: it is of another format, or damaged.
    """
    if format_of(data) is None:
        raise refusal(
            "a texture of PNG, JPEG or WebP",
            f"one that begins with {data[:8]!r}",
            "save the model's pictures as PNG",
        )
    try:
        return open_embedded(data)
    except Image.DecompressionBombError as error:
        raise refusal(f"textures of at most {MAX_PIXELS} pixels", "one of many more", SMALLER) from error
    except Exception as error:  # whatever a reader of headers stumbles on
        raise damaged(image, error) from error


def damaged(image: int, error: Exception) -> ValueError:
    """What the user is told of a picture that Pillow cannot read."""
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:80]}"
    return refusal(
        "whole textures", f"picture {image} that cannot be read ({reason})", "save the model's pictures again"
    )


def encoded(buffers: Buffers, image: int) -> bytes:
    """A picture's bytes, wherever they lie in the file.

    Raises:
        ValueError: they lie elsewhere.
    """
    picture = entry(buffers.header, "images", image)
    if "bufferView" in picture:
        return bytes(buffers.view(picture["bufferView"]))
    return from_data_uri(picture.get("uri"), f"picture {image}")
