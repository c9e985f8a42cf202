"""models/avatar/regularisers.py: the reference's numbers, closed forms, and what comes back after a visit and a file."""

import pytest
import torch
from portrait_diffusion.models.avatar.decoder import AvatarDecoder
from portrait_diffusion.models.avatar.regularisers import Consolidation, l1, l2, slopes, total_variation
from portrait_diffusion.models.checkpoint import read_tensors, save_tensors
from torch.testing import assert_close

from ...golden_fixtures import assert_near, each
from .small import field_of, random

TOLERANCE = 1e-5


def net(seed=0):
    layer = torch.nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(random(2, 3, seed=seed))
        layer.bias.copy_(random(2, seed=seed + 1))
    return layer


def gradients(seed=5):
    return {"weight": random(2, 3, seed=seed), "bias": random(2, seed=seed + 1)}


def visit(layer=None, **options):
    memory = Consolidation(**options)
    memory.end_visit("ada", layer or net(), gradients())
    return memory


@each("diffusion_rodin_decoder*")
def test_the_reference_s_planes(golden):
    planes = golden.given("triplane")[None]
    assert_near(1e-2 * total_variation(planes), golden.wanted("tv_reg"), TOLERANCE, "tv_reg")
    assert_near(l1(planes), golden.wanted("l1_reg"), TOLERANCE, "l1_reg")


@each("diffusion_rodin_decoder*")
def test_the_reference_s_consolidation(golden):
    """As released: no half, and its strength apart."""
    decoder = AvatarDecoder(field_of(golden), directions=True)
    decoder.load_state_dict({name: golden.given(f"optpar/{name}") for name in decoder.state_dict()})
    memory = Consolidation(strength=1.0, halved=False)
    memory.end_visit(
        "s", decoder, {name: golden.given(f"fisher/{name}").sqrt() for name in decoder.state_dict()}
    )
    decoder.load_state_dict(golden.state())
    loss = memory.loss("s", decoder)
    assert_near(loss, golden.wanted("iwc_loss"), TOLERANCE, "iwc_loss")
    for name, slope in slopes(loss, decoder).items():
        assert_near(slope, golden.wanted(f"iwc_grad/{name}"), TOLERANCE, name)


def test_ramps_and_constants_are_known():
    planes = 3.0 * torch.arange(5.0).expand(2, 3, 4, 6, 5)
    assert_close(total_variation(planes), torch.tensor(2 * 3 * 9.0))
    assert_close(total_variation(planes.mT), torch.tensor(2 * 3 * 9.0))
    flat = torch.full((1, 3, 4, 2, 6, 5), -2.0)  # a tri-grid's
    assert [f(flat).item() for f in (total_variation, l1, l2)] == [0.0, 6.0, 12.0]


@pytest.mark.parametrize("regulariser", [total_variation, l1, l2])
def test_planes_have_gradients(regulariser):
    planes = random(1, 3, 2, 3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(regulariser, planes)


def test_equation_3():
    before, now, memory = net(), net(9), visit(strength=0.4)
    wanted = sum(
        0.2 * (gradients()[name] ** 2 * (weight - dict(before.named_parameters())[name]) ** 2).sum()
        for name, weight in now.named_parameters()
    )
    assert_close(memory.loss("ada", now), wanted)
    assert_close(visit(strength=0.4, halved=False).loss("ada", now), 2 * wanted)


def test_it_begins_with_the_second_visit_of_each():
    memory, layer = Consolidation(), net()
    assert memory.loss("ada", layer) == 0
    memory.end_visit("ada", layer, gradients())
    assert memory.loss("ada", net(3)) > 0 and memory.loss("bo", net(3)) == 0
    assert memory.loss("ada", layer) == 0  # where it was


def test_a_visit_takes_the_place_of_the_last_and_keeps_copies():
    layer = net()
    memory = visit(layer)
    with torch.no_grad():
        layer.weight += 1
    assert memory.loss("ada", layer) > 0
    memory.end_visit("ada", layer, gradients(7))
    assert memory.loss("ada", layer) == 0
    assert_close(memory.importance["ada"]["bias"], gradients(7)["bias"] ** 2)


def test_slopes_are_the_data_s_and_leave_no_trace():
    layer = net()
    found = slopes(layer.weight.square().sum(), layer)
    assert_close(found["weight"], 2 * layer.weight.detach())
    assert not found["bias"].any() and layer.weight.grad is None


def test_a_resumed_run_goes_on_the_same(tmp_path):
    path, memory, again = tmp_path / "run.safetensors", visit(), Consolidation()
    memory.end_visit("folder/bo", net(2), gradients(3))
    save_tensors(path, memory.tensors(), {})
    again.load(read_tensors(path, "run")[0])
    assert memory.tensors().keys() == again.tensors().keys()
    for identity in ("ada", "folder/bo"):
        assert torch.equal(again.loss(identity, net(8)), memory.loss(identity, net(8)))


def half(memory):
    return {key: value for key, value in memory.tensors().items() if "/weights/" in key}


@pytest.mark.parametrize(
    "call, words",
    [
        (
            lambda: l1(torch.zeros(3, 2, 4, 4)),
            r"expected planes \[B, 3, C, \(D,\) H, W\].* got \[3, 2, 4, 4\]",
        ),
        (lambda: l2(torch.zeros(1, 2, 2, 4, 4)), r"got \[1, 2, 2, 4, 4\]"),
        (lambda: total_variation(torch.zeros(1, 3, 2, 1, 4)), "2 texels a side"),
        (lambda: Consolidation().end_visit("ada", net(), {}), r"gradients to have weight \[2, 3\], got none"),
        (
            lambda: Consolidation().end_visit("ada", net(), gradients() | {"more": torch.zeros(1)}),
            r"more none, got \[1\]",
        ),
        (
            lambda: Consolidation().end_visit(
                "ada", net(), gradients() | {"bias": torch.full((2,), torch.nan)}
            ),
            "expected finite gradients, got NaN or infinity in bias of 'ada'",
        ),
        (
            lambda: visit().loss("ada", torch.nn.Linear(4, 2)),
            r"weights of 'ada' to have weight \[2, 4\], got \[2, 3\]",
        ),
        (lambda: Consolidation().load({"ada/momentum/bias": torch.zeros(2)}), "got 'ada/momentum/bias'"),
        (
            lambda: Consolidation().load(half(visit())),
            r"importance of 'ada' to have weight \[2, 3\], got none",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
