"""models/head.py: a saved head is the same head; damaged and future files are refused."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import Camera, label_from_camera, orbit
from portrait_diffusion.models.checkpoint import read_tensors, save_tensors
from portrait_diffusion.models.field.outline import outline
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.head import load_head, save_head

from .small import CONFIG, FIELD, generator, head

SAMPLING = RenderConfig(coarse=8, fine=8)


def test_a_saved_head_renders_the_same_bits(tmp_path):
    path = tmp_path / "Zoë.safetensors"
    before = head()
    save_head(before, path)
    after = load_head(path)
    camera = orbit(torch.tensor([0.4]), torch.tensor([0.1]))
    assert torch.equal(before.render(camera, 8, SAMPLING).rgb, after.render(camera, 8, SAMPLING).rgb)
    assert torch.equal(before.latents, after.latents)
    assert torch.equal(after.generator.planes(after.latents), after.planes)
    assert torch.equal(before.reference.image, after.reference.image)
    assert after.reference.photo_size == before.reference.photo_size


def test_geometry_of_its_own_comes_back_and_makes_version_3(tmp_path):
    path, together = tmp_path / "head.safetensors", head()
    apart = replace(together, geometry=together.planes.flip(-1))
    save_head(apart, path)
    after = load_head(path)
    assert read_tensors(path, "head file")[1]["format_version"] == "3"
    camera = orbit(torch.tensor([0.4]), torch.tensor([0.1]))
    views = [each.render(camera, 8, SAMPLING) for each in (apart, after, together)]
    assert torch.equal(views[0].rgb, views[1].rgb) and not torch.equal(views[0].depth, views[2].depth)
    save_head(together, path)
    assert read_tensors(path, "head file")[1]["format_version"] == "2" and load_head(path).geometry is None


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
        (lambda t, m: t.update(geometry=torch.zeros(1, 3, 4, 2, 8, 8)), "expected geometry"),
        (lambda t, m: t.pop("planes"), "lacks or garbles"),
        (lambda t, m: t.pop("decoder.net.0.weight"), "net.0.weight is missing"),
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


def test_a_head_of_version_1_is_the_same_field_without_its_generator(tmp_path):
    path = tmp_path / "first.safetensors"
    save_head(head(), path)
    tensors, metadata = read_tensors(path, "head file")
    for old, new, inputs in (("hidden", "net.0", FIELD.channels), ("out", "net.2", FIELD.hidden)):
        tensors[f"decoder.{old}.weight"] = tensors.pop(f"decoder.{new}.weight") / inputs**0.5
        tensors[f"decoder.{old}.bias"] = tensors.pop(f"decoder.{new}.bias")
    kept = {key: value for key, value in tensors.items() if not key.startswith("generator.")}
    save_tensors(path, kept, metadata | {"format_version": "1"})
    after, points = load_head(path), torch.rand(40, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    assert after.generator is None and after.reference is not None
    for ours, theirs in zip(after.field()(points), head().field()(points), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_above_the_raw_size_a_head_is_super_resolved_unless_it_is_to_be_raw():
    subject, camera = head(), orbit(torch.tensor([0.2, 2.0]), torch.tensor([0.0, 0.1]))
    small, fine, raw = (
        subject.render(camera, size, raw=raw) for size, raw in ((16, False), (40, False), (40, True))
    )
    assert fine.rgb.shape == raw.rgb.shape == (2, 3, 40, 40) and fine.normal.shape == (2, 3, 40, 40)
    assert fine.depth.shape == fine.opacity.shape == (2, 1, 40, 40)
    assert not torch.allclose(fine.rgb, raw.rgb, atol=1e-2)
    shrunk = torch.nn.functional.interpolate(fine.opacity, size=(16, 16), mode="bilinear", antialias=True)
    assert (shrunk - small.opacity).abs().mean() < 0.05
    full = raw.opacity > raw.opacity.median()
    assert (fine.depth - raw.depth)[full].abs().median() < 0.03
    lengths = fine.normal.norm(dim=1)
    assert ((lengths - 1).abs() < 1e-4).logical_or(lengths == 0).all()


def test_super_resolution_sees_what_the_generator_would_show():
    subject, camera = head(), orbit(torch.tensor([0.2]), torch.tensor([0.0]))
    seen = subject.generator.synthesis(subject.latents, label_from_camera(camera))
    shown, field = subject.render(camera, 32), subject.render(camera, 32, raw=True)
    own = outline(subject.render(camera, 16).opacity, 32)
    wanted = torch.where(
        own, field.rgb, ((seen.image + 1) / 2).clamp(0, 1)
    )  # but for outlines, which are the field's
    assert not own.all()
    torch.testing.assert_close(shown.rgb, wanted, atol=1e-4, rtol=1e-4)


def test_another_backdrop_changes_only_what_shows_through():
    subject, camera = head(), orbit(torch.tensor([0.2]), torch.tensor([0.0]))
    white, red = (
        subject.render(camera, 32, background=colour) for colour in ((1.0, 1.0, 1.0), (1.0, 0.0, 0.0))
    )
    torch.testing.assert_close(white.rgb[:, 0], red.rgb[:, 0])
    solid = white.opacity[:, 0] > 0.999
    torch.testing.assert_close(
        white.rgb.movedim(1, -1)[solid], red.rgb.movedim(1, -1)[solid], atol=2e-3, rtol=0
    )


def test_colours_with_a_layer_of_their_own_are_the_fields_colours():
    config = replace(
        CONFIG,
        field=replace(FIELD, activation="none"),
        raw_rgb=True,
        render=replace(CONFIG.render, white_back=False),
    )
    net = generator(config=config)
    latents = net.mapping(torch.randn(1, 6, generator=torch.Generator().manual_seed(0)))
    subject = replace(
        head(),
        planes=net.planes(latents),
        decoder=net.decoder,
        config=config.field,
        latents=latents,
        generator=net,
    )
    camera = orbit(torch.tensor([0.2]), torch.tensor([0.0]))
    black = (0.0, 0.0, 0.0)
    seen = net.synthesis(latents, label_from_camera(camera))
    # the colour layer's bias is that of an opaque head: what is left of it shows the backdrop
    expected = (seen.image_raw + 1) / 2 - (1 - seen.opacity) * (net.torgb.bias[:, None, None] + 1) / 2
    torch.testing.assert_close(
        subject.render(camera, 16, background=black).rgb, expected, atol=1e-4, rtol=1e-4
    )


def test_floats_of_other_precision_become_a_head_s_own(tmp_path):
    path = tmp_path / "head.safetensors"
    save_head(head(), path)
    tensors, metadata = read_tensors(path, "head")
    others = {
        key: value.half() if key == "reference.cam2world" else value.double()
        for key, value in tensors.items()
    }
    save_tensors(path, others, metadata)
    again = load_head(path)
    camera = again.reference.camera
    parts = (again.planes, again.latents, again.reference.image, camera.cam2world, camera.intrinsics)
    assert {part.dtype for part in parts} == {torch.float32} and torch.equal(again.planes, tensors["planes"])
    assert again.render(Camera(camera.cam2world[None], camera.intrinsics[None]), 8).rgb.isfinite().all()


def with_photo(side=48):
    """A head whose portrait has its photo at the photo's own resolution."""
    draws = torch.Generator().manual_seed(0)
    photo = torch.randint(0, 256, (3, side, side), generator=draws, dtype=torch.uint8)
    return replace(head(), reference=replace(head().reference, photo=photo))


def test_a_saved_head_keeps_the_photo_at_its_own_resolution(tmp_path):
    path = tmp_path / "head.safetensors"
    save_head(with_photo(), path)
    reference = load_head(path).reference
    assert torch.equal(reference.photo, with_photo().reference.photo)
    assert torch.equal(reference.finest(), reference.photo / 255)
    save_head(head(), path)
    assert load_head(path).reference.photo is None
    assert torch.equal(load_head(path).reference.finest(), head().reference.image)


@pytest.mark.parametrize(
    "photo",
    [
        torch.zeros(3, 8, 8),
        torch.zeros(3, 8, 9, dtype=torch.uint8),
        torch.zeros(8, dtype=torch.uint8),
        torch.zeros(3, 0, 0, dtype=torch.uint8),
        torch.zeros(3, 2049, 2049, dtype=torch.uint8),
    ],
)
def test_a_photo_that_is_none_is_refused(tmp_path, photo):
    path = tmp_path / "head.safetensors"
    save_head(with_photo(), path)
    tensors, metadata = read_tensors(path, "head file")
    save_tensors(path, tensors | {"reference.photo": photo}, metadata)
    with pytest.raises(ValueError, match="reference.photo"):
        load_head(path)
