"""What an interrupt within a step must not leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def taken_back(generator: torch.Generator) -> Iterator[None]:
    """Draws of a step that does not end are taken back: its caller may still ask for the state of the step before."""
    draws = generator.get_state()
    try:
        yield
    except BaseException:
        generator.set_state(draws)
        raise
