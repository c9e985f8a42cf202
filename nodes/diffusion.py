"""Load view diffusion: the embedded diffusion model, or a MODEL, a VAE and CONDITIONING of the user's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import comfy.model_management as mm
import torch
from comfy_api.latest import io

from ..models.checkpoint import shipped
from ..models.diffusion.embedded import PROMPTS, shipped_unet
from ..models.diffusion.new_views import DiffusionModel, embedded_model
from ..models.diffusion.usage import FOREIGN, FROM_MODEL
from . import loading
from .denoising import ComfyDenoiser, autoencoder, check_text_model, tokens_of, weights_facts
from .turbo import CORE_MEMORY, MEMORY_PER_PIXEL
from .types import CATEGORY, DiffusionOnWire, DiffusionWire

VIEWS = PROMPTS[:-1]  # all but the empty one


class LoadViewDiffusion(io.ComfyNode):
    """Weights, or core's wires -> PORTRAIT_DIFFUSION."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        prompts = [
            io.Conditioning.Input(
                view,
                optional=True,
                tooltip=f"Your prompt for views from the {view}, CLIP-encoded."
                + ("" if view == "front" else " As front's where absent."),
            )
            for view in ("front", "side", "back", "overhead")
        ]
        return io.Schema(
            node_id="PortraitDiffusionLoadViewDiffusion",
            display_name="Load View Diffusion",
            category=CATEGORY,
            description="Loads a diffusion model that knows from where a head is seen. With nothing wired it is the one that ships; or wire "
            "MODEL, VAE and prompts of Stable Diffusion 1.x or 2.x.",
            search_aliases=["stable diffusion", "view prompts", "unet", "portrait diffusion"],
            inputs=[
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="Stable Diffusion 1.x, 2.x or SD-Turbo, an inpainting one of these, too; nothing for the one that ships.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="The model's VAE; needed with model."),
                *prompts,
                io.Conditioning.Input(
                    "negative", optional=True, tooltip="The empty or negative prompt; needed with model."
                ),
                io.Combo.Input(
                    "trained_as",
                    options=[FROM_MODEL, *FOREIGN],
                    default=FROM_MODEL,
                    optional=True,
                    advanced=True,
                    tooltip="Of which family a wired model is: it decides size, guidance and timesteps of all that follows. By itself "
                    "SD-Turbo is told from 2.1 by its file's name alone.",
                ),
            ],
            outputs=[
                DiffusionWire.Output(display_name="diffusion", tooltip="For Load HPDM and Restore Geometry.")
            ],
        )

    @classmethod
    def execute(cls, model=None, vae=None, negative=None, trained_as=FROM_MODEL, **prompts) -> io.NodeOutput:
        texts = {view: value for view, value in prompts.items() if value is not None}
        with torch.inference_mode(False):
            if model is None and vae is None and negative is None and not texts:
                base = shipped_unet()
                views_model = embedded_model(base)
                return io.NodeOutput(
                    DiffusionOnWire(
                        views_model,
                        "embedded",
                        loading.patcher(views_model.vae, base),
                        MEMORY_PER_PIXEL,
                    )
                )
            if model is None or vae is None or negative is None or "front" not in texts:
                raise ValueError(
                    "view diffusion: expected model, vae, front and negative together, or nothing at all for the embedded model, "
                    "got some of them; wire all four"
                )
            views_model = on_model(model, vae, texts, negative)
            if trained_as != FROM_MODEL:
                views_model = replace(views_model, usage=FOREIGN[trained_as])
            memory = CORE_MEMORY * mm.dtype_size(views_model.vae.dtype)
            return io.NodeOutput(
                DiffusionOnWire(
                    views_model, type(model.model).__name__, loading.patcher(views_model.vae), memory
                )
            )


def model_facts(diffusion: DiffusionOnWire) -> tuple:
    """What changes when a diffusion model does, for a fingerprint: its prompts and its weights, its autoencoder's too."""
    model = diffusion.model
    if isinstance(model.denoiser, ComfyDenoiser):
        return diffusion.name, model.tokens, weights_facts(model.denoiser.patcher), model.vae
    return diffusion.name, model.tokens, loading.file_facts(shipped("diffusion"), shipped("autoencoder"))


def alike(tokens: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Prompts of one length: repeated, as core does, which changes nothing for attention."""
    length = math.lcm(*(value.shape[1] for value in tokens.values()))
    return {name: value.repeat(1, length // value.shape[1], 1) for name, value in tokens.items()}


def on_model(model, vae, prompts: Mapping[str, object], negative) -> DiffusionModel:
    """A MODEL behind the contract, with prompts by view.

    Raises:
        ValueError: as `ComfyDenoiser`, `check_text_model` and `autoencoder`.
    """
    rows_of_views = {view: tokens_of(prompts.get(view, prompts["front"]), view) for view in VIEWS}
    rows = alike({**rows_of_views, PROMPTS[-1]: tokens_of(negative, "negative")})
    tokens = torch.cat([rows[view] for view in PROMPTS])
    denoiser = ComfyDenoiser(model)
    check_text_model(denoiser, inpainting=True)
    return DiffusionModel(denoiser=denoiser, vae=autoencoder(vae), tokens=tokens, usage=denoiser.usage)
