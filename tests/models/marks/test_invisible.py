import hashlib
import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from portrait_diffusion.models.marks import invisible
from portrait_diffusion.models.marks.invisible import CARRIERS, NUMBERS, codebook, mark, read, threshold
from portrait_diffusion.models.metrics.image import psnr
from portrait_diffusion.models.synthetic.backgrounds import random_background

NUMBER = 40_961


@pytest.fixture(scope="module")
def portrait(root) -> torch.Tensor:
    """[1, 3, 256, 256]."""
    picture = Image.open(root / "web" / "pictures" / "portrait.png", formats=["PNG"]).convert("RGB")
    return tensor(picture.resize((256, 256), Image.Resampling.BOX))


@pytest.fixture(scope="module")
def marked(portrait) -> torch.Tensor:
    return mark(portrait, NUMBER)


def tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(picture).copy()).movedim(-1, 0)[None].float() / 255


def pillow(image: torch.Tensor) -> Image.Image:
    return Image.fromarray((image[0] * 255).round().byte().movedim(0, -1).numpy())


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file, formats=["JPEG"])


def scaled(picture: Image.Image, width: int, height: int) -> Image.Image:
    return picture.resize((width, height), Image.Resampling.BICUBIC)


CHANGES = {
    "8 bits": lambda picture: picture,
    "JPEG 80": lambda picture: jpeg(picture, 80),
    "half": lambda picture: scaled(picture, 128, 128),
    "half, JPEG 80": lambda picture: jpeg(scaled(picture, 128, 128), 80),
    "double": lambda picture: scaled(picture, 512, 512),
    "another aspect": lambda picture: scaled(picture, 300, 200),
    "dim": lambda picture: picture.point(lambda value: 0.8 * value),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_mark_survives(marked, change):
    (reading,) = read(tensor(CHANGES[change](pillow(marked))))
    assert reading.present and reading.number == NUMBER


def test_the_mark_is_not_seen(portrait, marked):
    assert psnr(portrait, marked) >= invisible.PSNR
    assert float((marked - portrait).abs().max()) < 10 / 255


@pytest.mark.parametrize("decibels", [40.0, 48.0])
def test_its_strength_is_asked_for(portrait, decibels):
    least = decibels - invisible.YIELDED
    assert least <= psnr(portrait, mark(portrait, 3, psnr=decibels)) < decibels + 0.5


def test_what_drowns_a_mark_is_marked_stronger():
    """Clutter of the mark's own frequencies, in which more noise hides."""
    picture = random_background(256, torch.Generator().manual_seed(1020))[None]
    result = mark(picture, NUMBER)
    assert read(result)[0].number == NUMBER and read(result)[0].present
    assert 40 < psnr(picture, result) < invisible.PSNR


def test_what_is_not_marked_has_none(portrait):
    noise = torch.rand(4, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    flat = torch.full((1, 3, 200, 100), 0.5)
    readings = [*read(portrait), *read(noise), *read(flat), *read(torch.zeros(1, 3, 1, 1))]
    assert not any(reading.present for reading in readings)
    assert all(0 <= reading.score < 6 for reading in readings)


def test_a_batch_is_its_pictures(portrait, marked):
    counts = []
    both = mark(
        torch.cat([portrait, portrait.flip(-1)]), NUMBER, callback=lambda done, of: counts.append((done, of))
    )
    torch.testing.assert_close(both[:1], marked, atol=1e-4, rtol=0)
    assert counts == [(1, 2), (2, 2)]
    assert [reading.number for reading in read(both)] == [NUMBER, NUMBER]


def test_frames_say_together_what_single_ones_do_not(portrait):
    """Noise that drowns the mark of a frame is another one in the next."""
    generator = torch.Generator().manual_seed(0)
    frames = (mark(portrait, 7, psnr=50) + 0.12 * torch.randn(24, 3, 256, 256, generator=generator)).clamp(
        0, 1
    )
    alone = read(frames)
    together = invisible.read_together(frames)
    assert together.present and together.number == 7
    assert not all(reading.present for reading in alone) and together.score > max(r.score for r in alone)


@pytest.mark.parametrize("cut", [(12, 3, 0, 7), (8, 8, 15, 15)])
def test_a_cropped_picture_is_read_when_cuts_are_tried(marked, cut):
    left, top, right, bottom = cut
    (reading,) = invisible.read_cropped(marked[..., top : 256 - bottom, left : 256 - right])
    assert reading.present and reading.number == NUMBER and reading.tries == invisible.CUTS


def test_a_picture_without_a_mark_has_none_however_it_is_cut(portrait):
    (reading,) = invisible.read_cropped(portrait)
    assert not reading.present


def test_a_large_picture_is_marked_like_a_small_one(portrait):
    large = torch.nn.functional.interpolate(portrait, (600, 900), mode="bicubic").clamp(0, 1)
    (reading,) = read(mark(large, 5))
    assert reading.present and reading.number == 5


def test_half_precision_stays(portrait):
    assert mark(portrait.half(), 1).dtype == torch.float16
    assert read(mark(portrait.half(), 1))[0].number == 1


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_no_number_scores_more_than_hoeffding_allows(seed):
    """What an unmarked picture says: any sizes, fair signs. The chance over all words is the bound's at most."""
    said = torch.randn(CARRIERS, generator=torch.Generator().manual_seed(seed)) ** 3
    scores = codebook(said) @ torch.nn.functional.normalize(said, dim=0)
    for score in (1.0, 2.0, 3.0):
        assert float((scores >= score).float().mean()) <= 1.1 * math.exp(-(score**2) / 2)
    assert float(scores.max()) < threshold()


def test_the_threshold_is_what_is_said():
    assert NUMBERS * math.exp(-(threshold() ** 2) / 2) == pytest.approx(invisible.FALSE_ALARM)
    assert threshold() < threshold(invisible.CUTS) < 0.75 * CARRIERS**0.5


def test_the_format_is_frozen():
    """Marks in the world stay readable: the same key, order and words on every machine and in every version."""
    carriers = invisible._Carriers(torch.zeros(1))
    words = codebook(torch.zeros(1))[[0, 1, 65535]]
    parts = (
        carriers.place.numpy().astype("<i8"),
        carriers.weights.sign().numpy().astype("<f4"),
        words.numpy(),
    )
    digest = hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()
    assert digest[:16] == "29e2cd192c8a3ad5"


@pytest.mark.parametrize(
    ("size", "number", "decibels", "words"),
    [
        (127, 0, 44, "at least 128x128 pixels, got 127x127"),
        (128, -1, 44, "from 0 to 65535, got -1"),
        (128, 65536, 44, "from 0 to 65535, got 65536"),
        (128, 0, 20, "from 30 to 60 dB, got 20"),
    ],
)
def test_what_cannot_be_marked_is_refused(size, number, decibels, words):
    with pytest.raises(ValueError, match=words):
        mark(torch.zeros(1, 3, size, size), number, psnr=decibels)
