import pytest
import torch
from portrait_diffusion.models.marks.visible import CORNERS, TEXT, tag


def place_of(images: torch.Tensor, tagged: torch.Tensor) -> tuple[slice, slice]:
    """Rows and columns that changed."""
    changed = (images != tagged).any(1).any(0)
    rows, columns = (changed.any(side).nonzero()[:, 0] for side in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [64, 256, 1024])
def test_words_are_read_on_light_and_dark(level, size):
    """White letters, and around them a plate that is much darker."""
    images = torch.full((2, 3, size, size), level)
    tagged = tag(images, "AI")
    rows, columns = place_of(images, tagged)
    inside = tagged[..., rows, columns]
    assert float(inside.max()) > 0.95 and float(inside.min()) <= 0.42
    assert torch.equal(tagged[0], tagged[1]) and 0 < inside[0, 0].numel() < 0.12 * size * size


@pytest.mark.parametrize("corner", CORNERS)
def test_words_are_in_their_corner(corner):
    images = torch.full((1, 3, 200, 300), 0.5)
    rows, columns = place_of(images, tag(images, TEXT, corner))
    assert (rows.stop < 60) == corner.startswith("upper") and (rows.start > 140) == corner.startswith("lower")
    assert (columns.stop < 150) == corner.endswith("left") and (columns.start > 150) == corner.endswith(
        "right"
    )


def test_the_pictures_given_stay_as_they_are():
    images = torch.full((1, 3, 128, 128), 0.5)
    tag(images)
    assert bool((images == 0.5).all())


@pytest.mark.parametrize(
    ("text", "corner", "words"),
    [
        ("", CORNERS[0], "one line of Latin letters"),
        ("two\nlines", CORNERS[0], "one line of Latin letters"),
        ("\u8096\u50cf AI", CORNERS[0], "with \u50cf \u8096; change the text"),
        ("a text that is far too long for the picture", CORNERS[0], "words of at most .* shorten them"),
        ("AI", "middle", "a corner of lower right, .* got 'middle'"),
    ],
)
def test_what_cannot_be_shown_is_refused(text, corner, words):
    with pytest.raises(ValueError, match=words):
        tag(torch.zeros(1, 3, 128, 128), text, corner)
