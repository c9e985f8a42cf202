"""Align Portrait without a server: core's masks, alpha, several faces, and what the node's text says."""

import pytest
import torch
from portrait_diffusion.models.photo import pose
from portrait_diffusion.models.photo.alignment import uncropped

from ..models import small
from ..models.photo import scenes


@pytest.fixture(scope="module")
def node():
    from portrait_diffusion.nodes import alignment

    return alignment


@pytest.fixture(scope="module")
def photo():
    """IMAGE [1, 128, 128, 3]: a factory head."""
    return scenes.factory_photo(90_001)[0].movedim(0, -1)[None]


def aligned(node, image, **inputs):
    with torch.inference_mode():
        return node.AlignPortrait.execute(image, size=64, **inputs)


def test_zeros_alone_are_no_mask(node, photo):
    """Load Image gives 64 x 64 zeros beside an opaque picture: they mean that there is none."""
    plain = aligned(node, photo)
    wired = aligned(node, photo, foreground_mask=torch.zeros(1, 64, 64))
    assert torch.equal(wired.args[0][0].mask, plain.args[0][0].mask)
    masks = node.masks_for(
        torch.stack([torch.zeros(8, 8), torch.ones(8, 8)]), node.photos_of(photo.expand(2, -1, -1, -1))
    )
    assert masks[0] is None and masks[1].shape == (1, 128, 128)


def test_core_s_mask_is_one_minus_alpha_and_is_turned_round(node, photo):
    alpha = small_disc()
    wired = aligned(node, photo, foreground_mask=1 - alpha, crop="manual", crop_size=1.0).args[0][0]
    assert float(wired.mask[0, 32, 32]) == 1 and float(wired.mask[0, 2, 2]) == 0


def small_disc():
    """[1, 128, 128]: 1 in the middle."""
    y, x = torch.meshgrid(torch.arange(128.0) - 64, torch.arange(128.0) - 64, indexing="ij")
    return (torch.hypot(x, y) < 36).float()[None]


def test_alpha_of_the_image_is_the_mask_where_none_is_wired(node, photo):
    alpha = small_disc()
    rgba = torch.cat([photo, alpha[..., None]], -1)
    own = aligned(node, rgba, crop="manual", crop_size=1.0).args[0][0]
    assert torch.allclose(own.mask[0, 24:40, 24:40], torch.ones(16, 16)) and float(own.mask[0, 2, 2]) == 0
    wired = aligned(node, rgba, crop="manual", crop_size=1.0, foreground_mask=torch.ones(1, 128, 128)).args[
        0
    ][0]
    assert float(wired.mask.min()) > 0.99


def face_at(x, size):
    """One of core's faces, its six landmarks about (x, 100)."""
    xy = torch.full((478, 2), -1.0)
    places = torch.tensor(pose.CANONICAL_LANDMARKS)[:, :2] * torch.tensor([1.0, -1.0]) * size
    xy[list(pose.MEDIAPIPE_INDICES)] = places + torch.tensor([float(x), 100.0])
    return {"landmarks_xy": xy.numpy()}


def test_of_core_s_faces_the_large_central_one_or_the_one_asked_for(node):
    faces, photos = [face_at(20, 200), face_at(100, 400), face_at(180, 200)], [torch.zeros(3, 200, 200)]
    frames = {"frames": [faces]}
    assert node.faces_for(frames, photos, 0) == [faces[1]]
    assert node.faces_for(frames, photos, 3) == [faces[2]]
    assert node.faces_for(None, photos, 3) == [None]
    with pytest.raises(ValueError, match="expected face 4 in every photo, got fewer in photo 0"):
        node.faces_for(frames, photos, 4)


def test_the_node_says_what_is_missing(node, photo):
    text = aligned(node, photo[:, 48:]).ui["text"]
    assert len(text) == 1 and text[0].startswith("the head is cut at the top")
    several = [uncropped(small.portrait().image, small.portrait().mask, small.portrait().camera)] * 2
    assert node.notes_of(several) == []


def test_a_picture_of_another_shape_is_refused(node):
    with pytest.raises(ValueError, match=r"expected an IMAGE .* got \[1, 8, 8, 2\]"):
        node.photos_of(torch.zeros(1, 8, 8, 2))
    assert node.photos_of(torch.zeros(2, 8, 8, 1))[0].shape == (3, 8, 8)
