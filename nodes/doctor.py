"""Doctor: what is installed and found, and what to do about the rest."""

from __future__ import annotations

from pathlib import Path

import comfy.model_management as mm
import folder_paths
from comfy_api.latest import io

from ..models.commands.doctor import Finding, as_text, examine
from . import loading
from .types import CATEGORY


class Doctor(io.ComfyNode):
    """The pack's state as text."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionDoctor",
            display_name="Portrait Diffusion Doctor",
            category=CATEGORY,
            description="Shows devices, versions and weights, what is missing, and the remedy. Run it first when something fails.",
            search_aliases=["diagnose", "check install", "versions", "system info"],
            inputs=[],
            outputs=[io.String.Output(display_name="report", tooltip="The same text.")],
            is_output_node=True,
            not_idempotent=True,
        )

    @classmethod
    def fingerprint_inputs(cls) -> float:
        return float("nan")  # look again on every run

    @classmethod
    def execute(cls) -> io.NodeOutput:
        files = [
            Path(folder_paths.get_full_path_or_raise(loading.FOLDER, name)) for name in loading.user_weights()
        ]
        device = mm.get_torch_device()
        findings = [
            *examine(files, loading.vgg_file()),
            Finding(
                "ComfyUI works on",
                f"{device}, {mm.get_total_memory(device) / 2**30:.1f} GiB, {mm.vram_state.name}",
            ),
        ]
        text = as_text(findings)
        return io.NodeOutput(text, ui={"text": [text]})
