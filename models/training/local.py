"""What all trainings share: the device, the clock, and a local checkpoint outside the tree that the next call goes on from."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoint import read, read_tensors, save_tensors, shipped
from ..devices import pick_device
from ..synthetic.renders import cache_folder


def training_parser(
    name: str, description: str | None, *, minutes: float, heads: int
) -> argparse.ArgumentParser:
    """The options that trainings share."""
    parser = argparse.ArgumentParser(prog=f"portrait-diffusion train {name}", description=description)
    parser.add_argument(
        "--minutes", type=float, default=minutes, help="of this call, without the rendering of the heads"
    )
    parser.add_argument("--heads", type=int, default=heads, help="factory heads to learn from")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 for all")
    parser.add_argument(
        "--begin", type=float, default=0.0, help="share of the run to begin at, when going on"
    )
    parser.add_argument(
        "--end", type=float, default=1.0, help="share of the run to end at; weights are written at 1"
    )
    return parser


def add_steps(parser: argparse.ArgumentParser) -> None:
    """For trainings that are compared with each other: as many steps of each."""
    parser.add_argument(
        "--steps", type=int, metavar="N", help="stop after so many in all sittings, whatever the clock says"
    )


def sitting(parser: argparse.ArgumentParser, arguments: list[str]) -> tuple[argparse.Namespace, torch.device]:
    """The options, with torch's threads set, and the device to train on."""
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    return options, pick_device()


@contextmanager
def initial_weights(seed: int) -> Iterator[None]:
    """Modules that are built inside begin with the weights of a seed; torch's own generator is then as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def rate_share(step: int, progress: float, *, warm_up: int = 100, least: float = 0.02) -> float:
    """Share of the learning rate: linear warm-up, then a cosine over the run down to `least`."""
    return min(1, (step + 1) / warm_up) * (
        least + (1 - least) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0), 1)))
    )


def descend(loss: Tensor, optimiser: torch.optim.Optimizer, rate: float) -> None:
    """One step down a loss [] with the gradient's norm clipped, which a first wild batch needs.

    A group's "scale" multiplies its rate.
    """
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    for group in optimiser.param_groups:
        torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        group["lr"] = rate * group.get("scale", 1.0)
    optimiser.step()


class LocalRun:
    """One training that stops by the clock and can be gone on with.

    Args:
        name: of the training; names its checkpoint.
        module, optimiser: whose state is kept.
        path: of the checkpoint; None for one of that name in the cache.
        minutes: of this call. parts: weights that ship, by the prefix that their keys have in the module; None for one file of the
            training's name.
        steps: of all sittings, after which it stops in place of the clock; None for the clock.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        optimiser: torch.optim.Optimizer,
        minutes: float,
        parts: dict[str, str] | None = None,
        path: Path | None = None,
        *,
        steps: int | None = None,
    ) -> None:
        self.name = name
        self.parts = parts or {"": name}
        self.path = path or cache_folder() / "train" / f"{name}.safetensors"
        self.module, self.optimiser = module, optimiser
        self.seconds, self.steps = minutes * 60, steps
        self.start = time.monotonic()
        self.step = 0

    def progress(self) -> float:
        """Share of this call's time that is over; of the steps, where these are told."""
        if self.steps is not None:
            return self.step / max(self.steps, 1)
        return (time.monotonic() - self.start) / self.seconds

    def resume(self) -> int:
        """Go on from the local checkpoint, else from the shipped weights with a fresh optimiser, where they fit; the step to go on from."""
        if not self.path.is_file():
            self._from_shipped()
            return self.step
        tensors, metadata = read_tensors(self.path, "local checkpoint")
        own = self.module.state_dict()
        state = {key[2:]: value for key, value in tensors.items() if key.startswith("m.")}
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in own.items()}:
            print(f"{self.path.name} is of another architecture; starting anew", flush=True)
            return 0
        self.module.load_state_dict(state)
        layout = self.optimiser.state_dict()
        moments: dict[int, dict] = {}
        for key, value in tensors.items():
            if key.startswith("o."):
                _, index, name = key.split(".", 2)
                moments.setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict({"state": moments, "param_groups": layout["param_groups"]})
        self.step = int(metadata["step"])
        return self.step

    def train(
        self,
        step: Callable[[int, float], dict[str, float]],
        options: argparse.Namespace,
        *,
        save_every: int = 500,
        judge: Callable[[], object] | None = None,
    ) -> int:
        """Steps until the clock or their number says so, printed now and then, saved often; how many have been done in all sittings.

        Args:
            step: (steps done, share of the run) -> its losses. options: of `training_parser`.
            judge: figures to print when saving.
        """
        while (share := self.progress()) < 1:
            terms = step(self.step, options.begin + (options.end - options.begin) * share)
            self.step += 1
            if self.step % 50 < 2:  # two in a row: some trainings' steps alternate
                words = "  ".join(f"{key} {value:.4f}" for key, value in terms.items())
                print(f"step {self.step}  {time.monotonic() - self.start:.0f} s  {words}", flush=True)
            if self.step % save_every == 0:
                self.save(self.step)
                if judge is not None:
                    print("validation", judge(), flush=True)
        self.save(self.step)
        return self.step

    def draws(self, seed: int) -> torch.Generator:
        """`resume`, and what the sitting draws from: one that goes on sees other draws."""
        return torch.Generator().manual_seed(seed + self.resume())

    def run(
        self,
        step: Callable[[int, float], dict[str, float]],
        options: argparse.Namespace,
        judge: Callable[[], dict[str, float]],
        ship: Callable[..., None],
        *,
        save_every: int = 500,
        digits: int = 3,
    ) -> None:
        """`train`, then `conclude` with the held-out figures that `judge` gives; the arguments are theirs."""
        self.train(step, options, save_every=save_every, judge=judge)
        self.conclude(options, judge(), ship, digits=digits)

    def conclude(
        self,
        options: argparse.Namespace,
        figures: dict[str, float],
        ship: Callable[..., None],
        *,
        digits: int = 3,
    ) -> None:
        """Print the held-out figures; at the end of the whole run, write the weights with them.

        Args:
            ship: takes facts for the file's metadata. digits: of the figures in it.
        """
        if options.end >= 1:
            ship(**{key: f"{value:.{digits}f}" for key, value in figures.items()}, steps=str(self.step))
        print(f"{self.step} steps; validation {figures}", flush=True)

    def _from_shipped(self) -> None:
        """Load the weights that ship, unless they are of another architecture or absent."""
        if not all(shipped(name).is_file() for name in self.parts.values()):
            return
        state = {
            prefix + key: value
            for prefix, name in self.parts.items()
            for key, value in read(shipped(name), name)[1].items()
        }
        own = self.module.state_dict()
        if {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in own.items()}:
            self.module.load_state_dict(state)
            print(f"going on from the shipped {' and '.join(self.parts.values())} weights", flush=True)

    def keep(self, path: Path) -> None:
        """Write a checkpoint without the optimiser's moments, in half precision: small enough to carry to another machine."""
        tensors = {
            key: value.half() if value.is_floating_point() else value
            for key, value in self._module_tensors().items()
        }
        save_tensors(path, tensors, {"step": str(self.step)})

    def _module_tensors(self) -> dict[str, Tensor]:
        """The module's, as a checkpoint has them; some are shared."""
        return {
            f"m.{key}": value.cpu().contiguous().clone() for key, value in self.module.state_dict().items()
        }

    def save(self, step: int) -> None:
        """Write the local checkpoint."""
        tensors = self._module_tensors()
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {
                f"o.{index}.{name}": value.cpu().contiguous().clone() for name, value in state.items()
            }
        save_tensors(self.path, tensors, {"step": str(step)})
