"""Low-rank adapters (Hu et al. 2022) without peft: read, merge, train as parametrisations, save bound to the base they were made on.

W' = W + s B A, with A [rank, in] or [rank, C_in, k, k] and B [out, rank] or [C_out, rank, 1, 1].
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..bounds import shown
from ..checkpoint import json_entry, kind_of, read_tensors, save_tensors

KIND = "lora"
LARGEST = 1e9  # of a base's numbers and of scales
RANK = 4096  # of an adapter: more than any layer is wide
PEFT_ALPHA = 8.0  # peft's default, which Difix' files were made with and do not hold
# img2img-turbo's list for the UNet, Difix' for the decoder: the last parts of modules' names
UNET_TARGETS = (
    *("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "conv_in", "conv_out", "conv_shortcut"),
    *("proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
)
DECODER_TARGETS = (
    "conv1",
    "conv2",
    "conv_in",
    "conv_shortcut",
    "conv",
    "conv_out",
    "to_q",
    "to_k",
    "to_v",
    "to_out.0",
)
Module = TypeVar("Module", bound=nn.Module)
_PEFT_KEY = re.compile(
    r"^(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<side>[AB])(?:\.(?P<adapter>[^.]+))?\.weight$"
)


@dataclass(frozen=True)
class Update:
    """What is added to one module's weight: scale * B A."""

    a: Tensor
    b: Tensor
    scale: float

    def delta(self) -> Tensor:
        """[out, in] or [C_out, C_in, k, k], in the factors' precision."""
        return self.scale * product(self.a, self.b)


def product(a: Tensor, b: Tensor) -> Tensor:
    """B A, in A's shape but for the first dimension: [out, in] or [C_out, C_in, k, k].

    Args:
        a: [rank, in] or [rank, C_in, k, k]. b: [out, rank] or [C_out, rank, 1, 1].
    """
    return (b.flatten(1) @ a.flatten(1)).reshape(len(b), *a.shape[1:])


@dataclass(frozen=True)
class Lora:
    """Updates by the names of the modules that they are for."""

    updates: dict[str, Update]

    def within(self, prefix: str) -> Lora:
        """Those whose names begin with a prefix, without it."""
        return Lora(
            {
                name.removeprefix(prefix): update
                for name, update in self.updates.items()
                if name.startswith(prefix)
            }
        )

    def without(self, prefix: str) -> Lora:
        """The others."""
        return Lora({name: update for name, update in self.updates.items() if not name.startswith(prefix)})

    def below(self, prefix: str) -> Lora:
        """The same, for a module that has these modules below a prefix."""
        return Lora({prefix + name: update for name, update in self.updates.items()})

    def times(self, strength: float) -> Lora:
        """With all scales multiplied."""
        return Lora(
            {name: replace(update, scale=update.scale * strength) for name, update in self.updates.items()}
        )


def read_peft(state: dict[str, Tensor], alpha: float = PEFT_ALPHA) -> Lora:
    """The adapter in a state dict of peft's, `<module>.lora_A[.<adapter>].weight`; scale alpha / rank. Other keys are passed over.

    Raises:
        ValueError: there is none, more than one, or half of one.
    """
    sides: dict[str, dict[str, Tensor]] = {}
    adapters = set()
    for key, value in state.items():
        if match := _PEFT_KEY.match(key):
            sides.setdefault(match["module"], {})[match["side"]] = value
            adapters.add(match["adapter"])
    halves = [name for name, pair in sides.items() if len(pair) != 2]
    if len(adapters) != 1 or halves:
        raise ValueError(
            f"LoRA: expected one peft adapter of pairs lora_A and lora_B, got {len(adapters)} adapters in {len(state)} tensors"
            + (f" and no pair for {halves[0]}" if halves else "")
            + "; choose a file saved by peft"
        )
    for name, pair in sides.items():
        _check_factors(name, pair["A"], pair["B"])
    return Lora({name: Update(pair["A"], pair["B"], alpha / len(pair["A"])) for name, pair in sides.items()})


def _check_factors(name: str, a: Tensor, b: Tensor) -> None:
    """Raises ValueError unless two factors are finite and multiply to a linear or convolutional weight."""
    fit = (
        a.ndim == b.ndim
        and a.ndim in (2, 4)
        and b.shape[1] == len(a)
        and set(b.shape[2:]) <= {1}
        and 1 <= len(a) <= RANK
    )
    if not fit or 0 in a.shape + b.shape:
        raise ValueError(
            f"LoRA: expected factors A [rank, in] and B [out, rank] of one rank up to {RANK}, got {list(a.shape)} and {list(b.shape)} for "
            f"{name}; choose a file saved by peft"
        )
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError(
            f"LoRA: expected finite numbers, but the factors for {name} have others; choose another file"
        )


def _weight_at(module: nn.Module, name: str) -> Tensor:
    """The weight of a submodule.

    Raises:
        ValueError: there is no submodule of this name, or it has no weight.
    """
    submodule = dict(module.named_modules()).get(name)
    weight = getattr(submodule, "weight", None)
    if not isinstance(weight, Tensor):
        lack = "no such module" if submodule is None else "a module without weight"
        raise ValueError(
            f"LoRA: expected a weight at {name}, found {lack}; the LoRA was made for another network"
        )
    return weight


def _weight_for(module: nn.Module, name: str, update: Update) -> Tensor:
    """The weight that an update is for.

    Raises:
        ValueError: as `_weight_at`; or the weight has another shape.
    """
    weight = _weight_at(module, name)
    shape = [len(update.b), *update.a.shape[1:]]
    if list(weight.shape) != shape:
        raise ValueError(
            f"LoRA: expected a weight {shape} at {name}, found {list(weight.shape)}; the LoRA was made for another network"
        )
    return weight


@torch.no_grad()
def merge_(module: nn.Module, lora: Lora) -> None:
    """Add a LoRA to a module's own weights.

    Raises:
        ValueError: a target that the module does not have; nothing has been merged then.
    """
    targets = [(_weight_for(module, name, update), update) for name, update in lora.updates.items()]
    for weight, update in targets:
        delta = replace(
            update, a=update.a.to(weight.device).float(), b=update.b.to(weight.device).float()
        ).delta()
        weight.copy_(weight.float() + delta)


def merged(module: Module, lora: Lora) -> Module:
    """A copy of a module with a LoRA in its weights."""
    copy = deepcopy(module)
    merge_(copy, lora)
    return copy


@contextmanager
def merging(module: Module, lora: Lora) -> Iterator[Module]:
    """Inside, a module has a LoRA in its weights; then its own again, to the bit."""
    before = {
        name: _weight_for(module, name, update).detach().clone() for name, update in lora.updates.items()
    }
    merge_(module, lora)
    try:
        yield module
    finally:
        with torch.no_grad():
            for name, value in before.items():
                _weight_at(module, name).copy_(value)


def target_names(module: nn.Module, endings: Iterable[str]) -> list[str]:
    """Names of the linear and convolutional modules whose last parts are among the endings."""
    ends = tuple(endings)
    return [
        name
        for name, part in module.named_modules()
        if isinstance(part, (nn.Linear, nn.Conv2d))
        and any(name == end or name.endswith("." + end) for end in ends)
    ]


class _Adapter(nn.Module):
    """The parametrisation W -> W + s B A, whose A and B can be trained."""

    def __init__(self, update: Update) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(update.a), nn.Parameter(update.b)
        self.scale = update.scale

    def forward(self, weight: Tensor) -> Tensor:
        """A weight [out, in] or [C_out, C_in, k, k] -> the same with the update added."""
        return weight + self.scale * product(self.a, self.b)


def inject(
    module: nn.Module,
    names: Iterable[str],
    *,
    rank: int,
    generator: torch.Generator,
    alpha: float | None = None,
) -> list[nn.Parameter]:
    """Give the named modules trainable factors, A Gaussian and B zero, and freeze their own weights.

    Args:
        alpha: scale times rank; None for a scale of 1.

    Returns:
        the factors, for an optimiser. `lora_of` reads them, `eject` takes them out.
    """
    factors = []
    for name in names:
        weight = _weight_at(module, name).requires_grad_(False)
        a = torch.randn(rank, *weight.shape[1:], generator=generator) / rank
        b = weight.new_zeros(len(weight), rank, *[1] * (weight.ndim - 2))
        factors += _adapt(module, name, Update(a.to(weight), b, 1.0 if alpha is None else alpha / rank))
    return factors


def attach(module: nn.Module, lora: Lora) -> None:
    """Put a LoRA beside a module's weights instead of into them: slower than `merge_`, the same numbers; `eject` takes it off.

    Raises:
        ValueError: a target that the module does not have; nothing has been attached then.
    """
    for name, update in lora.updates.items():
        _weight_for(module, name, update)
    for name, update in lora.updates.items():
        _adapt(module, name, update)


def _adapt(module: nn.Module, name: str, update: Update) -> list[nn.Parameter]:
    adapter = _Adapter(update)
    parametrize.register_parametrization(module.get_submodule(name), "weight", adapter, unsafe=True)
    return list(adapter.parameters())


def _adapters(module: nn.Module) -> dict[str, _Adapter]:
    """Injected factors by the names of their modules."""
    factors = {}
    for name, part in module.named_modules():
        if parametrize.is_parametrized(part, "weight"):
            first = part.get_submodule("parametrizations.weight.0")
            if isinstance(first, _Adapter):
                factors[name] = first
    return factors


def lora_of(module: nn.Module) -> Lora:
    """A copy of the LoRA that a module has been given by `inject`, as trained so far."""
    return Lora(
        {
            name: Update(part.a.detach().clone(), part.b.detach().clone(), part.scale)
            for name, part in _adapters(module).items()
        }
    )


def eject(module: nn.Module) -> Lora:
    """Take the factors out again; the module is as before `inject`, but for what is frozen."""
    lora = lora_of(module)
    for name in lora.updates:
        parametrize.remove_parametrizations(module.get_submodule(name), "weight", leave_parametrized=False)
    return lora


@dataclass(frozen=True)
class Fingerprint:
    """What a base is recognised by, in whatever precision it is stored.

    Attributes:
        layout: hash of the names and shapes of its tensors. samples: a few of its numbers.
    """

    layout: str
    samples: tuple[float, ...]

    def same(self, other: Fingerprint) -> bool:
        """Whether both are of one base; numbers may differ as bfloat16 does."""
        if len(self.samples) != len(other.samples):
            return False
        ours, theirs = torch.tensor(self.samples), torch.tensor(other.samples)
        return self.layout == other.layout and torch.allclose(ours, theirs, rtol=2**-7, atol=1e-6)


def fingerprint(base: nn.Module | dict[str, Tensor], count: int = 32) -> Fingerprint:
    """Of a module or its state dict, tensors [...] by name, whether or not a LoRA is injected."""
    state = base.state_dict() if isinstance(base, nn.Module) else base
    plain = {
        key.replace(".parametrizations.weight.original", ".weight"): value
        for key, value in state.items()
        if ".parametrizations.weight.0." not in key
    }
    names = sorted(plain)
    layout = hashlib.sha256(
        json.dumps([(name, list(plain[name].shape)) for name in names]).encode()
    ).hexdigest()
    weights = [plain[name] for name in names if plain[name].ndim > 1]
    probes = weights[:: max(len(weights) // count, 1)][:count]
    return Fingerprint(
        layout[:32],
        tuple(round(weight.flatten()[weight.numel() // 2].float().item(), 8) for weight in probes),
    )


def packed(lora: Lora) -> tuple[dict[str, Tensor], dict[str, float]]:
    """As a file holds it: factors [rank, ...], [out, rank, ...] under peft's names, and scales by module."""
    tensors = {}
    for name, update in lora.updates.items():
        tensors |= {f"{name}.lora_A.weight": update.a, f"{name}.lora_B.weight": update.b}
    return tensors, {name: update.scale for name, update in lora.updates.items()}


def unpacked(state: dict[str, Tensor], scales: object) -> Lora:
    """What `packed` took apart, in float32, out of a file that may hold more.

    Args:
        scales: as JSON gives them.

    Raises:
        ValueError: as `read_peft`, or a module without a scale.
    """
    lora = read_peft({key: value.float() for key, value in state.items() if ".lora_" in key})

    def scaled(name: str, update: Update) -> Update:
        scale = scales.get(name) if isinstance(scales, dict) else scales
        if not isinstance(scales, dict) or not _is_number(scale):
            raise ValueError(
                f"LoRA: expected a scale for {name}, got {shown(scale)}; choose a file made by this pack"
            )
        return replace(update, scale=scale)

    return Lora({name: scaled(name, update) for name, update in lora.updates.items()})


def _is_number(value: object) -> bool:
    """Whether a value from JSON is a number of a size that weights have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def fingerprint_from(values: object, what: str) -> Fingerprint:
    """Of a layout and samples as JSON gives them.

    Raises:
        ValueError: they are something else.
    """
    layout, samples = values if isinstance(values, list) and len(values) == 2 else (None, None)
    if (
        not isinstance(layout, str)
        or not isinstance(samples, list)
        or not all(_is_number(sample) for sample in samples)
    ):
        raise ValueError(
            f"{what}: expected a base's layout and a few of its numbers, got {shown(values)}; choose a file made by this pack"
        )
    return Fingerprint(layout, tuple(samples))


def save_lora(path: Path, lora: Lora, base: Fingerprint, **facts: str) -> None:
    """Write a LoRA in half precision, with its base's fingerprint and `facts` in the metadata."""
    tensors, scales = packed(lora)
    tensors = {key: value.detach().cpu().half().contiguous() for key, value in tensors.items()}
    entry = {"layout": base.layout, "samples": base.samples}
    save_tensors(
        path, tensors, {"kind": KIND, "scales": json.dumps(scales), "base": json.dumps(entry), **facts}
    )


def load_lora(path: Path, base: Fingerprint) -> Lora:
    """A LoRA of ours, for this base.

    Raises:
        ValueError: as `read_tensors`; another kind of file; or the LoRA of another base.
    """
    state, metadata = read_tensors(path, "LoRA")
    if metadata.get("kind") != KIND:
        raise ValueError(
            f"LoRA: expected a file of kind {KIND}, but {Path(path).name} holds {kind_of(metadata)}"
        )
    what = f"LoRA: {Path(path).name}"
    entry = json_entry(metadata, "base", what)
    values = [entry.get("layout"), entry.get("samples")] if isinstance(entry, dict) else entry
    check_base(fingerprint_from(values, what), base, Path(path).name)
    return unpacked(state, json_entry(metadata, "scales", what))


def check_base(own: Fingerprint, base: Fingerprint, what: str) -> None:
    """Raises ValueError, with what differs, unless a LoRA was made on this base."""
    if own.same(base):
        return
    differs = (
        "the same layout with other weights" if own.layout == base.layout else "a network of another layout"
    )
    raise ValueError(
        f"LoRA: {what} was made on another base: this one is {differs}; load the model that it was trained on"
    )
