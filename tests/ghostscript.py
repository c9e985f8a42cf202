"""A stand-in for Ghostscript that says when it was started, and a file that makes Pillow start it."""

from __future__ import annotations

import os
from pathlib import Path

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(a program) show\nshowpage\n"
NAMES = ("gs", "gswin32c", "gswin64c")


def stand_in(folder: Path) -> tuple[str, Path]:
    """(a PATH on which it comes first, the file that it writes when it is started)."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / "started"
    for name in NAMES:
        (folder / name).write_text(f'#!/bin/sh\necho "$@" >> "{marker}"\n')
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}", marker
