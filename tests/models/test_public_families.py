"""Heads of PanoHead's and SphereHead's generators go through the later stages: restoration, refinement, Turbo, baking, mesh."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.diffusion.turbo import refine_sequence
from portrait_diffusion.models.distillation.head_scene import RefineConfig, with_resolution
from portrait_diffusion.models.distillation.refinement import refine
from portrait_diffusion.models.distillation.restoration import Guides, RestorationConfig, restore_geometry
from portrait_diffusion.models.fitting.baking import BakeConfig, bake
from portrait_diffusion.models.head import head_of, load_head, save_head
from portrait_diffusion.models.portrait import MeshConfig, head_to_mesh
from portrait_diffusion.models.prior.contract import average_styles
from torch.testing import assert_close

from . import small
from .diffusion import tiny
from .diffusion.test_hpdm import network
from .diffusion.test_new_views import model
from .prior import pretend


def head_with_matter(family):
    prior = pretend.with_matter(pretend.make(family))
    with torch.no_grad():
        return head_of(prior, average_styles(prior), small.portrait())


@pytest.mark.parametrize("family", ["panohead", "spherehead"])
def test_it_goes_through_the_later_stages(family, tmp_path):
    head, draws = head_with_matter(family), torch.Generator().manual_seed(0)
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
    baked = bake(refined, frames, cameras, config, generator=draws)
    save_head(baked, tmp_path / "head.safetensors")
    view = load_head(tmp_path / "head.safetensors").render(cameras, 64)
    assert view.rgb.isfinite().all() and view.opacity.max() > 0.5
    mesh = head_to_mesh(baked, MeshConfig(resolution=32, texture_size=64))
    assert len(mesh.faces) > 0 and mesh.texture.shape == (3, 64, 64) and mesh.vertices.isfinite().all()


@torch.no_grad()
def test_planes_on_spheres_can_be_finer():
    """The refinement's planes have a resolution of their own."""
    head, camera = head_with_matter("spherehead"), orbit(torch.tensor([0.3]), 0.1)
    fine = with_resolution(head, 64)
    assert fine.planes.shape == (1, 3, 4, 2, 64, 64) and fine.config.resolution == 64
    assert_close(
        replace(fine, generator=None, latents=None).render(camera, 24, head.sampling).opacity,
        replace(head, generator=None, latents=None).render(camera, 24, head.sampling).opacity,
        atol=0.35,
        rtol=0,
    )
