"""`bench marks`: how often the invisible mark is read after what happens to pictures, how little it shows, and whether it is read where none is.

Heads in front of white, grey and clutter, each with a number of its own; read is a picture whose number is read right. Clutter alone, never
marked, gives the false alarms.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..commands.report import Row, finish
from ..marks.invisible import FALSE_ALARM, Reading, mark, read, read_cropped, read_together
from ..marks.visible import tag
from ..mesh.video import write_mp4
from ..metrics.image import psnr
from ..synthetic.backgrounds import random_background
from ..synthetic.factories import chosen_factory
from ..synthetic.splits import SPLITS
from .exact_heads import exact_views
from .heads import save
from .options import add_split, bench_parser, called

SIZES = (256, 512)
YAW = 20  # degrees
UNMARKED = 2000  # pictures of clutter
FRAMES, RATE_FACTOR = 12, 23  # of a video; x264's, its own default
FILMS = 3
CONFIDENCE = 0.95
Change = Callable[[Image.Image], Image.Image]


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """Through a JPEG file."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file, formats=["JPEG"])


def scaled(picture: Image.Image, factor: float) -> Image.Image:
    """Bicubic, as browsers and editors do it."""
    width, height = picture.size
    return picture.resize((round(factor * width), round(factor * height)), Image.Resampling.BICUBIC)


def cropped(picture: Image.Image, share: float) -> Image.Image:
    """As much less at the left and the top, half of it at the others."""
    width, height = picture.size
    left, top = round(share * width), round(share * height)
    return picture.crop((left, top, width - left // 2, height - top // 2))


CHANGES: dict[str, Change] = {
    "PNG, 8 bits": lambda picture: picture,
    "JPEG 95": lambda picture: jpeg(picture, 95),
    "JPEG 80": lambda picture: jpeg(picture, 80),
    "JPEG 60": lambda picture: jpeg(picture, 60),
    "JPEG 40": lambda picture: jpeg(picture, 40),
    "half": lambda picture: scaled(picture, 0.5),
    "half, JPEG 80": lambda picture: jpeg(scaled(picture, 0.5), 80),
    "half, JPEG 60": lambda picture: jpeg(scaled(picture, 0.5), 60),
    "a third": lambda picture: scaled(picture, 1 / 3),
    "double": lambda picture: scaled(picture, 2),
    "brightness 80 %": lambda picture: picture.point(lambda value: 0.8 * value),
    "brightness 120 %": lambda picture: picture.point(lambda value: 1.2 * value),
    "1 % cropped": lambda picture: cropped(picture, 0.01),
    "2 % cropped": lambda picture: cropped(picture, 0.02),
}
CROPPED: dict[str, Change] = {
    "2 % cropped, cuts tried": lambda picture: cropped(picture, 0.02),
    "5 % cropped, cuts tried": lambda picture: cropped(picture, 0.05),
    "5 % cropped, JPEG 80, cuts tried": lambda picture: jpeg(cropped(picture, 0.05), 80),
}


def pillow(image: Tensor) -> Image.Image:
    """[3, H, W] in [0, 1], rounded to 8 bits."""
    return Image.fromarray((image * 255).round().to(torch.uint8).movedim(0, -1).cpu().numpy())


def tensor(picture: Image.Image) -> Tensor:
    """And back, [1, 3, H, W]."""
    return torch.from_numpy(np.array(picture)).movedim(-1, 0)[None].float() / 255


def scenes(seeds: Sequence[int], size: int) -> dict[str, Tensor]:
    """Background -> pictures [N, 3, size, size] of heads in front of it."""
    factory = chosen_factory(None).number
    views = [exact_views(seed, [(YAW, 0)], max(SIZES), factory).views for seed in seeds]
    rgb, mask = (torch.cat(parts) for parts in ([view.rgb for view in views], [view.mask for view in views]))
    clutter = [random_background(rgb.shape[-1], torch.Generator().manual_seed(seed)) for seed in seeds]
    behind = {
        "white": torch.ones_like(rgb),
        "grey": torch.full_like(rgb, 0.5),
        "clutter": torch.stack(clutter),
    }
    whole = {name: torch.lerp(backdrop, rgb, mask) for name, backdrop in behind.items()}
    return {
        name: F.interpolate(pictures, size=(size, size), mode="area").clamp(0, 1)
        for name, pictures in whole.items()
    }


def numbers(seeds: Sequence[int]) -> list[int]:
    """One for each head."""
    return [7919 * seed % 2**16 for seed in seeds]


def marked(images: Tensor, words: Sequence[int]) -> Tensor:
    """[N, 3, H, W], each with its own number."""
    return torch.cat([mark(image, word) for image, word in zip(images.split(1), words, strict=True)])


def share(readings: Sequence[Reading], words: Sequence[int]) -> float:
    """Of pictures whose number is read right, 0 .. 1."""
    right = [r.present and r.number == word for r, word in zip(readings, words, strict=True)]
    return sum(right) / len(right)


def survival_rows(name: str, images: Tensor, words: Sequence[int]) -> Iterator[Row]:
    """Of pictures [N, 3, H, W] of one size and background."""
    results = marked(images, words)
    pictures = [pillow(image) for image in results]
    distances = [psnr(tensor(a), tensor(pillow(b))) for a, b in zip(pictures, images, strict=True)]
    yield Row("least PSNR", name, min(distances), "dB", n=len(pictures))
    for change, apply in CHANGES.items():
        readings = read(torch.cat([tensor(apply(picture)) for picture in pictures]))
        yield Row(change, name, share(readings, words), "", n=len(pictures))
        yield Row(change, f"least score, {name}", min(r.score for r in readings), "", n=len(pictures))
    tagged = read(torch.cat([tensor(pillow(tag(mark(tag(x[None]), w))[0])) for x, w in zip(images, words)]))
    yield Row("tag over it", name, share(tagged, words), "", n=len(pictures))


def cropped_rows(name: str, images: Tensor, words: Sequence[int]) -> Iterator[Row]:
    """Of pictures [N, 3, H, W], read with cuts tried."""
    pictures = [pillow(image) for image in marked(images, words)]
    for change, apply in CROPPED.items():
        readings = read_cropped(torch.cat([tensor(apply(picture)) for picture in pictures]))
        yield Row(change, name, share(readings, words), "", n=len(pictures))
        yield Row(change, f"least score, {name}", min(r.score for r in readings), "", n=len(pictures))


def film_rows(name: str, images: Tensor, words: Sequence[int]) -> Iterator[Row]:
    """Of videos in which pictures [N, 3, H, W] move a pixel a frame, through H.264."""
    singly, together = [], []
    for image, word in zip(images, words, strict=True):
        frames = torch.stack([image.roll(i, -1) for i in range(FRAMES)])
        film = filmed(mark(frames, word))
        singly.append(share(read(film), [word] * len(film)))
        together.append(share([read_together(film)], [word]))
    yield Row("H.264, a frame", name, sum(singly) / len(singly), "", n=FRAMES * len(images))
    yield Row("H.264, frames together", name, sum(together) / len(together), "", n=len(images))


def filmed(frames: Tensor) -> Tensor:
    """[F, 3, H, W] through an MP4 file."""
    import av

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film.mp4")
        write_mp4(frames, path, quality=RATE_FACTOR)
        with av.open(str(path)) as container:
            pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(pictures)).movedim(-1, 1).float() / 255


def alarm_rows(count: int) -> Iterator[Row]:
    """What is read where no mark is: clutter of 128 pixels, after 8 bits."""
    some = (random_background(128, torch.Generator().manual_seed(seed)) for seed in range(count))
    readings = read(torch.cat([tensor(pillow(picture)) for picture in some]))
    alarms = sum(reading.present for reading in readings)
    high = 1 - (1 - CONFIDENCE) ** (1 / count) if not alarms else None  # exact where there are none
    low = None if high is None else 0.0
    yield Row("unmarked", "false alarms", alarms / count, "", low, high, n=count)
    yield Row("unmarked", "largest score", max(reading.score for reading in readings), "", n=count)
    yield Row("unmarked", "false alarms, bound", FALSE_ALARM, "")


def sheet(images: dict[str, Tensor]) -> Tensor:
    """[3, 3 S, 3 S]: the first picture of each background, the same with both marks, and 20 times what the invisible one adds."""
    rows = []
    for pictures in images.values():
        plain = pictures[:1]
        added = mark(plain, 1) - plain
        rows.append(torch.cat([plain, mark(tag(plain), 1), (20 * added + 0.5).clamp(0, 1)], -1))
    return torch.cat(rows, -2)[0]


def run(arguments: list[str]) -> None:
    """Print the table."""
    parser = bench_parser("marks", __doc__)
    add_split(parser)
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="also draw what the marks look like")
    parser.set_defaults(count=12)
    with called(parser, arguments) as options:
        seeds = SPLITS[options.split][1 : options.count + 1]  # the first is the portrait that ships
        words, rows = numbers(seeds), []
        for size in SIZES:
            images = scenes(seeds, size)
            for name, pictures in images.items():
                rows += survival_rows(f"{size} {name}", pictures, words)
                print(f"{size} pixels, {name}: done", flush=True)
            if size == SIZES[0]:
                mixed = torch.stack([list(images.values())[i % len(images)][i] for i in range(len(seeds))])
                rows += cropped_rows(f"{size} mixed", mixed, words)
                rows += film_rows(f"{size} mixed", mixed[:FILMS], words[:FILMS])
                if options.sheet:
                    save(sheet(images), options.sheet)
        finish("marks", rows + list(alarm_rows(UNMARKED)), options.json)
