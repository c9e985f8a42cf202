"""Who made a file, as files say it."""

from __future__ import annotations

NAME = "Portrait Diffusion"
VERSION = "0.1.0"  # pyproject's; a copy, since ComfyUI loads the pack without installing it
GENERATOR = f"{NAME} {VERSION}"
SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"  # IPTC's term for it
