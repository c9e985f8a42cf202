"""models/photo/reframing.py: the same photo, cropped closer, with everything that goes with it in its new place."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import orbit, project
from portrait_diffusion.models.photo.alignment import AlignedPortrait
from portrait_diffusion.models.photo.pose import CANONICAL_LANDMARKS
from portrait_diffusion.models.photo.reframing import crop_of_landmarks, reframed
from portrait_diffusion.models.prior.frames import FRAMES, Frame, frame_of
from torch.testing import assert_close

from .. import small
from ..prior import pretend

POINTS = torch.tensor(CANONICAL_LANDMARKS)


def portrait(yaw=0.0, size=96):
    """A smooth picture whose colours say where a pixel is."""
    ramp = (torch.arange(size) + 0.5) / size
    image = torch.stack(
        [ramp.expand(size, size), ramp[:, None].expand(size, size), torch.full((size, size), 0.5)]
    )
    camera = orbit(torch.tensor(yaw), torch.tensor(0.1))
    affine = torch.tensor([[2.0, 0.0, 30.0], [0.0, 2.0, 10.0]], dtype=torch.float64)
    return AlignedPortrait(image, torch.ones(1, size, size), camera, affine, (300, 300))


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("yaw", [0.0, -0.5])
def test_the_face_is_where_the_family_s_head_has_it(name, yaw):
    frame, reference = FRAMES[name], portrait(yaw)
    close = reframed(reference, frame.scale, frame.offset, 128)
    before, _ = project(reference.camera, POINTS)
    after, _ = project(close.camera, POINTS * frame.scale + torch.tensor(frame.offset))
    column, row = (after * 128 - 0.5).round().long().unbind(-1)
    assert_close(
        close.image[:2, row, column].mT, before, atol=0.035, rtol=0
    )  # perspective is another, the closer the head
    assert close.unknown is None and close.mask.min() > 0.99 and close.image.shape == (3, 128, 128)
    there, here = (
        torch.cat([torch.tensor([x, y, 1.0]).double()[None] for x, y in ((3, 5), (100, 90))]) @ m.mT
        for m in (close.crop_to_photo, reference.crop_to_photo)
    )
    inner = crop_of_landmarks(reference, frame.scale, frame.offset)
    pixels = torch.tensor([[3.0, 5.0], [100.0, 90.0]]).double() / 128 @ inner[:, :2].mT + inner[:, 2]
    assert_close(there, torch.cat([pixels * 96, torch.ones(2, 1)], 1) @ reference.crop_to_photo.mT)
    assert not torch.equal(there, here)


def test_eyes_are_a_quarter_of_the_crop_apart():
    """FFHQ's alignment, of which both are variants, puts 0.25 of the crop between the eyes; the pack's own 0.15."""
    camera = portrait().camera
    apart = {name: _eyes(camera, POINTS * f.scale + torch.tensor(f.offset)) for name, f in FRAMES.items()}
    assert _eyes(camera, POINTS) < 0.15
    assert apart["eg3d"] == pytest.approx(0.28, abs=0.01) and apart["panohead"] == pytest.approx(
        0.227, abs=0.01
    )


def _eyes(camera, points):
    left, right = project(camera, points[:2])[0]
    return float((left - right).norm())


def test_the_photo_s_resolution_and_what_it_does_not_tell_go_along():
    reference = portrait()
    fine = torch.nn.functional.interpolate(reference.image[None], size=(800, 800), mode="bilinear")[0]
    unknown = torch.zeros(1, 96, 96)
    unknown[..., :40] = 1
    reference = replace(reference, photo=(fine * 255).to(torch.uint8), unknown=unknown)
    close = reframed(reference, 1.5, (0.0, 0.0, 0.0), 128)
    assert close.photo.shape[-1] > 500 and close.photo.dtype == torch.uint8
    share = float(close.unknown.mean())
    assert 0.3 < share < 0.4 and set(close.unknown.unique().tolist()) == {0.0, 1.0}
    wide = reframed(reference, 0.5, (0.0, 0.0, 0.0), 64)  # beyond what was kept
    assert wide.unknown[0, 0, 0] == 1 and wide.mask[0, 0, 0] == 0 and wide.image[:, 0, 0].min() > 0.99
    with pytest.raises(ValueError, match="expected a scale above 0, got 0"):
        reframed(reference, 0, (0.0, 0.0, 0.0), 64)


def test_only_public_generators_have_a_frame_of_their_own():
    assert frame_of(small.generator()) == Frame()
    assert all(frame_of(pretend.make(name)) == FRAMES[name] != Frame() for name in FRAMES)
