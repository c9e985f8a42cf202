"""`train restoration`: faults are drawn as said, the block learns to undo one, its generator is never touched, figures compare with none."""

import pytest
import torch
from portrait_diffusion.models.prior.detail_block import new_block
from portrait_diffusion.models.synthetic.renders import Renders
from portrait_diffusion.models.training import restoration
from portrait_diffusion.models.training.restoration import PlaneData, drawn_fault, losses, total, validate
from portrait_diffusion.models.training.spoilt import LEARNT, Fault

from ..small import FIELD, generator, head

SIZE = 16


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(restoration, "RAYS", 32)
    monkeypatch.setattr(restoration, "VIEWS", 2)


def data(count=2) -> PlaneData:
    """Heads whose views are the heads' own."""
    made = [head(seed) for seed in range(count)]
    yaw = torch.tensor([0.0, 2.0, -2.5]).expand(count, 3)
    truth = Renders(
        parameters=torch.zeros(count, 1),
        rgb=torch.full((count, 3, 3, SIZE, SIZE), 90, dtype=torch.uint8),
        mask=torch.ones(count, 3, SIZE, SIZE, dtype=torch.uint8),
        beyond=torch.zeros(count, 3, SIZE, SIZE).half(),
        yaw=yaw,
        pitch=torch.zeros(count, 3),
    )
    return PlaneData(torch.cat([one.planes.half() for one in made]), truth)


def test_faults_are_of_the_kinds_that_are_learnt_or_none():
    draws = torch.Generator().manual_seed(0)
    drawn = [drawn_fault(draws) for _ in range(300)]
    kinds = {fault.kind for fault in drawn if fault is not None}
    assert kinds == set(LEARNT) and 0.2 < sum(fault is None for fault in drawn) / 300 < 0.4
    assert "slipped" not in kinds
    for fault in drawn:
        if fault is not None:
            low, high = restoration.RANGES[fault.kind]
            assert low <= fault.amount <= high


def test_the_block_alone_learns(small):
    prior, block = generator(), new_block(FIELD)
    before = [p.clone() for p in prior.parameters()]
    optimiser = torch.optim.Adam(block.parameters(), lr=3e-3)
    faults, course = [Fault("doubled", 1.0), None], []
    for _ in range(20):
        loss = total(losses(block, prior, data(), torch.arange(2), faults, torch.Generator().manual_seed(0)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        course.append(loss.item())
    assert sum(course[-3:]) < 0.9 * sum(course[:3])
    assert all(torch.equal(a, b) for a, b in zip(before, prior.parameters(), strict=True))


def test_a_block_that_does_nothing_has_shares_of_one(small):
    figures = validate(new_block(FIELD), generator(), data())
    assert set(figures) == {
        "whole_share",
        "doubled_share",
        "flattened_share",
        "dented_share",
        "slipped_share",
    }
    assert all(value == pytest.approx(1.0) for value in figures.values())


def test_what_is_whole_is_changed_at_ten_times_the_price(small):
    block = new_block(FIELD)
    torch.nn.init.constant_(block.detail.bias, 0.1)
    one = torch.tensor([0])
    whole, spoilt = (
        losses(block, generator(), data(), one, [fault], torch.Generator().manual_seed(0))["change"]
        for fault in (None, Fault("dented", 0.05))
    )
    assert whole.item() == pytest.approx(10 * spoilt.item(), rel=1e-2)
