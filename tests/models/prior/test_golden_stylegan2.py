"""models/prior/stylegan2.py against the reference's layers and mappings."""

import json
import math
import re
from copy import deepcopy

import pytest
import torch
from portrait_diffusion.models.prior.stylegan2 import (
    SynthesisBlock,
    SynthesisLayer,
    SynthesisNetwork,
    ToRGB,
    fir_taps,
    upsample,
)
from safetensors.torch import save_file

from ... import golden_fixtures
from ...golden_fixtures import assert_near, each
from . import family

TOLERANCE = 1e-5
GAINS = {"gain_sqrt_half": math.sqrt(0.5), "gain_half": 0.5}


@torch.no_grad()
def check_mapping(golden):
    """Every output of a mapping's fixture; one of codes alone has no label."""
    net = family.mapping(golden.config["init_kwargs"])
    net.load_state_dict(golden.state(golden.config["key_prefix"]))
    z = golden.given("z")
    c = golden.given("c") if golden.has("in/c") else None
    for name in [key.removeprefix("out/") for key in golden.tensors if key.startswith("out/")]:
        if truncation := re.fullmatch(r"(?:ws|t)_psi(\d+)(?:_cut(\d+))?", name):
            digits, cutoff = truncation.groups()
            ws = net(z, c, float(f"{digits[0]}.{digits[1:] or 0}"), None if cutoff is None else int(cutoff))
        elif name == "w_avg_after_update":
            trained = deepcopy(net)
            trained.update_average(trained.style(z, c))
            ws = trained.w_avg
        else:
            ws = net(z, c * {"ws_c_zero": 0.0, "ws_c_half": 0.5}[name])
        assert_near(ws, golden.wanted(name), TOLERANCE, name)


@each("*_mapping*", "*_t_mapping*")
def test_mappings(golden):
    check_mapping(golden)


def unlabelled(path, prefix="mapping."):
    """A fixture of a mapping of codes alone, by StyleGAN2's formulas, layer by layer."""
    draws = torch.Generator().manual_seed(0)
    z, w_avg = torch.randn(3, 6, generator=draws), torch.randn(8, generator=draws)
    x, state = z / z.square().mean(1, keepdim=True).add(1e-8).sqrt(), {"w_avg": w_avg}
    for i, (inputs, outputs) in enumerate(((6, 5), (5, 8))):
        weight, bias = (100 * torch.randn(outputs, n, generator=draws) for n in (inputs, 1))
        x = x @ weight.T * (0.01 / math.sqrt(inputs)) + 0.01 * bias[:, 0]
        x = torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)
        state |= {f"fc{i}.weight": weight, f"fc{i}.bias": bias[:, 0].clone()}
    ws = x[:, None].repeat(1, 4, 1)
    half = w_avg + 0.5 * (ws - w_avg)
    tensors = {f"state/{prefix}{key}": value for key, value in state.items()} | {"in/z": z}
    tensors |= {"out/ws_psi1": ws, "out/ws_psi05": half}
    tensors["out/ws_psi05_cut2"] = torch.cat([half[:, :2], ws[:, 2:]], 1)
    tensors["out/w_avg_after_update"] = x.mean(0) + 0.998 * (w_avg - x.mean(0))
    arguments = {"z_dim": 6, "c_dim": 0, "w_dim": 8, "num_ws": 4, "num_layers": 2, "layer_features": 5}
    config = {"family": "eg3d", "init_kwargs": arguments, "key_prefix": prefix}
    save_file(tensors, path, {"config": json.dumps(config)})


def test_a_mapping_of_codes_alone_is_taken_wherever_its_fixture_lies(tmp_path, monkeypatch):
    unlabelled(tmp_path / "hidden_eg3d_mapping_unlabelled.safetensors")
    monkeypatch.setattr(golden_fixtures, "GOLDEN_DIR", tmp_path)
    (path,) = golden_fixtures.paths("*_mapping*", "*_t_mapping*")
    golden = golden_fixtures.load(path)
    assert not golden.has("in/c")
    check_mapping(golden)
    golden.tensors["out/ws_psi05"][0] += 0.1
    with pytest.raises(AssertionError, match="ws_psi05: relative error"):
        check_mapping(golden)


def layer_options(name):
    """Noise mode and gain, from the name of an output."""
    gain = next((value for key, value in GAINS.items() if name.endswith(key)), 1.0)
    return "none" if name.startswith("none") else "const", gain


def run_layer(golden, module, kwargs):
    state, x = golden.state(f"{module}."), golden.given(f"{module}/x")
    layer = SynthesisLayer(
        kwargs["in_channels"],
        kwargs["out_channels"],
        kwargs["w_dim"],
        kwargs["resolution"],
        up=kwargs.get("up", 1) == 2,
        clamp=kwargs.get("conv_clamp"),
    )
    layer.load_state_dict(state)
    for name in outputs(golden, module):
        noise, gain = layer_options(name)
        yield name, layer(x, golden.given(f"{module}/w"), noise, gain=gain)


def run_block(golden, module, kwargs):
    x, image = golden.given(f"{module}/x"), golden.given(f"{module}/img")
    up = x.shape[-1] != kwargs["resolution"]
    block = SynthesisBlock(
        kwargs["in_channels"],
        kwargs["out_channels"],
        kwargs["w_dim"],
        kwargs["resolution"],
        kwargs["img_channels"],
        up=up,
        clamp=kwargs.get("conv_clamp"),
    )
    block.load_state_dict(golden.state(f"{module}."))
    yield from zip(("x", "img"), block(x, image, golden.given(f"{module}/ws")), strict=True)


def run_network(golden, module, kwargs):
    net = SynthesisNetwork(
        kwargs["w_dim"],
        kwargs["img_resolution"],
        kwargs["img_channels"],
        channel_base=kwargs["channel_base"],
        channel_max=kwargs["channel_max"],
        clamp=kwargs.get("conv_clamp"),
    )
    net.load_state_dict(golden.state(f"{module}."))
    for name in outputs(golden, module):
        yield name, net(golden.given(f"{module}/ws"), layer_options(name)[0])


def run_torgb(golden, module, kwargs):
    net = ToRGB(
        kwargs["in_channels"], kwargs["out_channels"], kwargs["w_dim"], clamp=kwargs.get("conv_clamp")
    )
    net.load_state_dict(golden.state(f"{module}."))
    for name in outputs(golden, module):
        yield name, net(golden.given(f"{module}/x"), golden.given(f"{module}/w"))


def outputs(golden, module):
    """Names of a module's outputs."""
    return [key.split("/")[-1] for key in golden.tensors if key.startswith(f"out/{module}/")]


@each("*_layers*")
@torch.no_grad()
def test_layers(golden):
    for module, kwargs in golden.config["modules"].items():
        run = (
            run_network
            if "img_resolution" in kwargs
            else run_block
            if "img_channels" in kwargs
            else run_layer
            if "resolution" in kwargs
            else run_torgb
        )
        for name, ours in run(golden, module, kwargs):
            assert_near(ours, golden.wanted(f"{module}/{name}"), TOLERANCE, f"{module}/{name}")
    assert_near(
        upsample(golden.given("upsample2d/x"), fir_taps()),
        golden.wanted("upsample2d/y"),
        TOLERANCE,
        "upsample2d",
    )
    assert torch.equal(fir_taps(), golden.wanted("filter/f"))


@each("*_layers*")
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.03), (torch.float16, 5e-3)])
@torch.no_grad()
def test_weights_and_activations_may_be_half(golden, dtype, tolerance):
    for module, kwargs in golden.config["modules"].items():
        if "img_resolution" not in kwargs:
            continue
        net = SynthesisNetwork(
            kwargs["w_dim"],
            kwargs["img_resolution"],
            kwargs["img_channels"],
            channel_base=kwargs["channel_base"],
            channel_max=kwargs["channel_max"],
        )
        net.load_state_dict(golden.state(f"{module}."))
        ws, wanted = golden.given(f"{module}/ws"), golden.wanted(f"{module}/const")
        assert_near(net(ws.to(dtype)).float(), wanted, tolerance, "half activations")
        assert_near(net.to(dtype)(ws), wanted, tolerance, "half weights")
