"""`bench turbo --speed`: seconds of every part of one-step refinement, beside the same mixing run unmerged and view by view."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...camera import orbit
from ...checkpoint import shipped
from ...commands.report import Row
from ...devices import accelerator, channels_last
from ...diffusion.autoencoder import decode_with_skips, encode_with_skips
from ...diffusion.denoiser import Conditioning, DiffusersDenoiser
from ...diffusion.embedded import shipped_autoencoder, shipped_unet
from ...diffusion.lora import attach
from ...diffusion.schedule import stable_diffusion_schedule
from ...diffusion.turbo import (
    Turbo,
    TurboConfig,
    encode_views,
    mix_noise,
    predict_clean,
    refine,
    refine_sequence,
)
from ...diffusion.turbo_weights import load_turbo, shipped_refiner
from ...embedded import load_weights
from ...fitting.feed_forward import feed_forward_head
from ...photo.alignment import align
from ...synthetic.splits import SHIPPED
from ..exact_heads import frontal_photo
from ..memory import added_bytes, told_by_process
from ..public_sizes import SD_TURBO, SD_VAE, random_networks
from .methods import shown

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

REPEATS = 5
WINDOWS = ((2, 256), (6, 256), (6, 512))  # views and pixels whose memory is measured
SIDE_VIEWS = (-0.5, 0.5)  # radians


def median_seconds(
    work: Callable[[], object], device: torch.device | None = None, repeats: int = REPEATS
) -> float:
    """Of some calls after a first one."""

    def wait() -> None:
        if device is not None and device.type != "cpu":
            torch.accelerator.synchronize()

    work()
    seconds = []
    for _ in range(repeats):
        wait()
        start = time.perf_counter()
        work()
        wait()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def speed_rows() -> list[Row]:
    """The embedded refiner here; SD-Turbo's size with random weights where there is an accelerator."""
    with torch.no_grad():
        rows = embedded_rows() + memory_rows()
        if device := accelerator():
            rows += accelerator_rows(device)
    return rows


def embedded_rows() -> list[Row]:
    """Two views at 256 pixels: parts, the whole, the whole from the photo, and the plain way."""
    photo = frontal_photo(SHIPPED)
    turbo = shipped_refiner()
    weights = load_weights(torch.device("cpu"))
    cameras = orbit(torch.tensor(SIDE_VIEWS), torch.zeros(2))

    def avatar() -> tuple[Tensor, Tensor]:
        reference = align(photo, network=weights.aligner)
        head = feed_forward_head(weights.prior, weights.encoder, reference)
        return shown(head, cameras), reference.on_white()[None]

    views, reference = avatar()

    def draws() -> torch.Generator:
        return torch.Generator().manual_seed(0)

    photo_latents, novel = encode_views(turbo, reference), encode_views(turbo, views)
    z = torch.cat([novel.latents, photo_latents.latents])[None]
    clean = predict_clean(turbo.denoiser, z, turbo.config.t, turbo.conditioning)[0, :2]
    residuals = turbo.skips(novel.activations) if turbo.skips is not None else ()
    parts = {
        "encode two views and the reference": lambda: encode_views(turbo, torch.cat([views, reference])),
        "UNet, three views": lambda: predict_clean(turbo.denoiser, z, turbo.config.t, turbo.conditioning),
        "decode two views": lambda: decode_with_skips(turbo.vae, clean, residuals),
        "refine two views": lambda: refine(turbo, views, reference, generator=draws()),
        "photo to two refined views": lambda: refine(turbo, *avatar(), generator=draws()),
    }
    rows = [
        Row(f"embedded, 256 pixels: {name}", "time", median_seconds(work), "s")
        for name, work in parts.items()
    ]
    plain = unmerged(turbo)
    ours, theirs = (
        refine(turbo, views, reference, generator=draws()),
        view_by_view(plain, views, reference, draws()),
    )
    rows.append(
        Row(
            "embedded, unmerged, view by view in the autoencoder",
            "time",
            median_seconds(lambda: view_by_view(plain, views, reference, draws())),
            "s",
        )
    )
    rows.append(Row("merged against unmerged", "largest difference", (ours - theirs).abs().max().item(), ""))
    return rows


def memory_rows() -> list[Row]:
    """What refining windows adds, each in a process of its own, also by pixel of its pictures."""
    rows = []
    for V, size in WINDOWS:
        extra = told_by_process(
            "turbo", "--threads", str(torch.get_num_threads()), "--memory-of", str(V), str(size)
        )
        name = f"embedded, {V} views of {size} pixels and the reference"
        rows.append(Row(name, "memory added", extra / 2**20, "MiB"))
        rows.append(Row(name, "memory added by pixel", extra / ((V + 1) * size**2), "B"))
    return rows


@torch.no_grad()
def added_memory(V: int, size: int) -> int:
    """Bytes that one window adds to this process's peak."""
    turbo = shipped_refiner()

    def work(V: int, size: int) -> Tensor:
        return refine(
            turbo,
            torch.rand(V, 3, size, size),
            torch.rand(1, 3, size, size),
            generator=torch.Generator().manual_seed(0),
        )

    work(1, 64)  # what torch keeps from its first call on
    return added_bytes(lambda: work(V, size), torch.device("cpu"))


def unmerged(turbo: Turbo) -> Turbo:
    """The embedded refiner with its factors beside the weights."""
    base = shipped_unet()
    vae = shipped_autoencoder()
    weights = load_turbo(shipped("turbo"), base.unet, vae)
    attach(base.unet, weights.unet)
    attach(vae, weights.vae)
    return replace(turbo, denoiser=DiffusersDenoiser(base.unet, base.denoiser().schedule), vae=vae)


def view_by_view(turbo: Turbo, views: Tensor, references: Tensor, generator: torch.Generator) -> Tensor:
    """As `refine`, views [V, 3, S, S] and references [K, 3, S, S] through the autoencoder one by one."""
    latents = [encode_with_skips(turbo.vae, x) for x in torch.cat([views, references]).split(1)]
    V = len(views)
    noise = torch.randn(V, *latents[0][0].shape[1:], generator=generator)
    mixtures = [mix_noise(z, turbo.config.r, noise[i : i + 1]) for i, (z, _) in enumerate(latents[:V])]
    z = torch.cat(mixtures + [z for z, _ in latents[V:]])
    clean = predict_clean(turbo.denoiser, z[None], turbo.config.t, turbo.conditioning)[0, :V]
    residuals = [() if turbo.skips is None else turbo.skips(activations) for _, activations in latents[:V]]
    return torch.cat([decode_with_skips(turbo.vae, clean[i : i + 1], residuals[i]) for i in range(V)])


def accelerator_rows(device: torch.device) -> list[Row]:
    """SD-Turbo's size, bfloat16, random weights: two views at 256 pixels, eight at 512, and a turntable of 120 at 512."""
    unet, vae = random_networks(SD_TURBO, SD_VAE, device, torch.bfloat16)
    prompt = Conditioning(torch.randn(1, 77, 1024, generator=torch.Generator().manual_seed(0)).to(device))
    turbo = refiner_of(unet, vae, prompt)
    other = refiner_of(channels_last(deepcopy(unet)), channels_last(deepcopy(vae)), prompt)
    rows = []
    for name, model in (("eager", turbo), ("channels last", other)):
        for V, size in ((2, 256), (8, 512)):
            views = torch.rand(V + 1, 3, size, size, generator=torch.Generator().manual_seed(1)).to(device)
            z = encode_views(model, views).latents
            parts = {
                "encode": lambda model=model, views=views: encode_views(model, views),
                "UNet": lambda model=model, z=z: predict_clean(model.denoiser, z[None], 400, prompt),
                "decode": lambda model=model, z=z, V=V: decode_with_skips(model.vae, z[:V], ()),
                "all": lambda model=model, views=views, V=V: refine(
                    model, views[:V], views[V:], generator=torch.Generator().manual_seed(0)
                ),
            }
            rows += [
                Row(
                    f"SD-Turbo's size, {name}, {V} views at {size}: {part}",
                    "time",
                    1000 * median_seconds(work, device),
                    "ms",
                )
                for part, work in parts.items()
            ]
    torch.accelerator.reset_peak_memory_stats()
    frames = torch.rand(121, 3, 512, 512, generator=torch.Generator().manual_seed(1))
    long = replace(turbo, config=TurboConfig(window=6, overlap=2))
    start = time.perf_counter()
    refine_sequence(
        long,
        frames[:120].to(device),
        frames[120:].to(device),
        generator=torch.Generator().manual_seed(0),
        loop=True,
    )
    torch.accelerator.synchronize()
    rows.append(
        Row("SD-Turbo's size, turntable of 120 frames at 512", "time", time.perf_counter() - start, "s")
    )
    rows.append(
        Row(
            "SD-Turbo's size, turntable of 120 frames at 512",
            "peak memory",
            torch.accelerator.max_memory_allocated() / 2**30,
            "GiB",
        )
    )
    return rows


def refiner_of(unet: UNet2DConditionModel, vae: AutoencoderKL, prompt: Conditioning) -> Turbo:
    """A refiner without skips."""
    return Turbo(denoiser=DiffusersDenoiser(unet, stable_diffusion_schedule()), vae=vae, conditioning=prompt)
