"""models/avatar/model.py: three files make one model, which draws heads; files of other trainings are named."""

import json
from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.avatar.model import AvatarModel, avatar, load_avatar
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.checkpoint import read_tensors, save_tensors
from portrait_diffusion.models.head import load_head, save_head

from .. import small as heads
from . import small


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return small.files(tmp_path_factory.mktemp("avatar"))


@pytest.fixture(scope="module")
def model(paths) -> AvatarModel:
    return load_avatar(*paths)


def test_files_become_the_networks_that_were_saved(model):
    config = model.cascade.config
    assert (config.base, config.upsampler) == (small.FILE_BASE.network, small.FILE_UPSAMPLER.network)
    assert (config.base_steps, config.upsampler_steps, config.portrait) == (3, 2, small.PORTRAIT)
    own = small.base(small.FILE_BASE.network).half().float().state_dict()
    assert all(torch.equal(value, own[key]) for key, value in model.cascade.base.state_dict().items())
    modules = model.modules()
    assert not any(p.requires_grad for module in modules for p in module.parameters())


def test_a_head_comes_by_its_seed_and_portrait(model):
    portrait = heads.portrait()
    head = avatar(model, portrait, seeded())
    assert head.planes.shape == (1, 3, 4, 16, 16) and head.reference is portrait and head.generator is None
    assert torch.equal(avatar(model, portrait, seeded()).planes, head.planes)
    darker = replace(portrait, image=portrait.image / 2)
    for other in (avatar(model, portrait, seeded(1)), avatar(model, darker, seeded())):
        assert not torch.equal(other.planes, head.planes)
    view = head.render(orbit(torch.tensor([0.4]), 0.1), 24)
    assert view.rgb.isfinite().all() and view.opacity.max() > 0.1


def test_planes_are_brought_back_to_the_decoder_s_range(model):
    planes = avatar(model, None, seeded()).planes
    assert model.shared.normalised(planes).abs().max() <= 1
    assert (planes - model.shared.mean).abs().max() <= 1 / 1.5 + 1e-6


def test_nobody_is_drawn_without_guidance(model):
    head = avatar(model, None, seeded())
    assert head.reference is None
    assert torch.equal(avatar(model, None, seeded(), guidance_scale=7.0).planes, head.planes)
    assert not torch.equal(avatar(model, heads.portrait(), seeded()).planes, head.planes)


def test_steps_and_guidance_are_the_caller_s(model):
    shown = []
    avatar(
        model,
        None,
        seeded(),
        steps=4,
        callback=lambda *now: shown.append((*now[:2], now[2].planes.shape[-1])),
    )
    assert shown == [(i + 1, 8, 8 if i < 4 else 16) for i in range(8)]
    assert model.cascade.config.base_steps == 3
    near = avatar(model, heads.portrait(), seeded(), guidance_scale=1.0)
    far = avatar(model, heads.portrait(), seeded(), guidance_scale=4.0)
    assert not torch.equal(near.planes, far.planes)
    with pytest.raises(ValueError, match="guidance_scale"):
        avatar(model, heads.portrait(), seeded(), guidance_scale=-1.0)
    with pytest.raises(ValueError, match="base_steps"):
        avatar(model, None, seeded(), steps=0)


def test_a_callback_interrupts(model):
    def stop(done, total, head):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        avatar(model, None, seeded(), callback=stop)


def test_a_portrait_of_nothing_is_refused(model):
    portrait = heads.portrait()
    with pytest.raises(ValueError, match="mask with a foreground"):
        avatar(model, replace(portrait, mask=torch.zeros_like(portrait.mask)), seeded())


def test_an_avatar_is_saved_as_any_head(model, tmp_path):
    head = avatar(model, heads.portrait(), seeded())
    save_head(head, tmp_path / "head.safetensors")
    again = load_head(tmp_path / "head.safetensors")
    assert torch.equal(again.planes, head.planes) and again.reference is not None
    camera = orbit(torch.tensor([0.2]), 0.0)
    torch.testing.assert_close(again.render(camera, 16).rgb, head.render(camera, 16).rgb)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, "avatar_base.*expected the decoder that it was trained with"),
        (
            {"upsampler_file": replace(small.FILE_UPSAMPLER, portrait=replace(small.PORTRAIT, size=128))},
            "told of a portrait alike",
        ),
        (
            {"field": replace(small.FIELD, channels=8)},
            "decoder of planes xy, xz, yz without slices, of 4 channels",
        ),
        ({"field": replace(small.FIELD, depth=2)}, "got one of xy, xz, yz, 2 slices"),
        ({"field": replace(small.FIELD, plane_axes=("xy", "xz", "zx"))}, "got one of xy, xz, zx"),
        (
            {"base_file": replace(small.FILE_BASE, network=replace(small.BASE, map_patches=(8, 8)))},
            "read the autoencoder's latent and maps",
        ),
        (
            {"upsampler_file": replace(small.FILE_UPSAMPLER, network=replace(small.UPSAMPLER, size=4))},
            "finer ones from the upsampler",
        ),
    ],
)
def test_files_that_do_not_fit_each_other_are_named(changes, words, paths, tmp_path):
    others = small.files(tmp_path, **changes)
    chosen = [paths[0], *others[1:]] if "seed" in changes else others
    with pytest.raises(ValueError, match=words):
        load_avatar(*chosen)


def test_networks_of_another_autoencoder_are_named(paths, tmp_path):
    tensors, facts = read_tensors(paths[2], "upsampler")
    bases = json.loads(facts["bases"])
    bases["autoencoder"][1][0] += 1
    other = tmp_path / "other.safetensors"
    save_tensors(other, tensors, {**facts, "bases": json.dumps(bases)})
    with pytest.raises(ValueError, match="other.safetensors: expected the autoencoder that it was trained"):
        load_avatar(paths[0], paths[1], other)
    save_tensors(other, tensors, {key: value for key, value in facts.items() if key != "bases"})
    with pytest.raises(ValueError, match="no readable bases"):
        load_avatar(paths[0], paths[1], other)


def test_files_in_the_wrong_place_are_named(paths):
    with pytest.raises(ValueError, match="kind avatar_base, but avatar_upsampler.safetensors holds"):
        load_avatar(paths[0], paths[2], paths[1])
