"""Mark Images and Read Mark, without a server."""

import pytest
import torch


@pytest.fixture(scope="module")
def nodes(comfyui):
    from portrait_diffusion.nodes import marks

    return marks


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """IMAGE [2, 160, 192, 3]: two gradients."""
    across = torch.linspace(0.1, 0.9, 192).expand(160, 192)
    return torch.stack([across, across.flip(1)])[..., None].expand(-1, -1, -1, 3).contiguous()


def marked(nodes, images, *, visible: bool = False, invisible: bool = True, number: int = 77) -> torch.Tensor:
    return nodes.MarkImages.execute(images, visible, "AI render", "lower left", invisible, number).result[0]


def test_what_is_marked_is_read(nodes, images):
    found, number, score, report = nodes.ReadMark.execute(marked(nodes, images), "each picture").result
    assert found and number == 77 and score > 8 and report.count("number 77") == 2
    found, number, _, report = nodes.ReadMark.execute(marked(nodes, images), "one video").result
    assert found and number == 77 and len(report.splitlines()) == 1


def test_what_was_cropped_is_read_when_asked_for(nodes, images):
    some = marked(nodes, images)[:1, 5:, 9:-4]
    assert not nodes.ReadMark.execute(some, "each picture").result[0]
    assert nodes.ReadMark.execute(some, "cropped pictures").result[:2] == (True, 77)


def test_what_is_not_marked_is_said_to_have_none(nodes, images):
    found, number, score, report = nodes.ReadMark.execute(images, "each picture").result
    assert not found and number == -1 and score < 7 and report.count("no mark") == 2


def test_one_without_a_mark_is_enough(nodes, images):
    some = torch.cat([images[:1], marked(nodes, images)[1:]])
    found, number, _, report = nodes.ReadMark.execute(some, "each picture").result
    assert not found and number == 77
    assert report.startswith("0: no mark") and "\n1: number 77" in report


def test_each_mark_is_asked_for(nodes, images):
    both = marked(nodes, images, visible=True)
    words = marked(nodes, images, visible=True, invisible=False)
    assert torch.equal(marked(nodes, images, invisible=False), images)
    apart = (words != images).any(-1).any(0)
    assert bool(apart[120:, :100].any()) and not bool(apart[:120].any()) and not bool(apart[:, 100:].any())
    assert nodes.ReadMark.execute(both, "each picture").result[1] == 77
    assert not nodes.ReadMark.execute(words, "each picture").result[0]


def test_small_pictures_take_words_only(nodes, images):
    small = images[:, :100, :100]
    with pytest.raises(ValueError, match="mark: expected pictures of at least 128x128 pixels, got 100x100"):
        marked(nodes, small)
    assert marked(nodes, small, visible=True, invisible=False).shape == small.shape
