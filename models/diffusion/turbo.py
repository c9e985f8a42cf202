"""TurboPortrait3D: feed-forward renders, refined in one step of a diffusion model that sees all views and the reference at once.

Images -> latents; noise on the novel views only; one UNet call at a fixed timestep; clean latents in closed form -> images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..out_of_memory import ran_out
from ..projection import map_size
from .autoencoder import Skips, decode_with_skips, encode_with_skips, factor
from .denoiser import Conditioning, ViewDenoiser
from .schedule import clean_from_noise

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

Callback = Callable[
    [int, int, Tensor], None
]  # windows done, of how many, the last one's first view [3, H, W]


@dataclass(frozen=True, kw_only=True)
class TurboConfig:
    """Figures of TurboPortrait3D, section 3.2, and how long sequences are cut."""

    t: int = 400  # the UNet's timestep
    r: float = 0.1  # share of noise in the novel views' latents
    window: int = 6  # novel views per UNet call
    overlap: int = 2  # of them, shared with the next call

    def __post_init__(self) -> None:
        if self.t < 0:
            raise ValueError(f"TurboConfig: expected a timestep t >= 0, got {self.t}; the paper's is 400")
        check_r(self.r)
        check_window(self.window, self.overlap)


@dataclass(frozen=True, kw_only=True)
class Turbo:
    """A refiner.

    Attributes:
        denoiser: the UNet behind the contract, LoRA merged. vae: its autoencoder, LoRA merged.
        conditioning: one row, for all views. skips: from the VAE's encoder to its decoder, or None.
    """

    denoiser: ViewDenoiser
    vae: AutoencoderKL
    conditioning: Conditioning
    skips: Skips | None = None
    config: TurboConfig = field(default_factory=TurboConfig)


@dataclass(frozen=True)
class Encoded:
    """Views in the autoencoder: scaled latents [V, C, h, w], the encoder's activations (finest first, [V, ...])."""

    latents: Tensor
    activations: tuple[Tensor, ...]


def mix_noise(z: Tensor, r: float | Tensor, noise: Tensor) -> Tensor:
    """(1 - r) z + r n on scaled latents: neither variance preserving nor the noise of any timestep. z itself where r is 0.

    Args:
        r: share of noise in [0, 1], or one per row [B].

    Raises:
        ValueError: r outside [0, 1].
    """
    check_r(r)
    r = torch.as_tensor(r, dtype=z.dtype, device=z.device)
    r = r.reshape(*r.shape, *[1] * (z.ndim - r.ndim))
    return torch.where(r > 0, (1 - r) * z + r * noise, z)


def predict_clean(denoiser: ViewDenoiser, z: Tensor, t: int, conditioning: Conditioning) -> Tensor:
    """Clean latents of views that see each other, in one step.

    z_0 = (z - sqrt(1 - a) n) / sqrt(a): what a DDPM scheduler of one step amounts to, in any version of diffusers.

    Args:
        z: [B, V, C, h, w], the reference last. conditioning: 1 or B V rows, views inner.

    Returns:
        [B, V, C, h, w].
    """
    B, V = z.shape[:2]
    rows = z.flatten(0, 1)
    steps = torch.full((B * V,), t, dtype=torch.int64, device=z.device)
    noise_pred = denoiser.mixed(V)(rows, steps, conditioning.repeated(B * V))
    return clean_from_noise(denoiser.schedule, noise_pred, rows, t).unflatten(0, (B, V))


def refine(
    turbo: Turbo,
    views: Tensor,
    references: Tensor,
    *,
    generator: torch.Generator,
    r: float | None = None,
) -> Tensor:
    """Views of a head, all refined in one UNet call beside its references (TurboPortrait3D, section 3.2).

    Args:
        views: [V, 3, H, W] in [0, 1], any V >= 1, any size. references: [R, 3, h, w], any R >= 1 and size; fitted into the views' frame.
        r: share of noise; None for the config's. generator: CPU generator of the noise.

    Returns:
        [V, 3, H, W] float32 in [0, 1], where the views are.

    Raises:
        ValueError: no views or references, numbers that are not finite, r outside [0, 1].
    """
    r = turbo.config.r if r is None else r
    check_r(r)
    check_views(views, references)
    noise = latent_noise(turbo, views, generator)
    reference_codes = encode_views(turbo, fitted(references, map_size(views)))
    return _refine(turbo, views, reference_codes, noise, r)


def refine_sequence(
    turbo: Turbo,
    views: Tensor,
    references: Tensor,
    *,
    generator: torch.Generator,
    r: float | None = None,
    loop: bool = False,
    callback: Callback | None = None,
) -> Tensor:
    """As `refine`, for any number of neighbouring views in the memory of one window: `config.window` of them at a time.

    All windows share the references; neighbouring ones overlap and are cross-faded. A view's noise is its own in every window.

    Args:
        loop: the last view is the first one's neighbour, as on a full turntable.
        callback: told after each window; may raise to interrupt.

    Raises:
        ValueError: as `refine`; or one window needs more memory than there is.
    """
    config = turbo.config
    r = config.r if r is None else r
    check_r(r)
    check_views(views, references)
    noise = latent_noise(turbo, views, generator)
    reference_codes = encode_views(turbo, fitted(references, map_size(views)))
    parts = windows(len(views), config.window, config.overlap, loop=loop)
    result = views.new_zeros(views.shape, dtype=torch.float32)
    total = views.new_zeros(len(views), 1, 1, 1, dtype=torch.float32)
    for i, index in enumerate(parts):
        rows = torch.tensor(index)
        weight = fade(len(index), config.overlap).to(result)[:, None, None, None]
        window = within_memory(
            lambda rows=rows: _refine(turbo, views[rows], reference_codes, noise[rows], r), views[rows]
        )
        result[rows] += weight * window
        total[rows] += weight
        if callback is not None:
            callback(i + 1, len(parts), window[0])
    return result / total


def _refine(turbo: Turbo, views: Tensor, references: Encoded, noise: Tensor, r: float) -> Tensor:
    """One UNet call: views [V, 3, H, W], encoded references, noise [V, C, h, w] -> [V, 3, H, W]."""
    V = len(views)
    novel = encode_views(turbo, views)
    z = torch.cat(
        [mix_noise(novel.latents, r, noise.to(novel.latents)), references.latents]
    )  # the references last
    clean = predict_clean(turbo.denoiser, z[None], turbo.config.t, turbo.conditioning)[0, :V]
    residuals = () if turbo.skips is None else turbo.skips(novel.activations)
    return decode_with_skips(turbo.vae, clean, residuals)[..., : views.shape[-2], : views.shape[-1]].to(
        views.device
    )


def within_memory(work: Callable[[], Tensor], views: Tensor) -> Tensor:
    """What `work` gives; where memory runs out, an error that says what to make smaller.

    Args:
        views: [N, 3, H, W], those that are worked on.

    Raises:
        ValueError: memory ran out.
    """
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        n, _, H, W = views.shape
        raise ValueError(
            f"window: expected memory for {n} views of {W} x {H} pixels at once, but it ran out; make the window smaller"
        ) from error


def encode_views(turbo: Turbo, images: Tensor) -> Encoded:
    """Images [V, 3, H, W] -> latents, their edges continued to whole latents."""
    return Encoded(
        *encode_with_skips(turbo.vae, padded(images.to(turbo.vae.device).float(), factor(turbo.vae)))
    )


def latent_noise(turbo: Turbo, views: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise for the latents of views, [V, C, h, w] on the generator's device."""
    f = factor(turbo.vae)
    shape = len(views), turbo.denoiser.latent_channels, ceil(views.shape[-2] / f), ceil(views.shape[-1] / f)
    return torch.randn(shape, generator=generator, device=generator.device)


def padded(images: Tensor, multiple: int) -> Tensor:
    """Images [N, 3, H, W], last rows and columns repeated until the sides are multiples of `multiple`."""
    H, W = images.shape[-2:]
    return F.pad(images, (0, -W % multiple, 0, -H % multiple), mode="replicate")


def fitted(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images [N, 3, h, w] in [0, 1], whole and centred in a white frame [N, 3, *size] of (height, width)."""
    H, W = size
    if tuple(images.shape[-2:]) == (H, W):
        return images
    scale = min(H / images.shape[-2], W / images.shape[-1])
    h, w = (max(1, round(side * scale)) for side in images.shape[-2:])
    small = F.interpolate(images.float(), size=(h, w), mode="bilinear", antialias=True).clamp(0, 1)
    top, left = (H - h) // 2, (W - w) // 2
    return F.pad(small, (left, W - w - left, top, H - h - top), value=1.0)


def windows(count: int, size: int, overlap: int, *, loop: bool = False) -> list[list[int]]:
    """Indices of neighbouring views, `size` at a time; windows cover all and share at least `overlap` with the next one.

    Windows are spread evenly. With `loop` they go on from the last view to the first. Fewer views than `size` are one window.

    Raises:
        ValueError: count < 1, or not 0 <= overlap < size.
    """
    check_window(size, overlap)
    if count < 1:
        raise ValueError(f"windows: expected at least one view, got {count}; wire some renders")
    if count <= size:
        return [list(range(count))]
    room = size - overlap
    reach = count if loop else count - size
    steps = ceil(reach / room)
    starts = [i * reach // steps for i in range(steps + (not loop))]
    return [[(start + k) % count for k in range(size)] for start in starts]


def fade(size: int, overlap: int) -> Tensor:
    """[size] weights of a window's views: rising over the first `overlap`, falling over the last, in (0, 1]."""
    k = torch.arange(size) + 1
    return torch.minimum(k, size + 1 - k).clamp(max=overlap + 1) / (overlap + 1)


def check_window(size: int, overlap: int) -> None:
    """Raises ValueError unless a window has views of its own."""
    if not 0 <= overlap < size:
        raise ValueError(
            f"window: expected an overlap from 0 to one less than the window's {size} views, got {overlap}; make one smaller"
        )


def check_r(r: float | Tensor) -> None:
    """Raises ValueError unless r, one number or one per row [B], is a share in [0, 1]."""
    values = torch.as_tensor(r)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"r: expected a share of noise from 0 to 1, got {r}; the paper refines with 0.1")


def check_views(views: Tensor, references: Tensor) -> None:
    """Raises ValueError unless both are batches [N, 3, H, W] of at least one finite image."""
    for name, images in (("views", views), ("references", references)):
        if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
            raise ValueError(
                f"{name}: expected at least one image, [N, 3, H, W], got {list(images.shape)}; wire a render and a photo"
            )
        if not torch.isfinite(images).all():
            raise ValueError(
                f"{name}: expected finite numbers, got NaN or infinity; check the node that made the images"
            )
