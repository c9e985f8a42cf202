"""Heads of PanoHead's and SphereHead's generators go through the later stages: restoration, refinement, Turbo, baking, mesh."""

from dataclasses import replace

import pytest
import torch
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.distillation.head_scene import with_resolution
from portrait_diffusion.models.head import head_of, load_head, save_head
from portrait_diffusion.models.portrait import MeshConfig, head_to_mesh
from portrait_diffusion.models.prior.contract import average_styles
from torch.testing import assert_close

from . import small
from .prior import pretend
from .test_foreign_family import through_later_stages


def head_with_matter(family):
    prior = pretend.with_matter(pretend.make(family))
    with torch.no_grad():
        return head_of(prior, average_styles(prior), small.portrait())


@pytest.mark.parametrize("family", ["panohead", "spherehead"])
def test_it_goes_through_the_later_stages(family, tmp_path):
    baked, cameras = through_later_stages(head_with_matter(family))
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
