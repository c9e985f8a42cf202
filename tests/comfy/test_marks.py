"""Mark Images and Read Mark through the real server: a picture and a film are marked, saved, loaded and read."""

import io

import numpy as np
import pytest
from PIL import Image

from .graphs import PACK, chain

MARK = {"text": "AI render", "corner": "lower right", "number": 4242, "psnr": 44.0}
PHOTO = [  # 1 and 2: of 256 pixels
    ("LoadImage", {"image": "portrait.png"}),
    (
        "ImageScale",
        {"image": "@1", "upscale_method": "area", "width": 256, "height": 256, "crop": "disabled"},
    ),
]


def marked(images: str, *, visible: bool = True, invisible: bool = True) -> tuple[str, dict]:
    return PACK + "MarkImages", MARK | {"images": images, "visible": visible, "invisible": invisible}


def reading(images: str, look: str = "each picture") -> tuple[str, dict]:
    return PACK + "ReadMark", {"images": images, "look": look}


def loaded(entry: dict) -> str:
    """An output file as core's loaders name it."""
    return f"{entry['subfolder']}/{entry['filename']} [output]"


def picture(client, entry: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(client.fetch(entry))).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def saved(server) -> dict:
    """Entries of saved pictures: as they are, with words, with a number, with both."""
    from portrait_diffusion.workflows.client import Client

    ways = {"words": {"invisible": False}, "number": {"visible": False}, "both": {}}
    outcome = Client(server.url).run(
        chain(
            *PHOTO,
            *(marked("@2", **way) for way in ways.values()),
            *(
                ("SaveImage", {"images": f"@{source}", "filename_prefix": f"marks/{name}"})
                for source, name in zip((2, 3, 4, 5), ("plain", *ways), strict=True)
            ),
        )
    )
    return {name: outcome.outputs[str(i)]["images"][0] for i, name in enumerate(("plain", *ways), 6)}


def test_what_was_saved_is_read(client, saved):
    names = list(saved)
    outcome = client.run(
        chain(
            *(("LoadImage", {"image": loaded(saved[name])}) for name in names),
            *(reading(f"@{i}") for i in range(1, 5)),
        )
    )
    words = {name: outcome.words()[str(i)] for i, name in enumerate(names, 5)}
    assert {name: "number 4242" in text for name, text in words.items()} == {
        "plain": False,
        "words": False,
        "number": True,
        "both": True,
    }
    assert all(text.startswith("0: no mark, score ") for text in (words["plain"], words["words"]))


def test_words_are_seen_and_a_number_is_not(client, saved):
    plain, words, number, both = (picture(client, entry) for entry in saved.values())
    corner = np.abs(words - plain).max(-1) > 8
    assert corner[128:, 128:].mean() > 0.02 and not corner[:128].any() and not corner[:, :128].any()
    assert 0 < np.abs(number - plain).mean() < 2
    assert np.abs(both - words)[:128].max() < 30 and np.abs(both - plain)[128:, 128:].max() > 60


def test_a_film_s_mark_is_read_of_its_frames_together(client):
    outcome = client.run(
        chain(
            *PHOTO,
            ("RepeatImageBatch", {"image": "@2", "amount": 4}),
            marked("@3"),
            ("CreateVideo", {"images": "@4", "fps": 12.0}),
            (
                "SaveVideo",
                {
                    "video": "@5",
                    "filename_prefix": "marks/film",
                    "format": "mp4",
                    "codec": "h264",
                    "codec.encoding": "auto",
                },
            ),
        )
    )
    (entry,) = outcome.outputs["6"]["images"]
    outcome = client.run(
        chain(
            ("LoadVideo", {"file": loaded(entry)}),
            ("GetVideoComponents", {"video": "@1"}),
            reading("@2", "one video"),
        )
    )
    assert outcome.words()["3"].startswith("0: number 4242, score ")
