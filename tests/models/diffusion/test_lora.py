from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.diffusion.denoiser import DiffusersDenoiser
from portrait_diffusion.models.diffusion.lora import (
    DECODER_TARGETS,
    UNET_TARGETS,
    Fingerprint,
    Lora,
    Update,
    eject,
    fingerprint,
    inject,
    load_lora,
    lora_of,
    merge_,
    merged,
    merging,
    read_peft,
    save_lora,
    target_names,
)
from torch.testing import assert_close

from . import tiny

seeds = st.integers(0, 2**31 - 1)


def random_lora(module, names, seed=0, rank=2):
    g, updates = tiny.draws(seed), {}
    for name in names:
        weight = module.get_submodule(name).weight
        a = torch.randn(rank, *weight.shape[1:], generator=g) * 0.1
        b = torch.randn(len(weight), rank, *[1] * (weight.ndim - 2), generator=g) * 0.1
        updates[name] = Update(a, b, 1.5)
    return Lora(updates)


def predict(unet):
    z, t, told = (
        torch.randn(2, 4, 8, 8, generator=tiny.draws(9)),
        torch.tensor([30, 600]),
        tiny.conditioning(2),
    )
    return DiffusersDenoiser(unet, tiny.denoiser().schedule)(z, t, told)


@given(seeds)
def test_merged_is_base_and_adapter_apart(seed):
    g = tiny.draws(seed)
    for layer, x in (
        (torch.nn.Conv2d(3, 5, 3, padding=1), torch.randn(2, 3, 6, 6, generator=g)),
        (torch.nn.Linear(4, 6), torch.randn(2, 4)),
    ):
        module = torch.nn.Sequential(layer)
        lora = random_lora(module, ["0"], seed)
        update = lora.updates["0"]
        with torch.no_grad():
            if isinstance(layer, torch.nn.Linear):
                apart = layer(x) + update.scale * (x @ update.a.T @ update.b.T)
            else:
                apart = layer(x) + update.scale * torch.nn.functional.conv2d(
                    torch.nn.functional.conv2d(x, update.a, padding=1), update.b
                )
            assert_close(merged(module, lora)(x), apart, rtol=1e-4, atol=1e-5)


def test_injected_is_merged_and_trains_only_its_factors():
    base, unet = tiny.unet(), tiny.unet()
    names = target_names(unet, UNET_TARGETS)
    assert "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0" in names and "conv_in" in names
    factors = inject(unet, names, rank=2, generator=tiny.draws(), alpha=4)
    assert torch.equal(predict(unet), predict(base))  # B is zero at first
    assert fingerprint(unet) == fingerprint(base)
    assert {id(p) for p in unet.parameters() if p.requires_grad} == {id(p) for p in factors}
    optimiser = torch.optim.SGD(factors, lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        predict(unet).square().mean().backward()
        optimiser.step()
    assert all(factor.grad is not None and factor.grad.abs().sum() > 0 for factor in factors)
    lora, trained = lora_of(unet), predict(unet).detach()
    assert (trained - predict(base)).abs().max() > 1e-3
    assert_close(predict(merged(base, lora)), trained, rtol=1e-4, atol=1e-5)
    assert {update.scale for update in lora.updates.values()} == {2.0}
    eject(unet)
    assert unet.state_dict().keys() == base.state_dict().keys() and torch.equal(predict(unet), predict(base))


def test_merging_is_undone_to_the_bit():
    unet = tiny.unet()
    before, lora = predict(unet), random_lora(unet, target_names(unet, ("to_q", "conv1")))
    with merging(unet, lora):
        inside = predict(unet)
    assert torch.equal(predict(unet), before)
    assert_close(inside, predict(merged(unet, lora)))
    assert_close(predict(merged(unet, lora.times(0))), before)


def test_names_can_be_split_and_prefixed():
    vae = tiny.vae()
    lora = random_lora(vae.decoder, target_names(vae.decoder, DECODER_TARGETS))
    whole = lora.below("decoder.")
    assert (
        whole.within("decoder.").updates.keys() == lora.updates.keys()
        and not whole.without("decoder.").updates
    )
    merge_(vae, whole)


def test_saved_and_loaded_again_on_its_base_only(tmp_path):
    unet, path = tiny.unet(), tmp_path / "lora.safetensors"
    lora = random_lora(unet, target_names(unet, UNET_TARGETS))
    save_lora(path, lora, fingerprint(unet), steps="7")
    again = load_lora(path, fingerprint(unet))
    assert_close(predict(merged(unet, again)), predict(merged(unet, lora)), rtol=1e-2, atol=1e-3)  # halves
    halves = {key: value.bfloat16() for key, value in unet.state_dict().items()}
    assert load_lora(path, fingerprint(halves)).updates.keys() == lora.updates.keys()
    with pytest.raises(ValueError, match="another base: this one is the same layout with other weights"):
        load_lora(path, fingerprint(tiny.unet(seed=1)))
    with pytest.raises(ValueError, match="another base: this one is a network of another layout"):
        load_lora(path, fingerprint(tiny.unet(in_channels=8)))
    with pytest.raises(ValueError, match="found none called"):
        load_lora(tmp_path / "other.safetensors", fingerprint(unet))


def test_a_slightly_trained_base_is_another_base():
    state = tiny.unet().state_dict()
    trained = {key: value * 1.02 for key, value in state.items()}
    assert not fingerprint(trained).same(fingerprint(state))
    assert fingerprint(state).same(fingerprint({key: value.half() for key, value in state.items()}))
    assert not Fingerprint("a", (1.0,)).same(Fingerprint("b", (1.0,)))


def test_updates_for_another_network_are_named_and_nothing_is_merged():
    unet = tiny.unet()
    lora, before = random_lora(unet, ["conv_in"]), predict(unet)
    for wrong, found in (
        (Lora({**lora.updates, "conv_inn": lora.updates["conv_in"]}), "conv_inn, found no such module"),
        (Lora({**lora.updates, "conv_out": lora.updates["conv_in"]}), r"conv_out, found \[4, 8, 3, 3\]"),
        (
            Lora({**lora.updates, "mid_block": lora.updates["conv_in"]}),
            "mid_block, found a module without weight",
        ),
    ):
        with pytest.raises(ValueError, match=found):
            merge_(unet, wrong)
    assert torch.equal(predict(unet), before)


def test_peft_keys():
    a, b = torch.zeros(4, 3), torch.zeros(5, 4)
    plain = read_peft(
        {"x.y.lora_A.weight": a, "x.y.lora_B.weight": b, "x.y.base_layer.weight": torch.zeros(5, 3)}, alpha=4
    )
    assert list(plain.updates) == ["x.y"] and plain.updates["x.y"].scale == 1
    named = read_peft(
        {"base_model.model.x.lora_A.some.weight": a, "base_model.model.x.lora_B.some.weight": b}
    )
    assert list(named.updates) == ["x"] and named.updates["x"].scale == 2
    assert replace(named.updates["x"], scale=0.0).delta().shape == (5, 3)
    with pytest.raises(ValueError, match="got 0 adapters"):
        read_peft({"x.weight": a})
