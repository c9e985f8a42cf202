"""Where trainings, benches and the command line compute."""

from __future__ import annotations

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


def channels_last(network: Network) -> Network:
    """The same network, whose convolutions now have their channels last in memory."""
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] # stub lacks it


def placed(network: Network, device: torch.device, dtype: torch.dtype | None = None) -> Network:
    """The same network, moved, and in another precision where one is given; diffusers' own `to` has no usable type."""
    return network.to(device, dtype)
