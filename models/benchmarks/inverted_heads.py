"""Heads of frontal pictures by the main path, kept on disk with their seconds: an inversion is most of a bench's time, and several want it."""

from __future__ import annotations

import hashlib
import json
import time

import torch

from ..checkpoint import shipped
from ..embedded import load_weights
from ..head import Head, load_head, save_head
from ..synthetic.renders import cache_folder
from .exact_heads import ExactHead, inverted


class InvertedHeads:
    """Inversions by the weights that they depend on.

    Args:
        preset: of the inversion.
    """

    def __init__(self, preset: str = "quick") -> None:
        self.weights, self.preset = load_weights(torch.device("cpu")), preset
        digest = hashlib.sha256(preset.encode())
        for name in ("prior", "encoder", "discriminator"):
            digest.update(shipped(name).read_bytes())
        self.folder = cache_folder() / "bench" / f"heads-{digest.hexdigest()[:12]}"

    def timed(self, exact: ExactHead) -> tuple[Head, float]:
        """The inversion of one head's frontal picture, and the seconds that it took when it was made."""
        path = (
            self.folder
            / f"{hashlib.sha256(exact.exact.views.rgb.numpy().tobytes()).hexdigest()[:12]}.safetensors"
        )
        seconds = path.with_suffix(".json")
        if not (path.is_file() and seconds.is_file()):
            started = time.perf_counter()
            with torch.enable_grad():  # who asks may be looking without
                head = inverted(self.weights, exact.exact, exact.exact.frontal, self.preset)
            took = time.perf_counter() - started
            path.parent.mkdir(parents=True, exist_ok=True)
            save_head(head, path)
            seconds.write_text(json.dumps({"seconds": took}), encoding="utf-8")
        return load_head(path), float(json.loads(seconds.read_text(encoding="utf-8"))["seconds"])

    def head(self, exact: ExactHead) -> Head:
        """The same without the seconds."""
        return self.timed(exact)[0]
