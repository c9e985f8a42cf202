"""What all optimisations share: variables under Adam, a rate that falls, the count of steps, a seed, resume, and
what is done where numbers are not finite or memory runs out.

A stage tells what a step would change: `Run.proposal`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ..head import Head
from ..out_of_memory import Pieces, ran_out
from .finite import FiniteSteps
from .interrupts import taken_back
from .state import PARTS, SavedState, marked

Report = TypeVar("Report")  # what a stage tells of a step beside its loss


@dataclass(frozen=True)
class Progress(Generic[Report]):
    """What a callback sees after each step.

    Attributes:
        step: steps done. steps: in all. loss: of this step, None where it has no single one.
        skipped: steps so far whose numbers were not finite.
        report: of this step, None where it was skipped or the stage has none.
        head: makes the head as it stands. state: makes tensors from which the run goes on.
    """

    step: int
    steps: int
    loss: float | None
    skipped: int
    report: Report | None
    head: Callable[[], Head]
    state: Callable[[], dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Proposal(Generic[Report]):
    """What a step would change.

    Attributes:
        gradients: of variables, by name, each of its variable's shape; None, or none, where one stays.
        rate: Adam's. count: of this step in Adam's eyes, from 1.
        numbers: tensors of any shape that must be finite, or the step is skipped.
        loss, report: as in `Progress`.
    """

    gradients: Mapping[str, Tensor | None]
    rate: float
    count: int
    numbers: tuple[Tensor, ...]
    loss: float | None = None
    report: Report | None = None


class Run(ABC, Generic[Report]):
    """The variables of one optimisation and its steps.

    A stage has `proposal` and `head`; `beside`, `resume_beside` where its state holds more; `old_names`.

    Attributes:
        name: of the stage, in errors and states. advice: what to do where numbers are never finite.
        steps: in all. step_count: of them, done. draws: a CPU generator, the seed of all draws.
        variables: that Adam moves, by name. moments: Adam's two, of each.
        finite: counts skipped steps. pieces: how many rays are rendered at once.
    """

    name = "run"
    advice = "check its inputs"

    def __init__(self, steps: int, draws: torch.Generator, variables: Mapping[str, Tensor]) -> None:
        self.steps, self.draws = steps, draws
        self.step_count = 0
        self.finite = FiniteSteps(self.name, steps, self.advice)
        self.pieces = Pieces()
        self.learn(variables)

    def learn(self, variables: Mapping[str, Tensor]) -> None:
        """From now on move these leaves, tensors [...] of any shape by name; their moments begin at 0."""
        self.variables = dict(variables)
        self.moments = {
            name: (torch.zeros_like(value), torch.zeros_like(value)) for name, value in self.variables.items()
        }

    @abstractmethod
    def proposal(self) -> Proposal[Report]:
        """What the next step would change; asked again, with the same draws, where memory ran out."""

    @abstractmethod
    def head(self) -> Head:
        """The head as it stands, detached."""

    def beside(self) -> dict[str, Tensor]:
        """What the state holds beside variables, moments, draws and counts: tensors [...] by name."""
        return {}

    def resume_beside(self, saved: SavedState) -> None:
        """Take up what `beside` gave."""

    def old_names(self) -> Mapping[str, str]:
        """Names of tensors in states of version 1 -> today's."""
        return {}

    @torch.no_grad()
    def accept(self, proposal: Proposal[Report]) -> None:
        """Change what a step proposes."""
        for name, gradient in proposal.gradients.items():
            if gradient is not None:
                adam_step(self.variables[name], gradient, *self.moments[name], proposal.rate, proposal.count)

    def _within_memory(self) -> Proposal[Report]:
        while True:
            self.pieces.most = 0
            try:
                with taken_back(self.draws):
                    return self.proposal()
            except (MemoryError, RuntimeError) as error:
                if not ran_out(error):
                    raise
                self.pieces.halve(self.name, error)
                words = "%s: memory ran out; from now on %d rays are rendered at once"
                logging.getLogger(__name__).warning(words, self.name, self.pieces.rows)

    def step(self) -> Progress[Report]:
        """One step. Where its numbers are not finite, nothing is changed; where memory runs out, it is tried
        again with fewer rays at once.

        Raises:
            ValueError: too many steps in a row without finite numbers, or too little memory for a few rays.
        """
        proposal = self._within_memory()
        self.step_count += 1
        good = self.finite.accepts(*proposal.numbers)
        if good:
            self.accept(proposal)
        report = proposal.report if good else None
        return Progress(
            self.step_count, self.steps, proposal.loss, self.finite.skipped, report, self.head, self.state
        )

    def complete(
        self,
        state: Mapping[str, Tensor] | None = None,
        callback: Callable[[Progress[Report]], None] | None = None,
    ) -> None:
        """All steps that are left.

        Args:
            state: of an earlier run with the same arguments; it goes on there.
            callback: called after each step.

        Raises:
            ValueError: as `restore` and `step`.
        """
        if state is not None:
            self.restore(state)
        while self.step_count < self.steps:
            progress = self.step()
            if callback is not None:
                callback(progress)

    def state(self) -> dict[str, Tensor]:
        """Everything that `restore` needs to go on with the same bits, as `fitting.state` describes it."""
        numbers = [self.step_count, self.finite.skipped, self.finite.in_a_row, self.pieces.rows or 0]
        tensors = self.beside()
        for name, value in self.variables.items():
            parts = zip(PARTS, (value, *self.moments[name]), strict=True)
            tensors |= {f"{part}.{name}": tensor for part, tensor in parts}
        clones = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        return {
            **marked(self.name),
            "numbers": torch.tensor(numbers),
            "draws": self.draws.get_state(),
            **clones,
        }

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a `state`, also of version 1.

        Args:
            tensors: [...] each, by name, as `fitting.state` describes them.

        Raises:
            ForeignState: a ValueError; it is not a state of such a run.
        """
        resume = SavedState(self.name, tensors, self.old_names())
        numbers, draws = resume.numbers(self.steps), resume.draws(self.draws.get_state())
        pairs = [
            (own, resume.finite(f"{part}.{name}", own.shape))
            for name, value in self.variables.items()
            for part, own in zip(PARTS, (value, *self.moments[name]), strict=True)
        ]
        self.resume_beside(resume)
        for own, tensor in pairs:
            own.copy_(tensor)
        self.draws.set_state(draws)
        self.step_count, self.finite.skipped, self.finite.in_a_row, rows = numbers
        self.pieces.rows = rows or None


@torch.no_grad()
def adam_step(
    value: Tensor, gradient: Tensor, first: Tensor, second: Tensor, rate: float, count: int
) -> None:
    """Adam (Kingma and Ba 2015), algorithm 1, betas 0.9 and 0.999, in place.

    Args:
        value, gradient, first, second: [...], one shape. count: of this step, from 1.
    """
    first.lerp_(gradient, 0.1)
    second.lerp_(gradient.square(), 0.001)
    value.sub_(rate * (first / (1 - 0.9**count)) / ((second / (1 - 0.999**count)).sqrt() + 1e-8))


def falling(rate: float, done: int, steps: int, share: float = 0.25) -> float:
    """A learning rate that falls to 0 over the last `share` of the steps. Args: done: before this one."""
    return rate * min(1, (1 - done / steps) / share)


def check_finite(stage: str, what: str, *tensors: Tensor) -> None:
    """Refuse inputs, tensors of any shape, with numbers that are not finite. Args: what: they are.

    Raises:
        ValueError: there are such numbers.
    """
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise ValueError(
            f"{stage}: expected {what} of finite numbers, got NaN or infinity; check the node that made them"
        )
