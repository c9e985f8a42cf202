"""What all trainings share: the device, the clock, and a local checkpoint outside the tree that the next call goes on from."""

from __future__ import annotations

import time

import torch
from torch import nn

from ..checkpoint import read, read_tensors, save_tensors, shipped
from .renders import cache_folder


def pick_device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")


class LocalRun:
    """One training that stops by the clock and can be gone on with.

    Args:
        name: of the training; names its checkpoint.
        module, optimiser: whose state is kept.
        minutes: of this call. parts: weights that ship, by the prefix that their keys have in the module; None for one file of the
            training's name.
    """

    def __init__(
        self, name: str, module: nn.Module, optimiser: torch.optim.Optimizer, minutes: float, parts: dict[str, str] | None = None
    ) -> None:
        self.name, self.parts = name, parts or {"": name}
        self.path = cache_folder() / "train" / f"{name}.safetensors"
        self.module, self.optimiser = module, optimiser
        self.seconds, self.started = minutes * 60, time.monotonic()

    def progress(self) -> float:
        """Share of this call's time that is over."""
        return (time.monotonic() - self.started) / self.seconds

    def resume(self) -> int:
        """Go on from the local checkpoint, else from the shipped weights with a fresh optimiser, where they fit; the step to go on from."""
        if not self.path.is_file():
            self._from_shipped()
            return 0
        tensors, metadata = read_tensors(self.path, "local checkpoint")
        own = self.module.state_dict()
        state = {key[2:]: value for key, value in tensors.items() if key.startswith("m.")}
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in own.items()}:
            print(f"{self.path.name} is of another architecture; starting anew", flush=True)
            return 0
        self.module.load_state_dict(state)
        layout = self.optimiser.state_dict()
        kept: dict[int, dict] = {}
        for key, value in tensors.items():
            if key.startswith("o."):
                _, index, name = key.split(".", 2)
                kept.setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict({"state": kept, "param_groups": layout["param_groups"]})
        return int(metadata["step"])

    def _from_shipped(self) -> None:
        """Load the weights that ship, unless they are of another architecture or absent."""
        if not all(shipped(name).is_file() for name in self.parts.values()):
            return
        state = {prefix + key: value for prefix, name in self.parts.items() for key, value in read(shipped(name), name)[1].items()}
        own = self.module.state_dict()
        if {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in own.items()}:
            self.module.load_state_dict(state)
            print(f"going on from the shipped {' and '.join(self.parts.values())} weights", flush=True)

    def save(self, step: int) -> None:
        """Write the local checkpoint."""
        tensors = {f"m.{key}": value.cpu().contiguous() for key, value in self.module.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"o.{index}.{name}": value.cpu().contiguous().clone() for name, value in state.items()}
        save_tensors(self.path, tensors, {"step": str(step)})
