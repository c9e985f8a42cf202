"""Memory that one call adds, measured in a process of its own."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch


def peak_bytes() -> int:
    """Highest resident memory of this process so far."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage there also counts the parent's
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 2**10)


def added_bytes(work: Callable[[], object], device: torch.device) -> int:
    """What a call adds to this process's peak, or to the accelerator's."""
    if device.type == "cpu":
        before = peak_bytes()
        work()
        return peak_bytes() - before
    torch.accelerator.empty_cache()
    torch.accelerator.reset_peak_memory_stats()
    before = torch.accelerator.memory_allocated()
    work()
    return torch.accelerator.max_memory_allocated() - before


def told_by_process(bench: str, *words: str) -> int:
    """The number that `bench NAME WORDS` prints last, in a process that has done nothing else.

    Raises:
        ValueError: it failed.
    """
    command = [sys.executable, "-m", __name__.partition(".")[0], "bench", bench, *words]
    process = subprocess.run(command, check=False, capture_output=True, text=True)
    if process.returncode:
        raise ValueError(
            f"bench {bench}: the process that measures memory failed: {process.stderr.strip()[-500:]}"
        )
    return int(process.stdout.split()[-1])
