"""ComfyUI's MODEL and VAE as the denoisers and autoencoders of models/diffusion: same weights, same contract."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import comfy.model_management as mm
import comfy.model_sampling
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import merge_nested_dicts
from comfy.weight_adapter import LoRAAdapter
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from ..models.diffusion.denoiser import Conditioning, check_beside, check_latents
from ..models.diffusion.injection import injected, ldm_sites
from ..models.diffusion.lora import Lora, Update, merged
from ..models.diffusion.schedule import from_sigmas, noise_from
from ..models.diffusion.stable_diffusion import autoencoder_from, unet_to_diffusers
from ..models.diffusion.usage import usage_of
from ..models.diffusion.view_mixing import check_rows

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

INPAINTING = (
    "mask",
    "masked_image",
)  # what core says that such a MODEL takes beside its latents, in this order
UNET = "diffusion_model."  # where BaseModel keeps the UNet


class ComfyDenoiser:
    """A MODEL of the Stable Diffusion 1.x or 2.x family behind the contract; its LoRAs and patches work on.

    Args:
        patcher: the MODEL; never changed. views: adjacent rows that see each other. features: added at the UNet's taps.
        resident: whether its caller has loaded it, together with all that works between its calls: then they load nothing.

    Attributes:
        extra_channels: that the UNet takes beside the latents. usage: at which size and under how much guidance it was trained to be used.

    Raises:
        ValueError: a MODEL of another family.
    """

    def __init__(
        self,
        patcher: ModelPatcher,
        views: int = 1,
        features: tuple[Tensor, ...] | None = None,
        resident: bool = False,
    ) -> None:
        sampling = patcher.get_model_object("model_sampling")
        discrete = (
            isinstance(sampling, comfy.model_sampling.ModelSamplingDiscrete)
            and len(sampling.sigmas) == sampling.num_timesteps
        )
        predicts_noise = isinstance(sampling, comfy.model_sampling.EPS) and not isinstance(
            sampling, comfy.model_sampling.IMG_TO_IMG
        )
        if not (discrete and predicts_noise) or getattr(patcher.model, "adm_channels", 0):
            raise ValueError(
                "model: expected one of the Stable Diffusion 1.x, 2.x or SD-Turbo family (1000 discrete timesteps, text only), got "
                f"{described(patcher)}; load such a checkpoint"
            )
        self.patcher, self.views, self.features, self.resident = patcher, views, features, resident
        self._mixing = patcher if views == 1 else mix_views(patcher, views)
        layout = patcher.model.model_config.unet_config
        self.sigmas = sampling.sigmas.double().cpu()
        self.schedule = from_sigmas(
            self.sigmas, "sample"
        )  # apply_model gives clean latents, whatever the network predicts
        self.latent_channels = patcher.model.latent_format.latent_channels
        self.extra_channels = layout["in_channels"] - self.latent_channels
        self.usage = usage_of(
            linear=bool(layout.get("use_linear_in_transformer")),
            velocity=isinstance(sampling, comfy.model_sampling.V_PREDICTION),
            file=file_name(patcher),
        )
        layers = layout["num_res_blocks"]
        channels = tuple(layout["model_channels"] * times for times in layout["channel_mult"])
        self.size = (channels, layers if isinstance(layers, int) else layers[0])

    def mixed(self, views: int) -> ComfyDenoiser:
        return ComfyDenoiser(self.patcher, views, self.features, self.resident)

    def told(self, features: Sequence[Tensor]) -> ComfyDenoiser:
        return ComfyDenoiser(self.patcher, self.views, tuple(features), self.resident)

    def loaded(self) -> ComfyDenoiser:
        """The same, whose caller loads it: once for a loop, with `patchers` and `memory`."""
        return ComfyDenoiser(self.patcher, self.views, self.features, True)

    @property
    def patchers(self) -> list[ModelPatcher]:
        """What has to be loaded, also for the patches on the MODEL."""
        return [self.patcher, *self.patcher.get_nested_additional_models()]

    def memory(self, rows: int, size: int) -> int:
        """Bytes that a call with so many rows of pictures of size x size needs beside the weights, as core reckons."""
        side = size // 8
        return int(self.patcher.memory_required([rows, self.latent_channels, side, side]))

    @torch.no_grad()
    def __call__(self, z: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        check_latents(z, t, conditioning, self.latent_channels)
        check_beside(z, conditioning, self.extra_channels)
        check_rows(len(z), self.views)
        self.schedule.alpha(t, z)
        patcher, device = self._mixing, self._mixing.load_device
        if not self.resident:
            others = patcher.get_nested_additional_models()
            mm.load_models_gpu([patcher, *others], memory_required=patcher.memory_required(list(z.shape)))
        sigma = self.sigmas[t.cpu()].to(device, torch.float32)
        options = {**transformer_options(patcher), "sigmas": sigma, "cond_or_uncond": [0]}
        condition = conditioning.to(device, torch.float32)
        x = (
            z.to(device, torch.float32) * (1 + sigma.square()).sqrt()[:, None, None, None]
        )  # from variance preserving to exploding
        patcher.pre_run()
        try:
            with injected(lambda: ldm_sites(patcher.model.diffusion_model), self.features):
                clean = applied(
                    patcher,
                    x,
                    sigma,
                    {
                        "c_concat": condition.concat,
                        "c_crossattn": condition.tokens,
                        "transformer_options": options,
                    },
                )
        finally:
            patcher.cleanup()
        return noise_from(self.schedule, clean.to(z), z, t)


def transformer_options(patcher: ModelPatcher) -> dict:
    """What a MODEL's patches ask of its UNet, with the wrappers and callbacks that core's samplers would put there."""
    options = dict(patcher.model_options["transformer_options"])
    for name in ("wrappers", "callbacks"):
        options[name] = merge_nested_dicts(options.get(name, {}), getattr(patcher, name))
    return options


def applied(patcher: ModelPatcher, x: Tensor, sigma: Tensor, conditions: dict) -> Tensor:
    """Clean latents [B, C, h, w] of x [B, C, h, w] at sigma [B], through what may be wrapped around the MODEL as a whole."""
    wrapper = patcher.model_options.get("model_function_wrapper")
    if wrapper is None:
        return patcher.model.apply_model(x, sigma, **conditions)
    call = {"input": x, "timestep": sigma, "c": conditions, "cond_or_uncond": [0]}
    return wrapper(patcher.model.apply_model, call)


def described(patcher: ModelPatcher) -> str:
    """What a MODEL is, for an error: its family as core calls it, its input channels and its file, as far as these are known."""
    model = patcher.model
    config = getattr(model, "model_config", None)
    channels = (getattr(config, "unet_config", None) or {}).get("in_channels", 4)
    name = file_name(patcher)
    parts = [
        type(model if config is None else config).__name__,
        "a Zero-123" if hasattr(model, "cc_projection") else "",
        "an inpainting model" if tuple(getattr(model, "concat_keys", ())) == INPAINTING else "",
        f"{channels} input channels" if channels != 4 else "",
        f"of {name}" if name else "",
    ]
    return ", ".join(part for part in parts if part)


def check_text_model(denoiser: ComfyDenoiser, *, inpainting: bool) -> None:
    """A MODEL that prompts alone lead, or one that inpaints.

    Args:
        inpainting: whether the latter will do.

    Raises:
        ValueError: it takes something else beside its latents, such as a Zero-123's picture.
    """
    model = denoiser.patcher.model
    painted = (
        tuple(model.concat_keys) == INPAINTING and denoiser.extra_channels == denoiser.latent_channels + 1
    )
    if denoiser.extra_channels == 0 or (inpainting and painted):
        return
    advice = (
        "wire it into Load Zero-123" if hasattr(model, "cc_projection") else "choose one of 4 input channels"
    )
    forms = (
        "a model led by prompts (4 input channels) or an inpainting one (9)"
        if inpainting
        else "a model of 4 input channels"
    )
    raise ValueError(f"model: expected {forms}, got {described(denoiser.patcher)}; {advice}")


def file_name(patcher: ModelPatcher) -> str:
    """Of the checkpoint that a MODEL comes from, as far as its loader has noted it; else nothing."""
    loader = getattr(patcher, "cached_patcher_init", None)
    path = loader[1][0] if loader is not None and loader[1] else None
    return os.path.basename(path) if isinstance(path, (str, os.PathLike)) else ""


def mix_views(patcher: ModelPatcher, views: int) -> ModelPatcher:
    """A clone of a MODEL in which `views` adjacent rows see each other in self-attention; the MODEL itself stays as it is.

    Every row keeps its queries and gets the keys and values of all views of its group, which is what `ViewMixing` computes.
    """

    def patch(queries: Tensor, keys: Tensor, values: Tensor, options: dict) -> tuple[Tensor, Tensor, Tensor]:
        if (
            len(keys) != len(queries) or keys.shape[1] != queries.shape[1]
        ):  # a block whose first attention is to the prompt, too
            return queries, keys, values
        check_rows(len(queries), views)
        common = _of_all_views(keys, views)
        return queries, common, common if values is keys else _of_all_views(values, views)

    clone = patcher.clone()
    clone.set_model_attn1_patch(patch)
    return clone


def _of_all_views(tokens: Tensor, views: int) -> Tensor:
    """[(b v), n, d] -> [(b v), (v n), d]: for each row the tokens of its whole group."""
    together = tokens.unflatten(0, (-1, views)).flatten(1, 2)
    return together.repeat_interleave(views, 0)


def with_lora(patcher: ModelPatcher, lora: Lora) -> ModelPatcher:
    """A clone of a MODEL with a LoRA for the diffusers names of its UNet's modules.

    Raises:
        ValueError: targets that the UNet does not have.
    """
    state = {key.removeprefix(UNET): key for key in patcher.model.state_dict() if key.startswith(UNET)}
    names = unet_to_diffusers(state)  # diffusers' names of weights -> the MODEL's
    unknown = [name for name in lora.updates if f"{name}.weight" not in names]
    if unknown:
        raise ValueError(
            f"LoRA: expected modules of this MODEL's UNet, got {unknown[0]}; the LoRA was made for another network"
        )
    clone = patcher.clone()
    clone.add_patches({names[f"{name}.weight"]: _as_core(update) for name, update in lora.updates.items()})
    return clone


def _as_core(update: Update) -> LoRAAdapter:
    """Core's form of one update: up, down, alpha = scale * rank, and three things that we have none of."""
    return LoRAAdapter(set(), (update.b, update.a, update.scale * len(update.a), None, None, None))


def weights_facts(patcher: ModelPatcher) -> list:
    """What changes when a MODEL's UNet or the LoRAs on it do, and not when the server starts again: one number of each weight, and the
    LoRAs' strengths."""
    own = patcher.get_key_patches(UNET)
    return [
        (key, float(first[0].flatten()[0]), [patch[0] for patch in patches])
        for key, (first, *patches) in sorted(own.items())
    ]


def diffusers_state(patcher: ModelPatcher) -> dict[str, Tensor]:
    """The UNet's own weights under diffusers' keys, whatever LoRA the MODEL has been run with: for a LoRA's fingerprint."""
    own = {key.removeprefix(UNET): patches[0][0] for key, patches in patcher.get_key_patches(UNET).items()}
    return unet_to_diffusers(own)


def autoencoder(vae, lora: Lora | None = None) -> AutoencoderKL:
    """A core VAE as a diffusers autoencoder of the very same weights, in their precision; a copy of them only where a LoRA is merged.

    Raises:
        ValueError: not Stable Diffusion's VAE.
    """
    with torch.inference_mode(False):
        place = mm.unet_offload_device()  # where ours waits, too
        weights = vae.first_stage_model.state_dict()
        state = {key: differentiable(value.to(place)) for key, value in weights.items()}
        result = autoencoder_from(state)
        return result if lora is None else merged(result, lora)


def differentiable(weight: Tensor) -> Tensor:
    """The same numbers [...] at the same place, which autograd accepts: core loads weights in inference mode, whose tensors it does not.

    Call it outside of inference mode.
    """
    if not weight.is_inference():
        return weight.detach()
    try:
        return from_dlpack(weight.detach())
    except (RuntimeError, BufferError, TypeError):  # a precision or device that knows no such exchange
        return weight.clone()


def tokens_of(conditioning, name: str) -> torch.Tensor:
    """[1, L, D] of a CONDITIONING.

    Raises:
        ValueError: an empty one.
    """
    if not conditioning or not torch.is_tensor(conditioning[0][0]):
        raise ValueError(
            f"{name}: expected a CONDITIONING with tokens, got an empty one; wire CLIP Text Encode"
        )
    return conditioning[0][0][:1].detach().clone().float()
