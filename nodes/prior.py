"""Load head prior."""

from __future__ import annotations

from comfy_api.latest import io

from . import loading
from .types import CATEGORY, PriorWire


class LoadHeadPrior(io.ComfyNode):
    """Weights -> PORTRAIT_PRIOR."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionLoadHeadPrior",
            display_name="Load Head Prior",
            category=CATEGORY,
            description="Loads the generator of heads that a portrait is inverted into. 'embedded' ships with the pack.",
            search_aliases=[
                "portrait prior",
                "eg3d",
                "panohead",
                "spherehead",
                "3d gan",
                "head model",
                "portrait diffusion",
            ],
            inputs=[
                io.Combo.Input(
                    "prior",
                    options=loading.weight_files(),
                    default=loading.EMBEDDED,
                    tooltip="'embedded', or a file from models/portrait_diffusion: .safetensors, or EG3D's, PanoHead's or SphereHead's own .pkl, which is read without running it.",
                )
            ],
            outputs=[PriorWire.Output(display_name="prior", tooltip="For Invert Portrait.")],
        )

    @classmethod
    def validate_inputs(cls, prior: str):
        # named here, so that what is said of a file that is missing is ours
        return loading.is_there(prior, "prior")

    @classmethod
    def fingerprint_inputs(cls, prior):
        path = loading.weights_path(prior, "prior")
        return [prior, path.stat().st_mtime_ns, path.stat().st_size]

    @classmethod
    def execute(cls, prior: str) -> io.NodeOutput:
        return io.NodeOutput(loading.load_prior(prior))
