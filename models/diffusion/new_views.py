"""New views of a person by HPDM: one from a view that knows it, or a ring of them in chains outward from the photo.

Portrait Diffusion, "Multi-view Status Consistency". The paper drives each view by its neighbour (eqs. 6 and 8) and
leaves the order open; here every view is driven by its neighbour nearer to the front, the back by the chain that
comes nearer to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, yaw_pitch
from ..field.volume_rendering import RenderConfig
from ..head import Head
from ..projection import ProjectionConfig
from .autoencoder import decode, encode
from .denoiser import Conditioning, InjectedDenoiser, guided
from .embedded import EmbeddedUNet, prompt_index, shipped_autoencoder, shipped_unet
from .hpdm import Hpdm, HpdmDenoiser, Priors
from .inpainting import inpaints, with_void
from .schedule import add_noise, ddim, timesteps
from .usage import EMBEDDED, Usage, chosen_guidance
from .view_priors import DrivingView, ProjectedView, view_priors

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

Callback = Callable[[int, int, Tensor], None]  # views done, of how many, the last one [3, S, S]
PHOTO_YAW = math.radians(5)  # nearer than this a view is the photo's own
PHOTO = -1  # as a driver: the photo itself, which is no view of the ring
LEFT, RIGHT = 1, -1  # the subject's sides: signs of yaw
LEAST_KNOWN = 0.002  # share of the picture that a driving view must cover


@dataclass(frozen=True, kw_only=True)
class DiffusionModel:
    """A denoiser, its autoencoder, and what it is told of a camera.

    Attributes:
        tokens: [5, L, D], a prompt for each of PROMPTS; the last, empty one is guidance's.
        usage: at which size and under how much guidance it was trained to be used.
    """

    denoiser: InjectedDenoiser
    vae: AutoencoderKL
    tokens: Tensor
    usage: Usage = EMBEDDED

    def prompts(self, cameras: Camera) -> Conditioning:
        """Cameras [B] -> one row each."""
        return Conditioning(self.tokens[prompt_index(*yaw_pitch(cameras)).to(self.tokens.device)])

    @property
    def inpaints(self) -> bool:
        """Whether its denoiser is told where a view is void."""
        return inpaints(self.denoiser)

    @property
    def empty(self) -> Conditioning:
        """One row, for guidance."""
        return Conditioning(self.tokens[-1:])


@dataclass(frozen=True, kw_only=True)
class NewViewConfig:
    """How a view is drawn; `for_model` has what a model's usage says.

    Attributes:
        steps: of DDIM. guidance: s of classifier-free guidance; 1 for none. weight: w^Ex.
        strength: share of the schedule that is walked: 1 begins with noise, less with the coarse render under as much noise. Stable
            Diffusion's schedule leaves 7 % of the picture at its end, by which a UNet tells its colours (Lin et al. 2023, section 3.1):
            out of pure noise skin and hair come out too dark.
        blend: share of the picture's side over which what the driving view shows fades into what is drawn around it (BrushNet's blurred
            blending); 0 to keep what is drawn.
    """

    steps: int = 20
    guidance: float = 1.5
    weight: float = 1.0
    strength: float = 0.9
    blend: float = 0.012

    def __post_init__(self) -> None:
        bounded = 0 < self.strength <= 1 and 0 <= self.blend <= 0.25
        if self.steps < 1 or not bounded or self.guidance < 0 or self.weight < 0:
            raise ValueError(
                f"NewViewConfig: expected steps >= 1, strength in (0, 1], guidance and weight >= 0, blend in [0, 0.25], got {self.steps}, "
                f"{self.strength}, {self.guidance}, {self.weight}, {self.blend}; use the defaults"
            )

    def for_model(self, usage: Usage, *, guidance: float = -1.0) -> NewViewConfig:
        """The same under a model's guidance. Args: guidance: less than 0 for the model's."""
        return replace(self, guidance=chosen_guidance(guidance, usage.views))


@dataclass(frozen=True)
class Coarse:
    """A head's views at S pixels. Attributes: rgb, normal: [V, 3, S, S]. distance, mask: [V, S, S]. camera: [V]."""

    rgb: Tensor
    normal: Tensor
    distance: Tensor
    mask: Tensor
    camera: Camera

    def contiguous(self) -> Coarse:
        """The same as from a file: sums over strided maps round otherwise."""
        parts = (self.rgb, self.normal, self.distance, self.mask)
        rgb, normal, distance, mask = (part.contiguous() for part in parts)
        return Coarse(rgb, normal, distance, mask, self.camera)

    def driving(self, i: int, image: Tensor, person: Tensor | None = None) -> DrivingView:
        """A picture [3, S, S] of view i, with the head's depth there. Args: person: [1, h, w], where the picture has one, if known."""
        mask = self.mask[i]
        if person is not None:
            mask = (
                mask
                * F.interpolate(person[None].to(mask), size=mask.shape, mode="bilinear", antialias=True)[0, 0]
            )
        return DrivingView(image, self.distance[i], mask, self.camera[i])


@torch.no_grad()
def coarse_views(
    head: Head,
    cameras: Camera,
    size: int,
    *,
    raw: bool = False,
    config: RenderConfig | None = None,
    callback: Callable[[int, int], None] | None = None,
) -> Coarse:
    """What a head knows of some views.

    Args:
        raw: without its generator's super-resolution. config: of the rays, None for the head's.
        callback: told how much of the rendering is done; may raise to interrupt.
    """
    rendering = head.render(cameras, size, config, raw=raw, callback=callback)
    if rendering.normal is None:
        raise ValueError(
            "coarse views: expected a rendering with normals, got none; render the head with them"
        )
    return Coarse(rendering.rgb, rendering.normal, rendering.depth[:, 0], rendering.opacity[:, 0], cameras)


def embedded_model(base: EmbeddedUNet | None = None) -> DiffusionModel:
    """The diffusion model that comes with the pack, with its view prompts."""
    base = base or shipped_unet()
    return DiffusionModel(denoiser=base.denoiser(), vae=shipped_autoencoder(), tokens=base.prompts.tokens)


@torch.no_grad()
def generate(
    model: DiffusionModel,
    network: Hpdm | None,
    priors: Priors,
    cameras: Camera,
    renders: Tensor,
    *,
    generator: torch.Generator,
    config: NewViewConfig | None = None,
    callback: Callable[[int, int], None] | None = None,
) -> Tensor:
    """B views at once.

    Args:
        network: None to leave the denoiser alone. renders: [B, 3, S, S], the head's coarse views. generator: CPU generator of the noise.
        callback: told after each of the denoiser's calls; may raise to interrupt.

    Returns:
        [B, 3, S, S] in [0, 1].
    """
    config = config or NewViewConfig()
    denoiser = (
        model.denoiser if network is None else HpdmDenoiser(model.denoiser, network, priors, config.weight)
    )
    schedule = denoiser.schedule
    place = priors.projected.device, torch.float32
    prompts = with_void(model.prompts(cameras).to(*place), priors.known, priors.masked)
    empty = with_void(model.empty.to(*place).repeated(len(prompts)), priors.known, priors.masked)
    noise = torch.randn(priors.projected.shape, generator=generator).to(priors.projected)
    path = ((timesteps(schedule, config.steps, "trailing") + 1) * config.strength).round().long().clamp_min(
        1
    ) - 1
    start = (
        noise
        if config.strength == 1
        else add_noise(schedule, encode(model.vae, renders).to(noise), noise, int(path[0]))
    )

    def predict(z: Tensor, t: Tensor) -> Tensor:
        return (
            denoiser(z, t, prompts)
            if config.guidance == 1
            else guided(denoiser, z, t, prompts, empty, config.guidance)
        )

    return decode(model.vae, ddim(schedule, predict, start, path, callback))


def blended(picture: Tensor, view: ProjectedView, width: float) -> Tensor:
    """A drawn picture [3, S, S] with what a driving view shows of it laid over, fading towards the void. Args: width: share of the side."""
    cells = round(width * picture.shape[-1])
    if cells < 1:
        return picture
    inner = 1 - F.max_pool2d(1 - view.known, 2 * cells + 1, 1, cells)
    share = F.avg_pool2d(inner, 2 * cells + 1, 1, cells, count_include_pad=False)
    return picture + share * (view.image - picture)


@dataclass(frozen=True)
class NewView:
    """Attributes: image: [3, S, S] in [0, 1]. projected: what the driving view told of it."""

    image: Tensor
    projected: ProjectedView


def new_view(
    model: DiffusionModel,
    network: Hpdm | None,
    driver: DrivingView,
    coarse: Coarse,
    i: int,
    *,
    generator: torch.Generator,
    config: NewViewConfig | None = None,
    projection: ProjectionConfig | None = None,
    callback: Callable[[int, int], None] | None = None,
) -> NewView:
    """View i of a head, by what a driving view knows of it.

    Raises:
        ValueError: the driving view shows nothing of it.
    """
    pick = slice(i, i + 1)
    priors, views = view_priors(
        model.vae,
        [driver],
        coarse.camera[pick],
        coarse.rgb[pick],
        coarse.normal[pick],
        config=projection,
        inpaints=model.inpaints,
    )
    check_overlap(views[0].known, driver.camera, coarse.camera[i])
    image = generate(
        model,
        network,
        priors,
        coarse.camera[pick],
        coarse.rgb[pick],
        generator=generator,
        config=config,
        callback=callback,
    )
    return NewView(blended(image[0], views[0], (config or NewViewConfig()).blend), views[0])


def check_overlap(known: Tensor, driver: Camera, target: Camera) -> None:
    """Raises ValueError where a driving view shows too little of a target.

    Args:
        known: [1, h, w], 0 or 1, of the target's cells. driver, target: unbatched.
    """
    share = float(known.float().mean())
    if share < LEAST_KNOWN:
        a, b = (float(yaw_pitch(camera[None])[0].rad2deg()) for camera in (driver, target))
        raise ValueError(
            f"new view: expected a driving view that shows at least {LEAST_KNOWN:.1%} of the new one, but those from yaw {a:.0f} and {b:.0f} "
            f"degrees share no surface ({share:.1%}); choose a nearer view, or more views between"
        )


def chains(yaw: Tensor, photo_yaw: float = 0.0) -> list[tuple[int, int]]:
    """The order in which views at these yaws [V] (radians) are drawn, and each one's driver: (view, driver), PHOTO for the photo.

    Outward from the photo at `photo_yaw`, one chain a side; a view is driven by the one before it in its chain. A view from where the photo
    was taken drives none: the photo itself is better.
    """
    away = (yaw - photo_yaw + math.pi) % (2 * math.pi) - math.pi
    order: list[tuple[int, int]] = []
    last = {LEFT: PHOTO, RIGHT: PHOTO}
    for i in away.abs().argsort(stable=True).tolist():
        if away[i].abs() < PHOTO_YAW:
            order.append((i, PHOTO))
            continue
        side = LEFT if away[i] >= 0 else RIGHT
        if away[i].abs() > math.pi - 1e-4:  # the back belongs to the chain that has come nearer to it
            side = max(last, key=lambda s: -1.0 if last[s] == PHOTO else float(away[last[s]].abs()))
        order.append((i, last[side]))
        last[side] = i
    return order


def ring(
    model: DiffusionModel,
    network: Hpdm | None,
    head: Head,
    cameras: Camera,
    size: int,
    *,
    generator: torch.Generator,
    config: NewViewConfig | None = None,
    projection: ProjectionConfig | None = None,
    coarse: Coarse | None = None,
    callback: Callback | None = None,
    step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Views of a head's person [V, 3, size, size], each by its neighbour nearer to the photo.

    Args:
        head: with its photo. cameras: [V], in any order. size: pixels. coarse: the head's views at `size`, the photo's camera first, where
            they are at hand.
        callback: told after each view. step: after each of the denoiser's calls; may raise to interrupt.

    Raises:
        ValueError: a head without its photo; a view that its driver shows nothing of.
    """
    if head.reference is None:
        raise ValueError(
            "ring: expected a head with its photo, got one without; use the head of an inversion or of Feed-Forward Head"
        )
    photo = head.reference.to(head.planes.device)
    coarse = coarse_views(head, photo.camera.before(cameras), size) if coarse is None else coarse
    pictures: dict[int, Tensor] = {PHOTO: photo.on_white_at(size).to(coarse.rgb)}
    order = chains(yaw_pitch(cameras)[0].cpu(), float(yaw_pitch(photo.camera)[0]))
    for i, driver in order:  # before any is drawn
        there = (
            coarse.driving(driver + 1, coarse.rgb[driver + 1])
            .to(coarse.camera[i + 1], projection)
            .splat((size // 4, size // 4))
        )
        check_overlap(there.known, coarse.camera[driver + 1], coarse.camera[i + 1])
    for count, (i, driver) in enumerate(order, 1):
        driving = coarse.driving(driver + 1, pictures[driver], photo.mask if driver == PHOTO else None)
        view = new_view(
            model,
            network,
            driving,
            coarse,
            i + 1,
            generator=generator,
            config=config,
            projection=projection,
            callback=step,
        )
        pictures[i] = view.image
        if callback is not None:
            callback(count, len(order), pictures[i])
    return torch.stack([pictures[i] for i in range(len(order))])
