"""Stage 1 of RodinHD's fitting: planes of several heads and the decoder that they share, visited round after round.

RodinHD (Zhang et al. 2024), section 3.1, algorithm 1: task replay, and identity-aware weight consolidation (eq. 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ..bounds import configured, integers, numbers
from ..field.triplane import FieldConfig
from ..fitting.run import Proposal, adam_step, falling
from ..head import Head
from .fitting import FitConfig, Fitting
from .regularisers import STRENGTH, Consolidation
from .views import Views

DECODER = "decoder."


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """How a shared decoder is learnt.

    Attributes:
        rounds: over all heads; 1 is the naive way. visit: steps on one head in a round.
        strength: lambda of the consolidation; 0 for none. decay: of the decoder's weights, decoupled; 0 where consolidation is on (paper).
        fit: of the planes; its steps are those of all visits together.
    """

    rounds: int = 10
    visit: int = 60
    strength: float = STRENGTH
    decay: float = 0.0
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        integers(self, rounds=(1, 10**5), visit=(1, 10**6))
        numbers(self, strength=(0, 1e6), decay=(0, 1))
        if not isinstance(self.fit, FitConfig):
            object.__setattr__(self, "fit", configured(FitConfig, self.fit, "replay's fit"))


class Visited(Fitting):
    """A fit whose decoder others learn, too: its slopes are handed on, [...] by the weight's name."""

    learn_shared: Callable[[Mapping[str, Tensor]], None]

    def accept(self, proposal: Proposal[float]) -> None:
        """The planes' part of a step here, the decoder's there.

        Raises:
            ValueError: as `Fitting.accept`.
        """
        own = {name: slope for name, slope in proposal.gradients.items() if name in self.levels}
        super().accept(replace(proposal, gradients=own))
        self.learn_shared(shared_slopes(proposal))


def shared_slopes(proposal: Proposal[float]) -> dict[str, Tensor]:
    """Those of the decoder, [...] by the weight's name."""
    return {
        name.removeprefix(DECODER): slope
        for name, slope in proposal.gradients.items()
        if name.startswith(DECODER) and slope is not None
    }


class Replay:
    """Algorithm 1, a visit at a time.

    Attributes:
        decoder: shared, learnt in its place. runs: of each head, which keep their planes from visit to visit.
        consolidation: what each head's last visit left. done: visits, of `visits`.
    """

    def __init__(
        self,
        views: Sequence[Views],
        field: FieldConfig,
        decoder: nn.Module,
        config: ReplayConfig,
        generator: torch.Generator,
    ) -> None:
        """Args: views: of each head. decoder: to begin with; it is changed. generator: a CPU generator, of all draws.

        Raises:
            ValueError: no heads.
        """
        if not views:
            raise ValueError("replay: expected views of one head or more, got none; name the heads")
        self.config, self.decoder = config, decoder
        fit = replace(config.fit, steps=config.rounds * config.visit)
        self.runs = [Visited(head, field, decoder, fit, generator, learn_decoder=True) for head in views]
        self.consolidation = Consolidation(strength=config.strength)
        self.weights = dict(decoder.named_parameters())
        self.moments = {name: (torch.zeros_like(w), torch.zeros_like(w)) for name, w in self.weights.items()}
        self.steps, self.done = 0, 0

    @property
    def visits(self) -> int:
        """Of all heads together."""
        return self.config.rounds * len(self.runs)

    def visit(self) -> float:
        """The next head's visit: steps on its planes and the decoder (lines 4 to 8), then what it leaves (line 9).

        Returns:
            The mean loss.

        Raises:
            ValueError: as `Run.step`.
        """
        identity = str(self.done % len(self.runs))
        run = self.runs[self.done % len(self.runs)]
        run.learn_shared = lambda slopes: self._learn(identity, slopes)
        losses = [run.step().loss or 0.0 for _ in range(self.config.visit)]
        if self.config.strength:
            self.consolidation.end_visit(identity, self.decoder, shared_slopes(run.proposal()))
        self.done += 1
        return sum(losses) / len(losses)

    def _learn(self, identity: str, slopes: Mapping[str, Tensor]) -> None:
        """One step of the decoder, pulled to where this identity's last visit left it."""
        self.steps += 1
        pull: dict[str, Tensor] = {}
        if self.config.strength:
            with torch.enable_grad():
                loss = self.consolidation.loss(identity, self.decoder)
            if loss.requires_grad:
                pull = dict(
                    zip(self.weights, torch.autograd.grad(loss, list(self.weights.values())), strict=True)
                )
        rate = self.config.fit.decoder_rate * falling(
            self.config.fit.rate, self.steps, self.visits * self.config.visit + 1, share=0.75
        )
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.mul_(1 - rate * self.config.decay)
                slope = slopes[name] + pull.get(name, 0.0)
                adam_step(weight, slope, *self.moments[name], rate, self.steps)

    @torch.no_grad()
    def mean(self) -> Tensor:
        """The mean of all heads' planes [1, 3, C, (D,) R, R], which others begin from."""
        return sum((run.planes() for run in self.runs), torch.zeros(())) / len(self.runs)

    def heads(self) -> list[Head]:
        """All heads as they stand, with the decoder as it stands."""
        return [run.head() for run in self.runs]

    def state(self) -> dict[str, Tensor]:
        """All that `restore` needs between visits: tensors [...] by name."""
        tensors = {"numbers": torch.tensor([self.done, self.steps])}
        for i, run in enumerate(self.runs):
            tensors |= {f"head.{i}.{name}": value for name, value in run.state().items()}
        for name, (first, second) in self.moments.items():
            tensors |= {f"first.{name}": first.clone(), f"second.{name}": second.clone()}
        return tensors | {f"memory.{name}": value for name, value in self.consolidation.tensors().items()}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a `state` of the same heads and config.

        Raises:
            ValueError: it is not one.
        """
        for i, run in enumerate(self.runs):
            run.restore(_below(f"head.{i}.", tensors))
        if "numbers" not in tensors or any(
            f"{part}.{name}" not in tensors for name in self.weights for part in ("first", "second")
        ):
            raise ValueError(
                "replay: expected a state with numbers and the decoder's moments, got one without; begin anew without that state"
            )
        for name, (first, second) in self.moments.items():
            first.copy_(tensors[f"first.{name}"])
            second.copy_(tensors[f"second.{name}"])
        self.consolidation.load(_below("memory.", tensors))
        self.done, self.steps = tensors["numbers"].tolist()


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
