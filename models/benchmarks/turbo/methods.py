"""The rows of `bench turbo`: from an exact head's frontal picture to its views."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...camera import Camera
from ...diffusion.autoencoder import decode, encode
from ...diffusion.embedded import shipped_autoencoder, shipped_unet
from ...diffusion.schedule import add_noise, ddim, timesteps
from ...diffusion.turbo import Turbo, refine_sequence
from ...diffusion.turbo_weights import shipped_refiner
from ...fitting.feed_forward import feed_forward_head
from ...head import Head
from ..exact_heads import ExactHead, angles_degrees, views_at
from ..inverted_heads import InvertedHeads, as_photo

STEPS = 20  # of img2img
STRENGTH = 0.5  # the usual share of the way that it walks back


@dataclass(frozen=True)
class Made:
    """A method's views [V, 3, S, S]; seconds for the head and for its views."""

    views: Tensor
    registration: float
    generation: float


def timed(work: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """What `work` gives [V, 3, S, S], and its seconds."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


class Methods:
    """The rows of the tables: an exact head and cameras -> views."""

    def __init__(self) -> None:
        self.inversions = InvertedHeads()
        self.weights = self.inversions.weights
        self.cache = {}
        self.turbo = shipped_refiner()
        self.base = shipped_unet()
        self.vae = shipped_autoencoder()

    def head(self, exact: ExactHead) -> Head:
        """The feed-forward head of the frontal picture."""
        return feed_forward_head(
            self.weights.prior, self.weights.encoder, as_photo(exact.exact, exact.exact.frontal)
        )

    def renders(self, exact: ExactHead, index: list[int]) -> Made:
        """Of the feed-forward head; made once, since most rows begin with them."""
        key = (exact.name, *index)
        if key not in self.cache:
            self.cache[key] = self._renders(exact, index)
        return self.cache[key]

    def _renders(self, exact: ExactHead, index: list[int]) -> Made:
        start = time.perf_counter()
        head = self.head(exact)
        registration = time.perf_counter() - start
        views, generation = timed(lambda: shown(head, exact.exact.camera[index]))
        return Made(views, registration, generation)

    def inverted(self, exact: ExactHead, index: list[int]) -> Made:
        """Of an inversion, `quick`."""
        head, registration = self.inversions.timed(exact)
        views, generation = timed(lambda: shown(head, exact.exact.camera[index]))
        return Made(views, registration, generation)

    def refined(
        self, exact: ExactHead, index: list[int], turbo: Turbo | None = None, r: float | None = None
    ) -> Made:
        """One step on the renders."""
        return self.one_step(self.renders(exact, index), exact, turbo, r)

    def inverted_refined(self, exact: ExactHead, index: list[int]) -> Made:
        """One step on the inversion's views."""
        return self.one_step(self.inverted(exact, index), exact)

    def one_step(
        self, source: Made, exact: ExactHead, turbo: Turbo | None = None, r: float | None = None
    ) -> Made:
        """One step on any views; the reference is the frontal picture."""
        reference = exact.exact.views.rgb[[exact.exact.frontal]]
        draws = torch.Generator().manual_seed(0)
        views, seconds = timed(
            lambda: refine_sequence(turbo or self.turbo, source.views, reference, generator=draws, r=r)
        )
        return replace(source, views=views, generation=source.generation + seconds)

    @torch.no_grad()
    def img2img(self, exact: ExactHead, index: list[int]) -> Made:
        """The undistilled base: noise to STRENGTH of the schedule on the renders, STEPS steps back, no reference (Meng et al. 2022)."""
        renders = self.renders(exact, index)
        denoiser = self.base.denoiser()
        prompt = self.base.prompts.named("empty").repeated(len(index))

        def work() -> Tensor:
            z = encode(self.vae, renders.views)
            path = timesteps(denoiser.schedule, round(STEPS / STRENGTH))[-STEPS:]
            noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(0))
            noisy = add_noise(denoiser.schedule, z, noise, int(path[0]))
            return decode(self.vae, ddim(denoiser.schedule, lambda x, t: denoiser(x, t, prompt), noisy, path))

        views, seconds = timed(work)
        return replace(renders, views=views, generation=renders.generation + seconds)

    @torch.no_grad()
    def ceiling(self, exact: ExactHead, index: list[int]) -> Made:
        """What the autoencoder leaves of the exact views."""
        views, seconds = timed(lambda: decode(self.vae, encode(self.vae, exact.exact.views.rgb[index])))
        return Made(views, 0.0, seconds)


def shown(head: Head, cameras: Camera) -> Tensor:
    """Views [V, 3, 256, 256] of a head in [0, 1]."""
    return head.render(cameras, 256, normals=False).rgb


def novel(exact: ExactHead, angles: tuple[int, ...] | None = None) -> list[int]:
    """Views at these yaws, or all within 60 degrees, but for the frontal one."""
    if angles is not None:
        return views_at(exact, angles)
    yaw, _ = angles_degrees(exact.exact)
    return [i for i in range(len(yaw)) if i != exact.exact.frontal and abs(float(yaw[i])) < 63]


class Alone:
    """A denoiser whose views never see each other, whatever is asked of it."""

    def __init__(self, denoiser) -> None:
        self.denoiser, self.schedule, self.latent_channels = (
            denoiser,
            denoiser.schedule,
            denoiser.latent_channels,
        )

    def mixed(self, views: int) -> Alone:
        return self

    def __call__(self, *arguments) -> Tensor:
        return self.denoiser(*arguments)
