"""A generator of another family goes the whole way: EG3D's axes, a camera label, 512 numbers a code, no encoder and no critic."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import frontal, label_from_camera, orbit
from portrait_diffusion.models.diffusion.turbo import refine_sequence
from portrait_diffusion.models.distillation.head_scene import RefineConfig
from portrait_diffusion.models.distillation.refinement import refine
from portrait_diffusion.models.distillation.restoration import Guides, RestorationConfig, restore_geometry
from portrait_diffusion.models.field.triplane import EG3D, FieldConfig
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.fitting.baking import BakeConfig, bake
from portrait_diffusion.models.fitting.feed_forward import feed_forward_head
from portrait_diffusion.models.fitting.inversion import InversionConfig, first_styles, invert
from portrait_diffusion.models.head import load_head, save_head
from portrait_diffusion.models.portrait import MeshConfig, head_to_mesh
from portrait_diffusion.models.prior import contract
from portrait_diffusion.models.prior.detail_block import learnt_block
from portrait_diffusion.models.prior.eg3d import Generator, GeneratorConfig
from portrait_diffusion.models.prior.encoder import encodes
from portrait_diffusion.models.prior.families import family_of, load_generator

from . import small
from .diffusion import tiny
from .diffusion.test_hpdm import network
from .diffusion.test_new_views import model

FIELD = FieldConfig(
    plane_axes=EG3D,
    box_side=0.7,
    channels=6,
    depth=0,
    resolution=32,
    hidden=8,
    features=8,
    density_scale=40.0,
    surface_density=8.0,
)
CONFIG = GeneratorConfig(
    z_dim=512,
    w_dim=12,
    c_dim=25,
    channel_base=256,
    channel_max=8,
    field=FIELD,
    render=RenderConfig(coarse=8, fine=8),  # black shines through, as in EG3D
    raw_resolution=32,
    super_resolution="4X",
    sr_resolution=48,  # it enlarges what it is fed with
    sr_channels=(6, 4),
)
FIT = InversionConfig(
    latent_steps=2,
    tuning_steps=2,
    detail_steps=2,
    sweep_steps=2,
    rays=64,
    size=32,
    crop=16,
    crop_every=2,
    coarse=8,
    fine=8,
)


@pytest.fixture(scope="module")
def prior():
    """Random weights, but matter in the middle of the box."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Generator(CONFIG).requires_grad_(False)


def inverted(prior, state=None, callback=None, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return invert(prior, None, small.portrait(), FIT, generator=draws, state=state, callback=callback)


@pytest.fixture(scope="module")
def head_and_states(prior, coarse_surveys):
    """A head of it, and the state after each step on the way."""
    states = {}
    head = inverted(prior, callback=lambda now: states.setdefault(now.step, now.state()))
    return head, states


@pytest.fixture(scope="module")
def head(head_and_states):
    return head_and_states[0]


def test_heads_are_imagined_from_the_front_whoever_looks(prior):
    """The reference keeps the conditioning pose frontal while another camera renders."""
    z = torch.randn(2, 512, generator=torch.Generator().manual_seed(1))
    expected = prior.mapping(z, label_from_camera(frontal()).expand(2, -1))
    assert torch.equal(contract.styles(prior, z), expected)
    aside = prior.mapping(z, label_from_camera(orbit(torch.tensor(0.8), 0.0)).expand(2, -1))
    assert not torch.equal(aside, expected)
    assert contract.conditioning(small.generator(), z) is None


def test_it_begins_at_the_best_of_the_mean_and_a_few(prior):
    start, _ = first_styles(prior, None, small.portrait(), FIT, torch.Generator().manual_seed(0))
    candidates, _ = contract.mean_styles(prior, torch.Generator().manual_seed(0), torch.zeros(1))
    assert start.shape == (1, prior.num_ws, 12) and len(candidates) == 8
    assert any(torch.equal(start[0], candidate) for candidate in candidates)
    spread = candidates.std(0).mean()
    assert (
        0
        < spread
        < contract.styles(prior, torch.randn(64, 512, generator=torch.Generator().manual_seed(2)))
        .std(0)
        .mean()
    )


def test_the_pack_s_encoder_is_none_of_its(prior):
    assert not encodes(small.encoder(), prior) and encodes(small.encoder(), small.generator())
    with pytest.raises(ValueError, match="expected a prior with an encoder.*use Invert Portrait"):
        feed_forward_head(prior, None, small.portrait())


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_an_inversion_resumes_to_the_bit(prior, head_and_states, stop):
    head, states = head_and_states
    assert torch.equal(inverted(prior, state=states[stop]).planes, head.planes)


def test_a_head_is_saved_and_loaded(head, tmp_path):
    save_head(head, tmp_path / "head.safetensors", {"note": "a"})
    again = load_head(tmp_path / "head.safetensors")
    assert family_of(again.generator) == "eg3d" and type(again.generator) is Generator
    assert torch.equal(again.planes, head.planes) and torch.equal(again.latents, head.latents)
    camera = orbit(torch.tensor([0.4]), 0.1)
    assert torch.equal(again.render(camera, 64).rgb, head.render(camera, 64).rgb)


def test_weights_name_their_family(prior, tmp_path):
    from portrait_diffusion.models.checkpoint import write

    write(tmp_path / "prior.safetensors", "prior", prior.config, prior, family=family_of(prior))
    assert type(load_generator(tmp_path / "prior.safetensors")) is Generator
    write(tmp_path / "strange.safetensors", "prior", prior.config, prior, family="stranger")
    with pytest.raises(
        ValueError, match="expected a family among panohead, eg3d, spherehead, got 'stranger'"
    ):
        load_generator(tmp_path / "strange.safetensors")


def through_later_stages(head):
    """Restored, refined and, from refined frames of a turn, baked: the head and the cameras of that turn."""
    draws = torch.Generator().manual_seed(0)
    restoring = RestorationConfig(steps=1, azimuths=2, size=16, seen=32, samples=8, rays=32, picture=0.0)
    (restored,), _ = restore_geometry([head], Guides(model()), restoring, generator=draws)
    refining = RefineConfig(
        iterations=1, size=32, views=3, rays=48, coarse=8, fine=8, keep_shape=0.0, denoising_steps=1
    )
    refined = refine(restored, model(), network(), refining, generator=draws).head
    assert refined.planes.isfinite().all() and not torch.equal(refined.planes, head.planes)
    cameras = orbit(torch.tensor([0.0, 0.5, -0.5]), torch.zeros(3))
    renders = refined.render(cameras, 64, normals=False).rgb
    frames = refine_sequence(tiny.turbo(), renders, head.reference.on_white()[None], generator=draws)
    config = BakeConfig(steps=2, rays=32, size=32, coarse=8, fine=8)
    return bake(refined, frames, cameras, config, generator=draws), cameras


def test_it_goes_through_the_later_stages(head):
    assert learnt_block(head.config) is None  # that block knows the embedded prior's planes
    baked, cameras = through_later_stages(head)
    view = baked.render(cameras, 64)
    assert view.rgb.shape == (3, 3, 64, 64) and view.rgb.isfinite().all() and baked.generator is not None


def test_it_becomes_a_mesh(head):
    density = head.field().density(
        torch.rand(4000, 3, generator=torch.Generator().manual_seed(0)) * 0.6 - 0.3
    )
    mesh = head_to_mesh(
        head, MeshConfig(resolution=20, texture_size=64, surface_density=float(density.quantile(0.7)))
    )
    assert len(mesh.faces) > 0 and mesh.texture.shape == (3, 64, 64) and mesh.vertices.isfinite().all()


def test_its_sizes_are_its_own(prior):
    assert prior.resolution == 96 and prior.super_resolves and prior.config.raw_resolution == 32
    plain = Generator(replace(CONFIG, super_resolution="none"))
    assert not plain.super_resolves and plain.resolution == 32


def test_the_average_is_what_training_kept():
    net = Generator(CONFIG)
    net.backbone.mapping.w_avg.normal_(generator=torch.Generator().manual_seed(0))
    assert torch.equal(contract.average_styles(net), net.backbone.mapping.w_avg.expand(1, net.num_ws, -1))
