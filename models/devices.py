"""Where trainings, benches and the command line compute."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def accelerator() -> torch.device | None:
    """What torch sees beside the CPU; None where there is nothing."""
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None


def pick_device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    return accelerator() or torch.device("cpu")


@contextmanager
def half_of_processors() -> Iterator[None]:
    """Inside, torch computes on half of the processors, unless OMP_NUM_THREADS says on how many: two are often one core, on which two
    threads take half as long again as one."""
    before = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def channels_last(network: Network) -> Network:
    """The same network, whose convolutions now have their channels last in memory."""
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] # stub lacks it


def placed(network: Network, device: torch.device, dtype: torch.dtype | None = None) -> Network:
    """The same network, moved, and in another precision where one is given; diffusers' own `to` has no usable type."""
    return network.to(device, dtype)
