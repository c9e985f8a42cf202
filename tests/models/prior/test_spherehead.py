"""models/prior/spherehead.py: a map becomes the planes of two spheres; what is rendered of them, meshed, tuned, saved."""

from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F
from portrait_diffusion.models.camera import frontal, label_from_camera, orbit
from portrait_diffusion.models.fitting.baking import BakeConfig, bake
from portrait_diffusion.models.head import head_of, load_head, save_head
from portrait_diffusion.models.portrait import MeshConfig, head_to_mesh
from portrait_diffusion.models.prior.contract import styles
from portrait_diffusion.models.prior.families import family_of, generator_from
from portrait_diffusion.models.prior.spherehead import SphereHeadConfig
from torch.testing import assert_close

from .. import small
from . import pretend


@pytest.fixture(scope="module")
def net():
    return pretend.make("spherehead")


@pytest.fixture(scope="module")
def ws(net):
    return styles(net, torch.randn(2, 16, generator=torch.Generator().manual_seed(1)))


def convolved(image, layers):
    """The two layers one after the other, as StyleGAN2 has them."""
    for layer in layers:
        image = F.conv2d(image, layer.weight * layer.weight.shape[1] ** -0.5)
    return image.unflatten(1, (3, -1))


@torch.no_grad()
def test_planes_are_two_convolutions_of_one_map(net, ws):
    planes, image = net.planes(ws), net.backbone.synthesis(ws)
    assert planes.shape == (2, 3, 4, 2, 32, 32) and image.shape[1] == 10
    for sphere, layers in enumerate((net.ConvA, net.ConvB)):
        assert_close(planes[:, :, :, sphere], convolved(image, layers), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_batch_is_its_heads_one_by_one(net, ws):
    label = label_from_camera(frontal()).expand(2, -1)
    both = net.synthesis(ws, label, resolution=16)
    alone = net.synthesis(ws[1:], label[1:], resolution=16)
    assert both.image.isfinite().all() and both.mask is not None and both.opacity.std() > 0
    for name in ("image", "image_raw", "mask"):
        assert_close(getattr(both, name)[1:], getattr(alone, name), atol=1e-5, rtol=1e-4)


def test_every_layer_can_be_tuned(net, ws):
    tuned = pretend.make("spherehead").requires_grad_(True)
    image = tuned.synthesis(ws[:1], label_from_camera(frontal())[None], resolution=16).image
    image.square().sum().backward()
    moving = dict(tuned.tuned_parameters())
    for name in (
        "ConvA.0.weight",
        "ConvA.1.weight",
        "ConvB.0.weight",
        "ConvB.1.weight",
        "decoder.net.0.weight",
    ):
        assert moving[name].grad.abs().max() > 0


def test_a_config_survives_json_and_needs_spheres(net):
    again = generator_from(asdict(net.config), "spherehead")
    assert again.config == net.config and family_of(again) == "spherehead"
    with pytest.raises(ValueError, match="expected a field on spheres"):
        SphereHeadConfig()
    with pytest.raises(ValueError, match="expected map_channels from 1 to 4096, got 0"):
        replace(net.config, map_channels=0)


@torch.no_grad()
def test_a_head_is_saved_meshed_and_baked(net, ws, tmp_path):
    head = replace(head_of(net, ws[:1], small.portrait()), config=net.config.field)
    save_head(head, tmp_path / "head.safetensors")
    again, camera = load_head(tmp_path / "head.safetensors"), orbit(torch.tensor([0.0, 2.5]), 0.1)
    view = head.render(camera, 32)
    assert torch.equal(again.render(camera, 32).rgb, view.rgb) and view.rgb.isfinite().all()
    points = torch.rand(4000, 3, generator=torch.Generator().manual_seed(0)) * 0.6 - 0.3
    density = float(head.field().density(points).quantile(0.7))
    mesh = head_to_mesh(head, MeshConfig(resolution=24, texture_size=64, surface_density=density))
    assert len(mesh.faces) > 0 and mesh.vertices.isfinite().all()
    with torch.enable_grad():
        config = BakeConfig(steps=2, rays=32, size=32, coarse=8, fine=8)
        baked = bake(head, view.rgb, camera, config, generator=torch.Generator().manual_seed(0))
    assert baked.planes.isfinite().all() and not torch.equal(baked.planes, head.planes)
