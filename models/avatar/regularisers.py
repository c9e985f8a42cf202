"""What keeps RodinHD's planes smooth and small, and their shared decoder from forgetting the heads that it has seen.

RodinHD (Zhang et al. 2024), section 3.1, algorithm 1 and equation 3. Weights of table 5: total variation 1e-2, `l2` 1e-4,
consolidation 0.1; the released code takes `l1`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..bounds import shown

STRENGTH = 0.1
IMPORTANCE, WEIGHTS = "importance", "weights"


def total_variation(planes: Tensor) -> Tensor:
    """Twice the mean squared step between neighbouring texels, along rows and along columns, one number.

    As released, summed over the planes; a batch's mean.

    Args:
        planes: [B, 3, C, (D,) H, W], at least two texels a side.

    Raises:
        ValueError: other shapes.
    """
    _check(planes, least=2)
    steps = planes.diff(dim=-1), planes.diff(dim=-2)
    return 2 * planes.shape[1] * sum((step.square().mean() for step in steps), planes.new_zeros(()))


def l1(planes: Tensor) -> Tensor:
    """The released code's: the mean magnitude of planes [B, 3, C, (D,) H, W], summed over the three, one number.

    Raises:
        ValueError: other shapes.
    """
    _check(planes)
    return planes.shape[1] * planes.abs().mean()


def l2(planes: Tensor) -> Tensor:
    """The paper's: the mean square of planes [B, 3, C, (D,) H, W], summed over the three, one number.

    Raises:
        ValueError: other shapes.
    """
    _check(planes)
    return planes.shape[1] * planes.square().mean()


def _check(planes: Tensor, least: int = 1) -> None:
    if (
        planes.ndim not in (5, 6)
        or planes.shape[1] != 3
        or min(planes.shape) < 1
        or min(planes.shape[-2:]) < least
    ):
        raise ValueError(
            f"regularisers: expected planes [B, 3, C, (D,) H, W] of {least} texels a side or more, got {list(planes.shape)}; "
            "add the missing dimension"
        )


def slopes(loss: Tensor, decoder: nn.Module) -> dict[str, Tensor]:
    """Gradient of a loss, one number, by each of a decoder's weights, by name; zero where the loss does not depend on them.

    The loss's graph is kept, and the weights' own `grad` stays as it is.
    """
    names, weights = zip(*decoder.named_parameters(), strict=True)
    grads = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    return {
        name: torch.zeros_like(weight) if grad is None else grad
        for name, weight, grad in zip(names, weights, grads, strict=True)
    }


@dataclass
class Consolidation:
    """Identity-aware weight consolidation: whoever comes back pulls the decoder to where it was after the last visit.

    Equation 3: lambda / 2 * sum_i Omega_i (omega_i - omega_i*)^2, with the diagonal of the Fisher matrix, Omega, as the squared
    gradient and the weights, omega*, at the end of the identity's own last visit. Elastic weight consolidation (Kirkpatrick et al.
    2017), apart for each identity and not summed over visits.

    Attributes:
        strength: lambda. halved: with the paper's 1/2; the released code has none.
        importance: by identity and the weight's name, Omega >= 0 of the weight's shape. weights: likewise, omega*.
    """

    strength: float = STRENGTH
    halved: bool = True
    importance: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    weights: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    def end_visit(self, identity: str, decoder: nn.Module, gradients: Mapping[str, Tensor]) -> None:
        """Algorithm 1, line 9: keep copies of the decoder's weights and of what they meant, in the place of the identity's last.

        Args:
            gradients: by the weight's name, of its shape: those of the data's loss (`slopes`), as the paper has it; the released code
                takes what the last step left of the whole loss.

        Raises:
            ValueError: gradients that are missing, of no weight, of another shape, or not finite.
        """
        weights = {name: weight.detach().clone() for name, weight in decoder.named_parameters()}
        _check_fit(gradients, weights, "gradients", "take them by `slopes` from the decoder")
        broken = [name for name, gradient in gradients.items() if not gradient.isfinite().all()]
        if broken:
            raise ValueError(
                f"Consolidation: expected finite gradients, got NaN or infinity in {broken[0]} of {shown(identity)}; "
                "skip the step or take another batch"
            )
        self.importance[identity] = {name: gradients[name].detach().square() for name in weights}
        self.weights[identity] = weights

    def loss(self, identity: str, decoder: nn.Module) -> Tensor:
        """Equation 3's second term, one number: 0 until the identity's first visit has ended.

        Raises:
            ValueError: a decoder of other weights than at that visit.
        """
        now = dict(decoder.named_parameters())
        total = next(iter(now.values())).new_zeros(())
        if identity not in self.weights:
            return total
        _check_fit(
            self.weights[identity], now, f"weights of {shown(identity)}", "go on with the run's own decoder"
        )
        for name, weight in now.items():
            omega, last = self.importance[identity][name].to(weight), self.weights[identity][name].to(weight)
            total = total + (omega * (weight - last).square()).sum()
        return total * (self.strength / 2 if self.halved else self.strength)

    def tensors(self) -> dict[str, Tensor]:
        """All that it holds, for a file: "<identity>/importance/<weight>" and "<identity>/weights/<weight>" -> [...], the weight's shape."""
        return {
            f"{identity}/{kind}/{name}": value
            for kind, states in ((IMPORTANCE, self.importance), (WEIGHTS, self.weights))
            for identity, state in states.items()
            for name, value in state.items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `tensors` gave, [...] by name, in the place of what it holds.

        Raises:
            ValueError: names of another kind, or an identity that has but one of both.
        """
        states: dict[str, dict[str, dict[str, Tensor]]] = {IMPORTANCE: {}, WEIGHTS: {}}
        for key, value in tensors.items():
            identity, kind, name = _parts(key)
            states[kind].setdefault(identity, {})[name] = value.detach().clone()
        importance, weights = states[IMPORTANCE], states[WEIGHTS]
        for identity in {**importance, **weights}:
            of_weights = weights.get(identity, {})
            _check_fit(
                importance.get(identity, {}),
                of_weights,
                f"importance of {shown(identity)}",
                "save the run again",
            )
        self.importance, self.weights = importance, weights


def _parts(key: str) -> tuple[str, str, str]:
    """Identity, kind and name of a key; only the identity may have slashes."""
    parts = key.rsplit("/", 2)
    if len(parts) != 3 or parts[1] not in (IMPORTANCE, WEIGHTS):
        raise ValueError(
            f"Consolidation: expected names such as <identity>/{WEIGHTS}/<weight>, got {shown(key)}; "
            "give only what `Consolidation.tensors` gave"
        )
    return parts[0], parts[1], parts[2]


def _check_fit(values: Mapping[str, Tensor], like: Mapping[str, Tensor], what: str, remedy: str) -> None:
    """That both have the same names and shapes."""
    for name in _in_order([*like, *values]):
        shapes = [list(group[name].shape) if name in group else "none" for group in (like, values)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"Consolidation: expected {what} to have {name} {shapes[0]}, got {shapes[1]}; {remedy}"
            )


def _in_order(names: Iterable[str]) -> list[str]:
    """Each once."""
    return list(dict.fromkeys(names))
