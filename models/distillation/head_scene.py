"""A head as `noise_resampling` sees it: fixed cameras in chains, drawn pixels as pictures, the planes as parameters, HPDM as denoiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, orbit, rays, yaw_pitch
from ..diffusion.autoencoder import decode, encode
from ..diffusion.denoiser import guided
from ..diffusion.hpdm import Hpdm, HpdmDenoiser, Priors
from ..diffusion.new_views import Coarse, DiffusionModel, blended, chains, coarse_views
from ..diffusion.schedule import add_noise, ddim
from ..diffusion.view_priors import ProjectedView, geometry_latents, view_priors
from ..field.occupancy import render_rays_fast
from ..field.volume_rendering import RenderConfig, render_rays
from ..head import Head
from ..out_of_memory import Halving
from .noise_resampling import PHOTO

if TYPE_CHECKING:
    from .refinement import RefineConfig

SEEN = ("rgb", "normal", "distance", "mask")  # of coarse views, in their order
STEEP = math.radians(30)  # of pitch, from which on a camera is no part of the ring


def refinement_cameras(count: int, device: torch.device) -> Camera:
    """A ring of `count` views but for the front, then one camera above and one below."""
    step = 2 * math.pi / count
    yaw = torch.tensor([step * i for i in range(1, count)] + [0.0, 0.0])
    pitch = torch.tensor([0.0] * (count - 1) + [math.radians(50), -math.radians(35)])
    return orbit(yaw, pitch).to(device)


def view_order(cameras: Camera) -> list[tuple[int, int]]:
    """Of cameras [V], the photo's first: (view, driver), drivers before those they drive; steep cameras last, each by its nearest."""
    yaw, pitch = (x.cpu() for x in yaw_pitch(cameras))
    ring = [i for i in range(1, len(yaw)) if abs(float(pitch[i])) < STEEP]
    order = [(0, PHOTO)]
    order += [(ring[view], 0 if driver < 0 else ring[driver]) for view, driver in chains(yaw[ring], float(yaw[0]))]
    place = cameras.position
    for i in range(1, len(yaw)):
        if i not in ring:
            near = [0, *ring]
            order.append((i, near[int((place[near] - place[i]).norm(dim=-1).argmin())]))
    return order


def enlarged(head: Head, resolution: int) -> Head:
    """The same head on planes of another resolution; below its own, as it is."""
    own = head.planes.shape[-1]
    if resolution <= own:
        return head
    flat = head.planes.flatten(1, -3)
    planes = F.interpolate(flat, size=(resolution, resolution), mode="bilinear", align_corners=False)
    planes = planes.unflatten(1, head.planes.shape[1:-2])
    return replace(head, planes=planes, config=replace(head.config, resolution=resolution))


@dataclass
class HeadScene:
    """A head as `noise_resampling.Scene`: its planes are the parameters, its drawn pixels the pictures.

    Attributes:
        head: whose planes are a leaf that needs gradients. cameras: [V], the photo's first. model, network: what denoises; network None
            for the model alone. photo: [3, S, S] on white, and its mask [S, S].
        coarse, geometry: what the head knew at the last `refresh`, and its latents.
        pixels: of each view in this iteration; set by `begin`. frozen: the head as it was then, with its occupancy, which
            so follows the field.
        after_call: told after each of the denoiser's calls and each view's rendering; may raise to interrupt.
        batch: how many views are denoised at once.
    """

    head: Head
    cameras: Camera
    order: list[tuple[int, int]]
    model: DiffusionModel
    network: Hpdm | None
    config: RefineConfig
    photo: Tensor
    photo_mask: Tensor
    coarse: Coarse | None = None
    geometry: Tensor | None = None
    pixels: dict[int, Tensor] = field(default_factory=dict)
    after_call: Callable[[], None] | None = None
    frozen: Head | None = None
    batch: Halving = field(default_factory=Halving)

    @property
    def parameters(self) -> list[Tensor]:
        return [self.head.planes]

    @property
    def sampling(self) -> RenderConfig:
        """Of all rays, with gradient or without: other samples show another head, and targets would pull towards the difference."""
        own, config = self.head.sampling, self.config
        return replace(own, coarse=config.coarse or own.coarse, fine=config.fine or own.fine, white_back=False)

    def refresh(self) -> None:
        """Take depth, coarse renders and normals of all views anew."""
        heard = None if self.after_call is None else lambda done, total: self.after_call()
        found = coarse_views(self.still(), self.cameras, self.config.size, raw=True, config=self.sampling, callback=heard)
        seen = (getattr(found, name).contiguous() for name in SEEN)  # as from a file: another layout rounds otherwise
        self.coarse = Coarse(*seen, self.cameras)
        self.told_geometry()

    def told_geometry(self) -> None:
        """Latents of the coarse views."""

        def some(rows: Sequence[int]) -> Tensor:
            chosen = slice(rows[0], rows[-1] + 1)
            return geometry_latents(self.model.vae, self.coarse.rgb[chosen], self.coarse.normal[chosen])

        with torch.no_grad():
            self.geometry = self.batch(some, len(self.coarse.rgb))

    def still(self) -> Head:
        """The head as it stands, without a graph and without its generator's super-resolution, behind which every pixel
        would need its neighbours: the field itself is refined, and what lies behind it follows.

        A generator whose features become colours by its latents stays for that.
        """
        head = replace(self.head, planes=self.head.planes.detach())
        return head if head.field().to_rgb is not None else replace(head, latents=None, generator=None)

    def begin(self, generator: torch.Generator) -> None:
        """Draw the pixels of an iteration: those of the head, and of what is around it."""
        S, count, self.frozen = self.config.size, self.config.rays, self.still()
        for view, _ in self.order:
            if count:
                near = F.max_pool2d(self.coarse.mask[view][None, None], 9, 1, 4)[0, 0].flatten().cpu() + 0.05
                self.pixels[view] = torch.multinomial(near, count, generator=generator).to(self.head.planes.device)
            else:
                self.pixels[view] = torch.arange(S * S, device=self.head.planes.device)

    def seen(self, view: int) -> tuple[Tensor, Tensor]:
        """Colours [N, 3] on white and opacity [N] of a view's drawn pixels, with a graph."""
        S, head = self.config.size, self.head
        if self.after_call is not None:
            self.after_call()
        origins, directions = (x.reshape(-1, 3)[None, self.pixels[view]] for x in rays(self.cameras[view], S, S))
        known = head.field()
        if head.sampling.near is None:  # the box bounds it
            found = render_rays_fast(known, self.frozen.occupancy, origins, directions, self.sampling)
        else:
            found = render_rays(known, origins, directions, self.sampling)
        opacity = found.opacity[0]
        return known.rgb(found.features, found.opacity[..., None])[0] + 1 - opacity[:, None], opacity

    def render(self, view: int) -> Tensor:
        return self.seen(view)[0]

    def loss(self, picture: Tensor, target: Tensor) -> Tensor:
        """L_I: mean squared error on the drawn pixels."""
        return self.config.image * (picture - target).square().mean()

    def taken(self, view: int, picture: Tensor) -> Tensor:
        """A whole picture's [3, S, S] drawn pixels [N, 3]."""
        return picture.flatten(1)[:, self.pixels[view]].mT

    def look(self, views: Sequence[int]) -> Tensor:
        """Whole pictures [N, 3, S, S] without graphs."""
        head = self.frozen or self.still()
        return head.render(self.cameras[list(views)], self.config.size, self.sampling, raw=True, normals=False).rgb

    @torch.no_grad()
    def denoise(self, views: Sequence[int], noise: Tensor, t: int, drivers: Sequence[Tensor | None]) -> Tensor:
        return self.denoised(views, noise, t, drivers, self.config.denoising_steps)

    @torch.no_grad()
    def denoised(self, views: Sequence[int], noise: Tensor, t: int, drivers: Sequence[Tensor | None], steps: int) -> Tensor:
        """I^D [N, 3, S, S]: the views' renders, noisy at t, in `steps` deterministic steps to 0, told what their drivers show,
        which `config.blend` lays over them. What the photo drives is the photo's own view, whose target is the photo.

        Args:
            noise: [N, C, h, w]. t: one timestep of all. drivers: their drivers' pictures [3, S, S], None for the photo's own.
        """
        targets = torch.stack([self.photo] * len(views))
        asked = [i for i, picture in enumerate(drivers) if picture is not None]

        def some(rows: Sequence[int]) -> Tensor:
            chosen = asked[rows[0] : rows[-1] + 1]
            return self._denoised([views[i] for i in chosen], noise[chosen], t, [drivers[i] for i in chosen], steps)

        if asked:
            targets[asked] = self.batch(some, len(asked))
        return targets

    def priors(self, views: list[int], drivers: Sequence[Tensor]) -> tuple[Priors, list[ProjectedView]]:
        """What views are told by their drivers' pictures [3, S, S]."""
        driver_of = dict(self.order)
        told = [self.coarse.driving(driver_of[view], picture) for view, picture in zip(views, drivers, strict=True)]
        coarse = self.coarse.rgb[views], self.coarse.normal[views]
        return view_priors(self.model.vae, told, self.cameras[views], *coarse, geometry=self.geometry[views])

    def _denoised(self, views: list[int], noise: Tensor, t: int, drivers: Sequence[Tensor], steps: int) -> Tensor:
        vae, base = self.model.vae, self.model.denoiser
        cameras, place = self.cameras[views], (self.head.planes.device, torch.float32)
        priors, known = self.priors(views, drivers)
        denoiser = base if self.network is None else HpdmDenoiser(base, self.network, priors, self.config.weight)
        given = self.model.prompts(cameras).to(*place)
        empty = self.model.empty.to(*place).repeated(len(given))
        guidance = self.config.guidance

        def predict(z: Tensor, step: Tensor) -> Tensor:
            return denoiser(z, step, given) if guidance == 1 else guided(denoiser, z, step, given, empty, guidance)

        z = add_noise(base.schedule, encode(vae, self.look(views)), noise.to(*place), t)
        path = torch.linspace(t, 0, steps + 1).round().long()[:-1]
        callback = None if self.after_call is None else lambda done, total: self.after_call()
        drawn = decode(vae, ddim(base.schedule, predict, z, path, callback))
        return torch.stack([blended(one, view, self.config.blend) for one, view in zip(drawn, known, strict=True)])


class TakenPixels:
    """A `HeadScene` whose losses look at drawn pixels while its targets are whole pictures."""

    def __init__(self, scene: HeadScene) -> None:
        self.scene, self.view = scene, PHOTO
        self.order, self.parameters = scene.order, scene.parameters
        self.look, self.denoise = scene.look, scene.denoise

    def render(self, view: int) -> Tensor:
        self.view = view
        return self.scene.render(view)

    def loss(self, picture: Tensor, target: Tensor) -> Tensor:
        return self.scene.loss(picture, self.scene.taken(self.view, target))
