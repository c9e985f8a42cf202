"""`bench rodin --redundancy`: figure 5's argument without training. Planes of more channels, and finer ones, tell things more than once.

At one step of a schedule every number has as much signal and as much noise, however many there are. But a decoder adds numbers up, and so
does whatever looks at the planes: what many numbers tell alike outlives the average, noise does not. So the same schedule destroys large
planes less, and a schedule for small images leaves a network of large planes little to learn.

Taken are fitted planes of factory heads from the cache. All the texels under one of SIDE x SIDE cells are averaged, then the channels, with
the weights under which most signal is left: the first principal axis of the cells' means. Fewer channels are some of the planes' own, by
several draws; coarser planes are these planes, shrunk.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...avatar.planes import resize
from ...avatar.schedules import BASE, UPSAMPLER, log_snr, schedule_of
from ...avatar.shared_decoder import shared_decoder
from ...checkpoint import read_tensors
from ...commands.report import Row
from ...diffusion.schedule import Schedule
from ...synthetic.factories import Factory
from ...training.avatar_planes import planes_folder
from ...training.avatar_variants import LINEAR
from ..store import mean_row

CHANNELS = (4, 8, 16)
RESOLUTIONS = (64, 128)  # base model, upsampler
SIDE = 16  # cells along a plane
DRAWS = 8  # of some of the channels
SCHEDULES = {"linear": LINEAR, "strong": BASE, "the upsampler's": UPSAMPLER}
DECIBEL = 10 / math.log(10)  # of a natural logarithm


@dataclass(frozen=True)
class Signal:
    """Of one head, mean squares of what diffusion is given, -1 .. 1. Attributes: number: of a number. average: after averaging, over what
    noise of unit variance is left."""

    number: float
    average: float

    @property
    def gain(self) -> float:
        """What averaging adds to the signal's ratio to the noise, dB."""
        return 10 * math.log10(self.average / self.number)


def cached_planes(factory: Factory, count: int) -> Tensor:
    """The first fitted heads of the cache, as diffusion learns them: [N, 3, C, R, R] in -1 .. 1.

    Raises:
        ValueError: none are there.
    """
    shared, folder, rows = shared_decoder(), planes_folder(factory), list[Tensor]()
    for path in sorted(folder.glob("*.safetensors")):
        if sum(map(len, rows)) < count:
            rows.append(read_tensors(path, "cached planes")[0]["planes"].float())
    if not rows:
        raise ValueError(
            f"bench rodin --redundancy: expected fitted planes in the cache, found none of factory {factory.number}; "
            "run `train avatar-planes --heads 16`"
        )
    return shared.normalised(torch.cat(rows)[:count])


def signal_of(planes: Tensor) -> Signal:
    """Of planes [3, c, R, R]: how much a number tells, and how much is left when cells and channels are averaged.

    Noise of unit variance keeps 1 / (R / SIDE)^2 of it in a cell's mean, whatever channels are then added up by weights of square sum 1.

    Raises:
        ValueError: planes that do not divide into cells.
    """
    R = planes.shape[-1]
    if R % SIDE:
        raise ValueError(f"signal_of: expected planes of a multiple of {SIDE} texels, got {R}; resize them")
    cells = F.avg_pool2d(planes, R // SIDE).movedim(1, 0).flatten(1).double()  # [c, 3 * SIDE * SIDE]
    strongest = torch.linalg.eigvalsh(cells @ cells.mT / cells.shape[1])[-1].item()
    return Signal(planes.double().square().mean().item(), strongest * (R // SIDE) ** 2)


def lost_share(schedule: Schedule, strength: float) -> float:
    """Share of a schedule's steps in which noise outweighs a signal of such mean square (noise of 1)."""
    return (log_snr(schedule) + math.log(strength) < 0).double().mean().item()


def redundancy_rows(planes: Tensor) -> list[Row]:
    """The table, of planes [N, 3, C, R, R] in -1 .. 1; intervals over heads."""
    draws = torch.Generator().manual_seed(0)
    schedules = {name: schedule_of(config) for name, config in SCHEDULES.items()}
    C, rows = planes.shape[2], list[Row]()
    for count in (count for count in CHANNELS if count <= C):
        some = [torch.randperm(C, generator=draws)[:count] for _ in range(DRAWS if count < C else 1)]
        for side in (side for side in RESOLUTIONS if side <= planes.shape[-1]):
            heads = resize(planes, side)
            signals = [[signal_of(head[:, index]) for index in some] for head in heads]
            name = f"figure 5: {count} channels, {side} texels"
            gains = torch.tensor([[one.gain for one in own] for own in signals]).mean(1)
            rows.append(mean_row(name, "gain of averaging", gains, "dB"))
            for schedule_name, schedule in schedules.items():
                rows += schedule_rows(name, schedule_name, schedule, signals)
    return rows


def schedule_rows(
    name: str, schedule_name: str, schedule: Schedule, signals: list[list[Signal]]
) -> list[Row]:
    """Under one schedule: signal over noise at half of the steps, of a number and of averages; share of steps at which averages are lost."""
    middle = log_snr(schedule)[len(schedule) // 2].item() * DECIBEL

    def mean(measure) -> Tensor:
        return torch.tensor([[measure(one) for one in own] for own in signals]).mean(1)

    number = mean(lambda one: middle + 10 * math.log10(one.number))
    average = mean(lambda one: middle + 10 * math.log10(one.average))
    lost = mean(lambda one: lost_share(schedule, one.average))
    return [
        mean_row(name, f"{schedule_name}, half-way, signal over noise of a number", number, "dB"),
        mean_row(name, f"{schedule_name}, half-way, signal over noise of averages", average, "dB"),
        mean_row(name, f"{schedule_name}, steps at which averages are noise", lost, ""),
    ]
