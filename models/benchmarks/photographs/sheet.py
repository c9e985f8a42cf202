"""Portraits of photographs as one picture, and two such pictures strip by strip."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from ...camera import orbit
from ...mesh.rasterize import render_mesh
from ...portrait import normals_picture
from .figures import SIDES
from .photos import Photo
from .portraits import Portrait

TILE = 160  # pixels
COLUMNS = 3 + len(SIDES)  # photo, own view, GLB from the photo's camera, sides


def tiles(images: Tensor) -> Tensor:
    """[V, 3, H, W] -> [3, TILE, V TILE], side by side."""
    return torch.cat(list(F.interpolate(images, (TILE, TILE), mode="bilinear", antialias=True)), -1)


@torch.no_grad()
def strip(portrait: Portrait) -> Tensor:
    """[3, 2 TILE, COLUMNS TILE]: photo, own view, GLB, eight sides; below mask, own silhouette, and normals from all sides."""
    head, reference = portrait.head, portrait.reference
    camera = orbit(torch.tensor(SIDES).float().deg2rad(), torch.zeros(len(SIDES)))
    own, around = head.render(reference.camera[None], TILE, normals=False), head.render(camera, TILE)
    glb = render_mesh(portrait.mesh, reference.camera, TILE, supersampling=2, back_faces=False)
    colours = (reference.on_white()[None], own.rgb, glb.rgb[None], around.rgb)
    masks = [mask.expand(-1, 3, -1, -1) for mask in (reference.mask[None], own.opacity)]
    normals = [normals_picture(normal) for normal in (glb.normal[None], around.normal) if normal is not None]
    return torch.cat([torch.cat([tiles(x) for x in row], -1) for row in (colours, (*masks, *normals))], -2)


def refused_strip(photo: Photo) -> Tensor:
    """[3, 2 TILE, COLUMNS TILE]: the photo alone, where it is one."""
    picture = torch.ones(3, 2 * TILE, COLUMNS * TILE)
    try:
        rgb, _ = photo.read()
    except ValueError:  # no picture
        return picture
    scale = TILE / max(rgb.shape[-2:])
    size = [max(1, round(side * scale)) for side in rgb.shape[-2:]]
    picture[:, : size[0], : size[1]] = F.interpolate(rgb[None], size, mode="bilinear", antialias=True)[0]
    return picture


def draw_sheet(strips: list[tuple[str, Tensor]], path: Path) -> None:
    """Named strips [3, 2 TILE, COLUMNS TILE], one below the other, as PNG."""
    picture = (torch.cat([strip for _, strip in strips], -2).clamp(0, 1) * 255).round().byte()
    image = Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
    pen = ImageDraw.Draw(image)
    for i, (name, _) in enumerate(strips):
        pen.text((4, 2 * TILE * i + 3), name, fill="black", stroke_width=2, stroke_fill="white")
    image.save(path)


def pair_sheets(before: Path, after: Path, path: Path) -> None:
    """Two sheets of the same photos as one: of each photo the strip before above the one after.

    Raises:
        ValueError: sheets of different sizes.
    """
    images = [Image.open(one, formats=["PNG"]).convert("RGB") for one in (before, after)]
    (width, height), other = images[0].size, images[1].size
    if other != (width, height):
        raise ValueError(
            f"bench photographs: expected two sheets of one size, got {width}x{height} and {other[0]}x{other[1]}; draw both from the same photos"
        )
    paired = Image.new("RGB", (width, 2 * height))
    for i in range(height // (2 * TILE)):
        for j, image in enumerate(images):
            part = image.crop((0, 2 * TILE * i, width, 2 * TILE * (i + 1)))
            paired.paste(part, (0, 2 * TILE * (2 * i + j)))
    paired.save(path)
