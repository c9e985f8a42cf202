"""models/fitting/run.py and state.py: Adam is torch's, bad steps are skipped, memory is halved, states are
read or refused."""

import pytest
import torch
from portrait_diffusion.models.fitting.run import Proposal, Run, adam_step, check_finite, falling
from portrait_diffusion.models.fitting.state import VERSION, ForeignState
from torch.testing import assert_close


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


class Slide(Run[str]):
    """A point that noise pushes towards 3; its gradients at steps of `bad` are not finite, at steps of `full`
    memory runs out."""

    name, advice = "slide", "do not slide"

    def __init__(self, steps=6, seed=0, bad=(), full=()):
        self.point = torch.zeros(4, requires_grad=True)
        super().__init__(steps, draws(seed), {"point": self.point})
        self.bad, self.full, self.asked = bad, list(full), []

    def proposal(self):
        push = torch.rand(4, generator=self.draws)
        (moved,) = self.pieces(lambda part: ((self.point * push)[None, part].repeat(1, 25),), 100)
        self.asked.append(self.pieces.rows)
        if self.full and self.full[0] == self.step_count:
            self.full.pop(0)
            raise torch.OutOfMemoryError("out of memory")
        loss = (moved - 3).square().mean() * (float("nan") if self.step_count in self.bad else 1)
        (gradient,) = torch.autograd.grad(loss, self.point)
        rate, count = falling(0.1, self.step_count, self.steps), self.step_count + 1
        return Proposal(
            gradients={"point": gradient},
            rate=rate,
            count=count,
            numbers=(gradient,),
            loss=loss.item(),
            report="slid",
        )

    def head(self):
        return self.point.detach().clone()


def whole(**options):
    run, seen = Slide(**options), []
    run.complete(callback=seen.append)
    return run, seen


def test_a_callback_sees_each_step():
    run, seen = whole()
    assert [(now.step, now.steps, now.skipped, now.report) for now in seen] == [
        (i, 6, 0, "slid") for i in range(1, 7)
    ]
    assert seen[-1].loss < seen[0].loss and torch.equal(seen[-1].head(), run.point)


def test_a_step_without_numbers_changes_nothing_and_is_counted():
    run, seen = whole(bad=(2, 3))
    assert [now.skipped for now in seen] == [0, 0, 1, 2, 2, 2]
    assert [now.step for now in seen if now.report is None] == [3, 4]
    assert run.point.isfinite().all() and seen[2].loss != seen[2].loss
    with pytest.raises(
        ValueError, match="slide: expected finite numbers, but 6 steps in a row gave others; do not slide"
    ):
        whole(bad=range(6))
    with pytest.raises(ValueError, match="20 steps in a row"):
        whole(steps=40, bad=range(10, 40))


def test_where_memory_runs_out_a_step_is_tried_again_with_the_same_draws():
    run, (first, *_) = whole(full=(0, 0, 3))
    assert run.asked == [None, 50, 25, 25, 25, 25, 16, 16, 16] and run.step_count == 6
    assert_close(run.point, whole()[0].point)
    assert first.loss == pytest.approx(whole()[1][0].loss)
    with pytest.raises(ValueError, match="slide: expected memory for 16 rays at once"):
        whole(full=(0,) * 9)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("shapes differ")])
def test_other_errors_and_interrupts_leave_the_draws_of_the_step_before(error, monkeypatch):
    run = Slide()
    run.step()
    before = run.draws.get_state()

    def broken(*_):
        raise error

    monkeypatch.setattr(torch.autograd, "grad", broken)
    with pytest.raises((KeyboardInterrupt, RuntimeError), match=r"^$|shapes differ"):
        run.step()
    assert torch.equal(run.draws.get_state(), before) and run.step_count == 1


def test_a_resumed_run_ends_with_the_same_bits():
    run, seen = Slide(bad=(1,), full=(1,)), []
    run.complete(callback=lambda now: seen.append(now.state()))
    for state in seen:
        again = Slide(seed=9, bad=(1,))
        again.complete(state)
        assert torch.equal(again.point, run.point) and again.finite.skipped == 1
        assert again.pieces.rows == (run.pieces.rows if int(state["numbers"][0]) > 1 else None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"version.slide": torch.tensor(VERSION + 1)},
            f"in version {VERSION}, got slide in version {VERSION + 1}",
        ),
        ({"version.slide": None, "version.swing": torch.tensor(VERSION)}, "a state of slide .* got swing"),
        ({"version.slide": None, "numbers": None}, "'numbers', got one without"),
        ({"first.point": None}, "'first.point', got one without"),
        ({"value.point": torch.zeros(5)}, r"'value.point' of shape \[4\] in the state, got \[5\]"),
        ({"draws": torch.zeros(3, dtype=torch.uint8)}, "'draws' of shape"),
        ({"numbers": torch.tensor([7, 0, 0, 0])}, "within 6 steps, got 7 done"),
        ({"numbers": torch.zeros(2, 2)}, "'numbers' of shape"),
        ({"numbers": torch.full((4,), torch.nan)}, "whole numbers in the state, got .*float32"),
        ({"version.slide": torch.zeros(0)}, "whole numbers in the state"),
        ({"draws": torch.full_like(draws().get_state(), 7)}, "a generator's state for 'draws'"),
        ({"draws": draws().get_state().short()}, "a generator's state for 'draws'"),
        ({"second.point": torch.full((4,), torch.nan)}, "finite numbers for 'second.point'"),
    ],
)
def test_foreign_states_are_refused_and_change_nothing(change, words):
    state = Slide().state() | change
    run = Slide()
    with pytest.raises(ForeignState, match=f"slide: expected .*{words}.*; begin anew without that state"):
        run.restore({name: tensor for name, tensor in state.items() if tensor is not None})
    assert not run.point.any() and run.step_count == 0


def test_rates_fall_over_the_last_share():
    assert [falling(2.0, done, 8) for done in (0, 6, 7)] == [2.0, 2.0, 1.0]
    assert [falling(2.0, done, 8, 0.5) for done in (3, 4, 6)] == [2.0, 2.0, 1.0]


def test_inputs_must_be_finite():
    check_finite("slide", "a hill", torch.zeros(3))
    with pytest.raises(
        ValueError, match="slide: expected a hill of finite numbers, got NaN or infinity; check"
    ):
        check_finite("slide", "a hill", torch.zeros(3), torch.tensor([torch.inf]))


def test_adam_is_torchs_adam():
    value = torch.randn(5, generator=draws())
    ours, first, second = value.clone(), torch.zeros(5), torch.zeros(5)
    theirs = value.clone().requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=0.02)
    for i in range(1, 8):
        gradient = torch.randn(5, generator=draws(i))
        adam_step(ours, gradient, first, second, 0.02, i)
        theirs.grad = gradient
        optimiser.step()
    torch.testing.assert_close(ours, theirs.detach(), atol=1e-6, rtol=1e-5)
