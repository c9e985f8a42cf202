"""models/avatar/decoder.py and models/field/decoders.py: the reference's planes and decoder, and heads that are made of them."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch
from portrait_diffusion.models.avatar.decoder import AvatarDecoder, avatar_field, decoder_of
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.checkpoint import read_tensors, save_tensors
from portrait_diffusion.models.field import occupancy
from portrait_diffusion.models.field.casting import MarchingCaster, render
from portrait_diffusion.models.field.decoders import encode
from portrait_diffusion.models.field.prepared import PreparedField, prepare
from portrait_diffusion.models.field.readable import ReadableField
from portrait_diffusion.models.field.triplane import AXES, Decoder, FieldConfig, TriplaneField, sample_planes
from portrait_diffusion.models.field.volume_rendering import RenderConfig
from portrait_diffusion.models.head import Head, load_head, save_head
from torch.testing import assert_close

from ...golden_fixtures import assert_near, each
from .small import field_of, random

TOLERANCE = 1e-5
FIELD = avatar_field(channels=8, resolution=12, hidden=8, bound=0.5)
SAMPLING = RenderConfig(coarse=24, fine=24)


def decoder(config=FIELD, seed=0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AvatarDecoder(config, **options)


def head():
    """A ball of about a quarter of a unit: the density's channels fall off from the middle, and the net follows them."""
    net = decoder().requires_grad_(False)
    texels = (torch.arange(12) - 5.5) / 11  # scene units
    radius = torch.hypot(texels[:, None], texels)
    planes = 0.5 * random(1, 3, 8, 12, 12)
    planes[:, :, 6:] = 0.25 - radius
    for layer in (net.sigma_net[0], net.sigma_net[2]):
        layer.weight.zero_()
    net.sigma_net[0].weight[0, 0], net.sigma_net[2].weight[0, 0] = 40.0, 4.0
    net.sigma_net[2].bias[0] = -8.0
    net.sigma_net[2].weight[1:] = 0.3 * random(8, 8)
    return Head(planes, net, FIELD)


@each("diffusion_rodin_decoder*")
@torch.no_grad()
def test_the_reference_s_planes(golden):
    """Aligned corners are our own, in a box that is larger by a texel."""
    config, points = field_of(golden), golden.given("xyz")
    for plane, axes in zip(golden.wanted("plane_uv"), config.plane_axes, strict=True):
        assert_near(points[:, [AXES[axis] for axis in axes]] / golden.config["bound"], plane, 1e-6, axes)
    features = sample_planes(golden.given("triplane")[None], points[None], config)[0]
    assert_near(features, golden.wanted("feature"), TOLERANCE, "feature")


@each("diffusion_rodin_decoder*")
@torch.no_grad()
def test_the_reference_s_decoder(golden):
    config = field_of(golden)
    net = AvatarDecoder(config, directions=True)
    net.load_state_dict(golden.state())
    planes, points = golden.given("triplane")[None], golden.given("xyz")
    for features in (golden.wanted("feature"), sample_planes(planes, points[None], config)[0]):
        raw, rgb = net(features, golden.given("dirs"))
        sigma = TriplaneField(planes, net, config).activate(raw)
        assert_near(sigma, golden.wanted("sigma"), TOLERANCE, "sigma")
        assert_near(rgb, golden.wanted("rgb"), TOLERANCE, "rgb")


@pytest.mark.parametrize("resolution", [2, 5, 16])
@pytest.mark.parametrize("bound", [0.5, 1.0])
def test_aligned_corners_are_a_larger_box(resolution, bound):
    config = avatar_field(channels=4, resolution=resolution, hidden=4, bound=bound)
    planes = random(1, *config.planes_shape)
    points = 1.3 * bound * (2 * torch.rand(1, 200, 3, generator=torch.Generator().manual_seed(0)) - 1)
    wanted = sum(
        torch.nn.functional.grid_sample(
            planes[:, plane], points[:, None, :, axes] / bound, align_corners=True
        )[:, :, 0].mT
        for plane, axes in enumerate(([0, 1], [0, 2], [1, 2]))
    )
    assert_close(sample_planes(planes, points, config), wanted / 3, rtol=1e-4, atol=1e-5)
    assert config.inside(torch.full((3,), bound))


def test_frequencies_are_blocks_over_all_channels():
    x = random(2, 3)
    assert_close(encode(x, 2), torch.cat([x, x.sin(), x.cos(), (2 * x).sin(), (2 * x).cos()], -1))
    assert encode(x, 0).shape == (2, 3)


def test_a_decoder_without_directions_has_no_inputs_for_them():
    plain, seeing = decoder(), decoder(directions=True)
    assert seeing.color_net[0].in_features - plain.color_net[0].in_features == 15
    assert {key.split(".")[0] for key in plain.state_dict()} == {"sigma_net", "color_net"}
    assert "color_net.2.weight" in plain.state_dict() and "color_net.0.bias" not in plain.state_dict()
    raw, rgb = plain(random(2, 5, 8))
    assert raw.shape == (2, 5) and rgb.shape == (2, 5, 3) and 0 < rgb.min() and rgb.max() < 1


def test_the_last_quarter_alone_makes_the_density():
    net, features = decoder(), random(5, 8)
    others = torch.cat([random(5, 6, seed=1), features[:, 6:]], -1)
    assert torch.equal(net(features)[0], net(others)[0]) and not torch.equal(net(features)[1], net(others)[1])


def test_the_density_is_an_exponential_within_float32_s_range():
    field = TriplaneField(torch.zeros(1, *FIELD.planes_shape), decoder(), FIELD)
    raw = torch.tensor([-200.0, -80.5, -2.0, 0.0, 14.0, 20.0, 1e4]).requires_grad_()
    density = field.activate(raw)
    wanted = [0.0, 0.0, *torch.tensor([-2.0, 0.0, 14.0, 20.0, 60.0]).exp().tolist()]
    assert_close(density, torch.tensor(wanted))
    density.sum().backward()
    assert_close(raw.grad, torch.tensor([0.0, 0.0, -2.0, 0.0, 14.0, 15.0, 15.0]).exp() * (raw > -80))
    scaled = replace(field, config=replace(FIELD, density_shift=1.0, density_scale=2.0))
    assert_close(scaled.activate(raw[3]), 2 * torch.tensor(1.0).exp())


@pytest.mark.parametrize("config", [replace(FIELD, density_shift=1.0, density_scale=2.0), FieldConfig()])
def test_a_density_s_raw_density_is_known(config):
    field = TriplaneField(torch.zeros(1, *config.planes_shape), decoder_of(config), config)
    assert_close(field.activate(torch.tensor(config.raw_of(30.0))), torch.tensor(30.0))


def test_gradients_reach_points_planes_and_all_weights():
    config = avatar_field(channels=4, resolution=4, hidden=8)
    net = decoder(config).double()
    planes = random(1, *config.planes_shape).double().requires_grad_()
    points = (0.3 * random(1, 4, 3)).double().requires_grad_()

    def values(planes, points):
        return TriplaneField(planes, net, config)(points)

    assert torch.autograd.gradcheck(values, (planes, points))
    density, colour = values(planes, points)
    (density.sum() + colour.sum()).backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in net.parameters())


def test_a_head_renders_the_same_by_marching_and_by_grid():
    subject, camera = head(), orbit(torch.tensor([0.4]), torch.tensor([0.1]))
    grid = occupancy.build(subject.field(), 24)
    assert not grid.solid.all()
    casters = MarchingCaster(subject.field()), occupancy.GridCaster(subject.field(), grid)
    with torch.no_grad():
        plain, fast = (render(cast, camera, 16, 16, SAMPLING) for cast in casters)
    assert plain.opacity.max() > 0.9 and plain.opacity[..., 0, 0].max() < 0.01
    assert_close(plain.rgb, fast.rgb, rtol=0, atol=2e-3)
    assert_close(plain.opacity, fast.opacity, rtol=0, atol=2e-3)


def test_a_prepared_field_is_the_same_field():
    subject, points = head().field(), 0.6 * random(1, 50, 3)
    twin = ReadableField(subject.planes, subject.decoder, subject.config)
    assert not isinstance(prepare(subject), PreparedField)
    for ours, theirs in zip(prepare(subject)(points), twin(points), strict=True):
        assert_close(ours, theirs)
    assert_close(prepare(subject).density(points), twin.density(points))


def test_a_head_colours_its_mesh():
    points = 0.25 * torch.nn.functional.normalize(random(20, 3), dim=-1)
    colour = head().colour(points, points * 4)
    assert colour.shape == (20, 3) and 0 <= colour.min() <= colour.max() <= 1 and colour.std(0).min() > 0


def test_a_saved_head_is_the_same_head(tmp_path):
    path, before = tmp_path / "head.safetensors", head()
    save_head(before, path)
    after = load_head(path)
    assert type(after.decoder) is AvatarDecoder and after.config == before.config
    camera = orbit(torch.tensor([0.4]), torch.tensor([0.1]))
    pictures = [each.render(camera, 8, SAMPLING).rgb for each in (before, after)]
    assert torch.equal(*pictures)


def test_files_from_before_have_perceptrons(tmp_path):
    path, config = tmp_path / "head.safetensors", FieldConfig(channels=4, resolution=4, hidden=4)
    planes, net = random(1, *config.planes_shape), Decoder(config)
    save_head(Head(planes, net, config), path)
    tensors, metadata = read_tensors(path, "head file")
    new = ("decoder", "degree", "colour_layers")
    values = {name: value for name, value in asdict(config).items() if name not in new}
    save_tensors(path, tensors, metadata | {"config": json.dumps(values)})
    assert type(load_head(path).decoder) is Decoder and load_head(path).config == config
    save_tensors(path, tensors, metadata | {"config": json.dumps(asdict(FIELD) | {"decoder": "mlp"})})
    with pytest.raises(ValueError, match="expected decoder to be one of perceptron, frequencies, got 'mlp'"):
        load_head(path)


def test_weights_of_another_decoder_are_named(tmp_path):
    path = tmp_path / "head.safetensors"
    save_head(head(), path)
    tensors, metadata = read_tensors(path, "head file")
    config = json.dumps(asdict(FIELD) | {"decoder": "perceptron"})
    save_tensors(path, tensors, metadata | {"config": config})
    with pytest.raises(ValueError, match=r"net\.0"):
        load_head(path)


def test_all_layers_are_the_caller_s_kind():
    operations = SimpleNamespace(Linear=type("Linear", (torch.nn.Linear,), {}))
    for config in (FIELD, FieldConfig(channels=4, hidden=4)):
        layers = [m for m in decoder_of(config, operations=operations).modules() if hasattr(m, "weight")]
        assert layers and all(isinstance(layer, operations.Linear) for layer in layers)


def test_half_networks_around_it_keep_the_density_s_range():
    with torch.autocast("cpu", torch.bfloat16):
        raw, rgb = decoder()(random(3, 8))
    assert raw.dtype == rgb.dtype == torch.float32


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: decoder(FieldConfig()), "expected a config whose decoder is frequencies, got perceptron"),
        (lambda: decoder()(torch.zeros(2, 7)), r"expected features \[..., 8\], got \[2, 7\]"),
        (lambda: decoder()(torch.zeros(2, 8), torch.zeros(2, 3)), "expected no directions, got some"),
        (lambda: decoder(directions=True)(torch.zeros(2, 8)), "expected directions, got none"),
        (
            lambda: decoder(directions=True)(torch.zeros(4, 2, 8), torch.zeros(4, 3)),
            r"a direction for each feature, \[4, 2, 3\], got \[4, 3\]",
        ),
        (lambda: avatar_field(resolution=1), "expected planes of 2 texels a side or more, got 1"),
        (lambda: avatar_field(channels=6), "expected channels in fours"),
        (lambda: replace(FIELD, activation="lrelu"), "3 features and a sigmoid"),
        (lambda: replace(FIELD, decoder=["x"]), "expected decoder to be one of"),
        (lambda: replace(FIELD, degree=-1), "expected degree from 0 to 16"),
        (lambda: replace(FIELD, colour_layers=0), "expected colour_layers from 1 to 16"),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
