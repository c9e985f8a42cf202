"""Fit Head from Views and Portraits to Views without a server: what comes out, what is said, what goes on where it stopped."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from torch.testing import assert_close

from ..models import small

SIZE = 24


@pytest.fixture
def node(monkeypatch):
    """nodes/fitting.py, on a field of few numbers, without pictures."""
    from portrait_diffusion.models.avatar import new_head
    from portrait_diffusion.nodes import fitting

    field = replace(new_head.FIELD, channels=4, hidden=16)
    monkeypatch.setattr(new_head, "FIELD", field)
    monkeypatch.setattr(fitting, "picture", lambda now: None)
    return fitting


def cameras(count: int = 3, **values):
    from portrait_diffusion.nodes.types import CamerasOnWire

    yaw = torch.linspace(-0.6, 0.6, count)
    return CamerasOnWire(orbit(yaw, torch.zeros(count), **values), SIZE)


def disc() -> torch.Tensor:
    """A MASK [3, S, S] with a disc in each view."""
    v, u = torch.meshgrid(*2 * [torch.linspace(-1, 1, SIZE)], indexing="ij")
    return (u.hypot(v) < 0.6).float().expand(3, -1, -1).clone()


def execute(node, **changes):
    """The node's output of three red discs on white, in the mode in which ComfyUI runs nodes."""
    mask = disc()
    red = torch.tensor([0.8, 0.2, 0.2])
    inputs = {
        "images": mask[..., None] * red + 1 - mask[..., None],
        "cameras": cameras(),
        "steps": 40,
        "resolution": 32,
        "seed": 0,
        "background": node.ONE_COLOUR,
        "colour": "#ffffff",
        "masks": mask,
        "rays": 256,
    }
    with torch.inference_mode():
        return node.FitHeadFromViews.execute(**{**inputs, **changes})


def test_a_head_of_views_shows_them_and_has_the_front_as_its_portrait(node):
    output = execute(node)
    head = output.result[0].head
    assert "3 views fitted: " in output.ui["text"][0] and "dB inside the mask" in output.ui["text"][0]
    assert head.planes.shape == (1, 3, 4, 32, 32) and not head.planes.requires_grad
    assert_close(head.reference.camera.cam2world, cameras().cameras.cam2world[1])
    inside = head.reference.image[:, head.reference.mask[0] > 0.5]
    assert_close(inside.mean(1), torch.tensor([0.8, 0.2, 0.2]), atol=1e-5, rtol=0)


def test_a_seed_means_one_head_and_an_interrupted_one_goes_on_to_it(node, monkeypatch):
    import comfy.model_management as mm
    from portrait_diffusion.nodes import optimising

    whole = execute(node).result[0].head
    calls = 0

    def cancelled() -> None:
        nonlocal calls
        calls += 1
        if calls == 17:
            raise mm.InterruptProcessingException

    with monkeypatch.context() as patch:
        patch.setattr(mm, "throw_exception_if_processing_interrupted", cancelled)
        with pytest.raises(mm.InterruptProcessingException):
            execute(node)
    steps = []
    update = optimising.Progress.update
    monkeypatch.setattr(
        optimising.Progress, "update", lambda self, count, *rest: steps.append(count) or update(self, count)
    )
    again = execute(node).result[0].head
    assert steps[0] > 10 and torch.equal(again.planes, whole.planes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (lambda: {"masks": None}, "a mask for each image, got none"),
        (lambda: {"masks": disc()[:2]}, r"masks \[3, 1, 24, 24\]"),
        (lambda: {"masks": torch.zeros(3, SIZE, SIZE)}, "nothing is in 0, 1, 2"),
        (lambda: {"cameras": cameras(2)}, "a camera for each of 3 images"),
        (lambda: {"cameras": cameras(radius=0.3)}, "outside the head's box"),
        (
            lambda: {"images": torch.ones(1, SIZE, SIZE, 3), "masks": disc()[:1], "cameras": cameras(1)},
            "2 views or more",
        ),
    ],
)
def test_what_cannot_be_fitted_is_told_as_the_models_say_it(node, changes, words):
    with pytest.raises(ValueError, match=f"fit head: expected .*{words}"):
        execute(node, **changes())


def test_a_fit_begins_with_a_head_and_keeps_what_no_view_shows(node):
    from portrait_diffusion.nodes import loading

    known = small.head()
    start = loading.wire_head(known)
    assert torch.equal(execute(node, start=start, steps=0).result[0].head.planes, known.planes)
    head = execute(node, start=start, steps=20).result[0].head
    assert head.config == known.config and not torch.equal(head.planes, known.planes)
    for name, value in head.decoder.state_dict().items():
        assert torch.equal(value, known.decoder.state_dict()[name])


def test_an_unknown_background_is_taken_as_it_is(node):
    head = execute(node, background=node.UNKNOWN, steps=1).result[0].head
    assert head.reference is not None


def test_portraits_become_views_of_one_size(node):
    with torch.inference_mode():
        images, masks, views = node.PortraitsToViews.execute([small.portrait(32), small.portrait(48)]).result
    assert images.shape == (2, 48, 48, 3) and masks.shape == (2, 48, 48)
    assert views.size == 48 and views.cameras.shape == (2,)
    assert_close(images[1], small.portrait(48).on_white().movedim(0, -1))


def test_a_decoder_that_all_share_stays_as_it_is(node):
    from portrait_diffusion.models.avatar.shared_decoder import shared_decoder

    output = execute(node, decoder="embedded", steps=3)
    head, shared = output.args[0].head, shared_decoder()
    assert head.planes.shape == (1, *replace(shared.config.field, resolution=32).planes_shape)
    assert head.planes.abs().max() <= 1 + 1e-6
    for name, value in shared.decoder.state_dict().items():
        assert torch.equal(head.decoder.state_dict()[name], value)


def test_a_start_and_a_shared_decoder_are_one_too_many(node):
    start = execute(node, steps=1).args[0]
    with pytest.raises(ValueError, match="a head to start from or a decoder that all share, got both"):
        execute(node, start=start, decoder="embedded")
