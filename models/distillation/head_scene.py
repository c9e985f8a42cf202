"""A head as `noise_resampling` sees it: fixed cameras in chains, drawn pixels as pictures, the planes as
parameters,
HPDM as denoiser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, rays
from ..diffusion.autoencoder import decode, encode
from ..diffusion.denoiser import guided
from ..diffusion.hpdm import Hpdm, HpdmDenoiser, Priors
from ..diffusion.inpainting import with_void
from ..diffusion.new_views import Coarse, DiffusionModel, blended, coarse_views
from ..diffusion.schedule import add_noise, annealed_t, ddim
from ..diffusion.view_priors import ProjectedView, geometry_latents, view_priors
from ..field.occupancy import render_rays_fast
from ..field.volume_rendering import Draws, RayRendering, RenderConfig, render_rays
from ..fitting.rays import in_pieces
from ..head import Head
from ..out_of_memory import Halving, Pieces
from .noise_resampling import STRATEGIES, UNDRIVEN


@dataclass(frozen=True, kw_only=True)
class RefineConfig:
    """How a head is refined.

    Attributes:
        iterations: of all views. denoising_steps: K, from t to 0.
        first_t, last_t: shares of the schedule that t is annealed between.
        sigma: of eq. 10 at first; annealed to 0. strategy: of the noise, among STRATEGIES.
        guidance, weight: of classifier-free guidance and w^Ex.
        blend: share of the side over which what a driver shows is laid over the target that it drives; 0
            leaves it out.
        rate: of Adam. rays: drawn in each view and iteration; 0 for all.
        coarse, fine: samples a ray, 0 for the head's own.
        size: pixels of the views. views: in the ring.
        image, reference, mask: weights of L_I, of L_ref's colours and of its silhouette.
        keep_shape: weight of the surface's distance from the one before, at random points.
        multi_step: weight of the paper's additional loss, image-supervised by K_multi more steps of
            denoising; 0 for none.
        multi_steps: K_multi.
        refresh: iterations after which depth, coarse renders and normals are taken anew.
        resolution: of the planes, which are enlarged to it at first; 0 to leave them.
    """

    iterations: int = 12
    denoising_steps: int = 4
    first_t: float = 0.35
    last_t: float = 0.15
    sigma: float = 0.2
    strategy: str = "mvnrs"
    guidance: float = 1.0
    weight: float = 1.0
    blend: float = 0.012
    rate: float = 0.07
    rays: int = 4096
    coarse: int = 0
    fine: int = 0
    size: int = 256
    views: int = 8
    image: float = 1.0
    reference: float = 2.0
    mask: float = 0.3
    keep_shape: float = 4.0
    multi_step: float = 0.0
    multi_steps: int = 8
    refresh: int = 10
    resolution: int = 0

    def __post_init__(self) -> None:
        whole = (self.iterations, self.denoising_steps, self.views, self.refresh, self.multi_steps)
        if (
            min(whole) < 1
            or not 0 < self.last_t <= self.first_t < 1
            or not 0 <= self.sigma < 1
            or self.strategy not in STRATEGIES
        ):
            raise ValueError(
                "RefineConfig: expected whole numbers from 1, 0 < last_t <= first_t < 1, 0 <= sigma < 1 and a "
                f"strategy among {', '.join(STRATEGIES)}, got {self}; use a preset"
            )

    def t(self, step: int, count: int) -> int:
        """The one timestep of an iteration. Args: count: of the schedule's timesteps."""
        share = step / max(self.iterations - 1, 1)
        return annealed_t(share, round(self.first_t * count), round(self.last_t * count))

    def noise(self, step: int) -> float:
        """sigma of an iteration."""
        return self.sigma * (1 - step / max(self.iterations, 1))


def with_resolution(head: Head, resolution: int) -> Head:
    """The same head on planes of another resolution; below its own, as it is."""
    if resolution <= head.planes.shape[-1]:
        return head

    def finer(planes: Tensor) -> Tensor:
        flat, size = planes.flatten(1, -3), (resolution, resolution)
        flat = F.interpolate(flat, size=size, mode="bilinear", align_corners=False)
        return flat.unflatten(1, planes.shape[1:-2])

    return replace(head.mapped(finer), config=replace(head.config, resolution=resolution))


@dataclass
class DrawnPixels:
    """A head's views by some pixels of each, which are drawn anew in every iteration.

    Attributes:
        head: whose planes are a leaf that needs gradients. cameras: [V].
        bend: a leaf, too, of `Head.bends`, where its density has planes of its own.
        of_view: pixels [N] of each view in this iteration; set by `draw`.
        snapshot: the head as it was then, with its occupancy, which so follows the field.
        after_call: told after each view's rendering; may raise to interrupt.
        pieces: how many pixels are rendered at once.
    """

    head: Head
    cameras: Camera
    config: RefineConfig
    bend: Tensor | None = None
    of_view: dict[int, Tensor] = field(default_factory=dict)
    snapshot: Head | None = None
    after_call: Callable[[], None] | None = None
    pieces: Pieces = field(default_factory=Pieces)

    @property
    def sampling(self) -> RenderConfig:
        """Of all rays, with gradient or without: other samples show another head, and targets would pull
        towards the difference."""
        own = self.head.sampling
        config = self.config
        return replace(
            own, coarse=config.coarse or own.coarse, fine=config.fine or own.fine, white_back=False
        )

    @property
    def leaves(self) -> list[Tensor]:
        """What is optimised: the planes, [1, 3, C, (D,) H, W], and the bend, [1, 3, C, (D,) h, w], where there is one."""
        return [self.head.planes] if self.bend is None else [self.head.planes, self.bend]

    def current(self) -> Head:
        """The head as it stands, with a graph to the leaves."""
        return self.head.bent(self.bend)

    def still(self) -> Head:
        """The head as it stands, without a graph and without its generator's super-resolution, behind which
        every pixel would need its neighbours: the field itself is refined, and what lies behind it follows.

        A generator whose features become colours by its latents stays for that.
        """
        head = self.current().mapped(torch.detach)
        return head if head.field().to_rgb is not None else replace(head, latents=None, generator=None)

    def draw(self, views: Sequence[int], mask: Tensor, generator: torch.Generator) -> None:
        """Draw pixels of views, those of the head, and of what is around it. Args: mask: [V, S, S]."""
        S = self.config.size
        count = self.config.rays
        self.snapshot = self.still()
        device = self.head.planes.device
        for view in views:
            if count:
                near = F.max_pool2d(mask[view][None, None], 9, 1, 4)[0, 0].flatten().cpu() + 0.05
                self.of_view[view] = torch.multinomial(near, count, generator=generator).to(device)
            else:
                self.of_view[view] = torch.arange(S * S, device=device)

    def render(self, view: int) -> tuple[Tensor, Tensor]:
        """Colours [N, 3] on white and opacity [N] of a view's drawn pixels, with a graph."""
        S = self.config.size
        own = self.current().field()
        if self.after_call is not None:
            self.after_call()
        if self.snapshot is None:
            raise ValueError(f"pixels: expected those of view {view} to be drawn, got none; call draw first")
        snapshot = self.snapshot
        origins, directions = (
            x.reshape(-1, 3)[None, self.of_view[view]] for x in rays(self.cameras[view], S, S)
        )

        def cast(origins: Tensor, directions: Tensor, draws: Draws | None) -> RayRendering:
            if self.head.sampling.near is None:  # the box bounds it
                return render_rays_fast(own, snapshot.occupancy, origins, directions, self.sampling)
            return render_rays(own, origins, directions, self.sampling)

        rendering = in_pieces(self.pieces, cast, origins, directions)
        opacity = rendering.opacity[0]
        return own.rgb(rendering.features, rendering.opacity[..., None])[0] + 1 - opacity[:, None], opacity

    def sample(self, view: int, picture: Tensor) -> Tensor:
        """A whole picture's [3, S, S] drawn pixels [N, 3]."""
        return picture.flatten(1)[:, self.of_view[view]].mT

    def look(self, views: Sequence[int]) -> Tensor:
        """Whole pictures [N, 3, S, S] without graphs."""
        head = self.snapshot or self.still()
        return head.render(
            self.cameras[list(views)], self.config.size, self.sampling, raw=True, normals=False
        ).rgb


@dataclass
class ViewDenoiser:
    """What a diffusion model makes of a head's views, told what their drivers show and what the head knew of
    all at the last `tell`.

    Attributes:
        model, network: what denoises; network None for the model alone.
        cameras: [V]. driver_of: view -> its driver. look: views -> their renders [N, 3, S, S].
        views, geometry: what the head knew, and its latents [V, 2 C, h, w]; None before the first `tell`.
        after_call: told after each of the denoiser's calls; may raise to interrupt.
        batch: how many views are denoised at once.
    """

    model: DiffusionModel
    network: Hpdm | None
    config: RefineConfig
    cameras: Camera
    driver_of: dict[int, int]
    look: Callable[[Sequence[int]], Tensor]
    views: Coarse | None = None
    geometry: Tensor | None = None
    after_call: Callable[[], None] | None = None
    batch: Halving = field(default_factory=Halving)

    @property
    def coarse(self) -> Coarse:
        """What the head knew at the last `tell`.

        Raises:
            ValueError: there was none.
        """
        if self.views is None:
            raise ValueError("denoiser: expected a head's coarse views, got none; call tell first")
        return self.views

    def tell(self, coarse: Coarse) -> None:
        """Take coarse views [V], and their latents.

        Raises:
            ValueError: there is no memory for one view's.
        """
        self.views = coarse

        def some(rows: Sequence[int]) -> Tensor:
            part = slice(rows[0], rows[-1] + 1)
            return geometry_latents(self.model.vae, coarse.rgb[part], coarse.normal[part])

        with torch.no_grad():
            self.geometry = self.batch(some, len(coarse.rgb))

    def priors(self, views: list[int], drivers: Sequence[Tensor]) -> tuple[Priors, list[ProjectedView]]:
        """What views are told by their drivers' pictures [3, S, S]."""
        driving = [
            self.coarse.driving(self.driver_of[view], picture)
            for view, picture in zip(views, drivers, strict=True)
        ]
        coarse = self.coarse.rgb[views], self.coarse.normal[views]
        geometry = None if self.geometry is None else self.geometry[views]
        inpaints = self.model.inpaints
        return view_priors(
            self.model.vae, driving, self.cameras[views], *coarse, geometry=geometry, inpaints=inpaints
        )

    def in_batches(
        self, views: list[int], noise: Tensor, t: int, drivers: Sequence[Tensor], steps: int
    ) -> Tensor:
        """As `denoised`, as many views at once as memory allows.

        Raises:
            ValueError: one view alone is too much.
        """

        def some(rows: Sequence[int]) -> Tensor:
            part = slice(rows[0], rows[-1] + 1)
            return self.denoised(views[part], noise[part], t, drivers[part], steps)

        return self.batch(some, len(views))

    def denoised(
        self, views: list[int], noise: Tensor, t: int, drivers: Sequence[Tensor], steps: int
    ) -> Tensor:
        """I^D [N, 3, S, S]: the views' renders, noisy at t, in `steps` deterministic steps to 0, told what
        their drivers show, which `config.blend` lays over them.

        Args:
            noise: [N, C, h, w]. t: one timestep of all. drivers: their drivers' pictures [3, S, S].
        """
        vae, base = self.model.vae, self.model.denoiser
        guidance = self.config.guidance
        cameras, renders = self.cameras[views], self.look(views)
        place = renders.device, torch.float32
        priors, projections = self.priors(views, drivers)
        denoiser = (
            base if self.network is None else HpdmDenoiser(base, self.network, priors, self.config.weight)
        )
        prompts = with_void(self.model.prompts(cameras).to(*place), priors.known, priors.masked)
        empty = with_void(self.model.empty.to(*place).repeated(len(prompts)), priors.known, priors.masked)

        def predict(z: Tensor, step: Tensor) -> Tensor:
            if guidance == 1:
                return denoiser(z, step, prompts)
            return guided(denoiser, z, step, prompts, empty, guidance)

        z = add_noise(base.schedule, encode(vae, renders), noise.to(*place), t)
        path = torch.linspace(t, 0, steps + 1).round().long()[:-1]
        pictures = decode(vae, ddim(base.schedule, predict, z, path, uncounted(self.after_call)))
        return torch.stack(
            [blended(one, view, self.config.blend) for one, view in zip(pictures, projections, strict=True)]
        )


@dataclass
class HeadScene:
    """A head as `noise_resampling.Scene`: its planes are the parameters, its drawn pixels the pictures, whole
    pictures the targets.

    Attributes:
        order: (view, driver). pixels, denoiser: of the same cameras, the photo's first.
        photo: [3, S, S] on white.
        latest: the view that was rendered last, with whose target its pixels are compared.
    """

    order: list[tuple[int, int]]
    pixels: DrawnPixels
    denoiser: ViewDenoiser
    photo: Tensor
    latest: int = UNDRIVEN

    @property
    def parameters(self) -> list[Tensor]:
        """The planes [1, 3, C, (D,) H, W], and what moves the density's where these are apart."""
        return self.pixels.leaves

    def refresh(self) -> None:
        """Take depth, coarse renders and normals of all views anew."""
        pixels = self.pixels
        size = pixels.config.size
        sampling = pixels.sampling
        callback = uncounted(pixels.after_call)
        now = coarse_views(pixels.still(), pixels.cameras, size, raw=True, config=sampling, callback=callback)
        self.denoiser.tell(now.contiguous())

    def begin(self, generator: torch.Generator) -> None:
        """Draw the pixels of an iteration."""
        self.pixels.draw([view for view, _ in self.order], self.denoiser.coarse.mask, generator)

    def render(self, view: int) -> Tensor:
        """Colours [N, 3] of a view's drawn pixels on white, with a graph."""
        self.latest = view
        return self.pixels.render(view)[0]

    def loss(self, picture: Tensor, target: Tensor) -> Tensor:
        """L_I []: mean squared error on the drawn pixels. Args: picture: [N, 3], of `render`. target: [3, S,
        S]."""
        return self.pixels.config.image * (picture - self.pixels.sample(self.latest, target)).square().mean()

    def look(self, views: Sequence[int]) -> Tensor:
        """Whole pictures [N, 3, S, S] without graphs."""
        return self.pixels.look(views)

    def denoise(
        self, views: Sequence[int], noise: Tensor, t: int, drivers: Sequence[Tensor | None]
    ) -> Tensor:
        """As `targets`, I^D [N, 3, S, S], in the config's steps."""
        return self.targets(views, noise, t, drivers, self.pixels.config.denoising_steps)

    @torch.no_grad()
    def targets(
        self, views: Sequence[int], noise: Tensor, t: int, drivers: Sequence[Tensor | None], steps: int
    ) -> Tensor:
        """I^D [N, 3, S, S], in `steps` of denoising. What the photo drives is the photo's own view, whose
        target is the
        photo.

        Args:
            noise: [N, C, h, w]. t: one timestep of all.
            drivers: their drivers' pictures [3, S, S], None for the photo's own.
        """
        targets = torch.stack([self.photo] * len(views))
        driving = {i: picture for i, picture in enumerate(drivers) if picture is not None}
        if driving:
            index, pictures = list(driving), list(driving.values())
            some = [views[i] for i in index]
            targets[index] = self.denoiser.in_batches(some, noise[index], t, pictures, steps)
        return targets


def uncounted(call: Callable[[], None] | None) -> Callable[[int, int], None] | None:
    """A callback (step, count) that calls what takes nothing."""
    return None if call is None else lambda step, count: call()


def head_scene(
    head: Head,
    cameras: Camera,
    order: list[tuple[int, int]],
    model: DiffusionModel,
    network: Hpdm | None,
    config: RefineConfig,
    photo: Tensor,
    bend: Tensor | None = None,
) -> HeadScene:
    """The scene of a head whose planes are a leaf, from cameras [V], the photo's first. Args: photo: [3, S,
    S] on white. bend: as of `DrawnPixels`."""
    pixels = DrawnPixels(head, cameras, config, bend)
    denoiser = ViewDenoiser(model, network, config, cameras, dict(order), pixels.look)
    return HeadScene(order, pixels, denoiser, photo)
