"""models/head.py: a saved head is the same head; damaged and future files are refused."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.checkpoint import read_tensors, save_tensors
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.head import load_head, save_head

from .small import head

SAMPLING = RenderConfig(coarse=8, fine=8)


def test_a_saved_head_renders_the_same_bits(tmp_path):
    path = tmp_path / "Zoë.safetensors"
    before = head()
    save_head(before, path)
    after = load_head(path)
    camera = orbit(torch.tensor([0.4]), torch.tensor([0.1]))
    assert torch.equal(before.render(camera, 8, SAMPLING).rgb, after.render(camera, 8, SAMPLING).rgb)
    assert torch.equal(before.latents, after.latents)
    assert torch.equal(after.generator.synthesis(after.latents), after.planes)
    assert torch.equal(before.reference.image, after.reference.image)
    assert after.reference.photo_size == before.reference.photo_size


def test_notes_lie_beside_a_head_and_do_not_touch_it(tmp_path):
    path = tmp_path / "head.safetensors"
    save_head(head(), path, {"prompt": "{}", "kind": "nonsense"})
    assert read_tensors(path, "head file")[1]["prompt"] == "{}"
    assert torch.equal(load_head(path).planes, head().planes)


def test_a_head_without_generator_and_reference_is_a_head(tmp_path):
    path = tmp_path / "head.safetensors"
    save_head(replace(head(), generator=None, latents=None, reference=None), path)
    after = load_head(path)
    assert after.generator is None and after.latents is None and after.reference is None
    assert torch.equal(after.planes, head().planes)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t, m: m.update(format_version="7"), "has version 7; update this pack"),
        (lambda t, m: m.update(kind="prior"), "holds prior"),
        (lambda t, m: t["planes"].fill_(float("nan")), "planes in head.safetensors contains NaN"),
        (lambda t, m: t.update(planes=torch.zeros(1, 3, 4, 2, 8, 8)), "expected planes"),
        (lambda t, m: t.pop("planes"), "lacks or garbles"),
        (lambda t, m: t.pop("decoder.hidden.weight"), "hidden.weight is missing"),
        (lambda t, m: m.update(config="[]"), "lacks or garbles"),
    ],
)
def test_damaged_and_future_files_are_named(tmp_path, change, says):
    path = tmp_path / "head.safetensors"
    save_head(head(), path)
    tensors, metadata = read_tensors(path, "head file")
    change(tensors, metadata)
    save_tensors(path, tensors, metadata)
    with pytest.raises(ValueError, match=says):
        load_head(path)


def test_a_colour_is_what_a_ray_onto_the_surface_sees():
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    colour = head().colour(points, torch.nn.functional.normalize(points, dim=-1))
    assert colour.shape == (50, 3) and 0 <= colour.min() <= colour.max() <= 1
