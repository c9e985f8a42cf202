"""Geometry restoration of Portrait Diffusion: score distillation from all sides into a Detail Preservation Block (eqs. 2 to 4).

Every step looks at one head from one camera of a ring, of one above or one below, and asks two denoisers what should change: the view's own,
prompted by view with Perp-Neg against a second face, and the Zero-123, told of the photo. The front is held by the photo.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, orbit, rays, yaw_pitch
from ..diffusion.autoencoder import encode
from ..diffusion.denoiser import Conditioning, guided
from ..diffusion.inpainting import all_void
from ..diffusion.new_views import DiffusionModel
from ..diffusion.perp_neg import PerpNegConfig, perp_neg_guided, view_prompt
from ..diffusion.schedule import add_noise
from ..diffusion.usage import Usage, chosen_guidance, chosen_size
from ..diffusion.zero123 import Picture, PictureGuide, known_picture, told_of
from ..field.volume_rendering import RenderConfig, draw
from ..fitting.photo_losses import Target, photo_target, ray_loss
from ..fitting.rays import render_in_pieces
from ..fitting.run import Progress, Proposal, Run, falling
from ..fitting.state import SavedState
from ..head import Head
from ..photo.alignment import AlignedPortrait
from ..prior.detail_block import DetailBlock, new_block
from .sds import annealed, sds_gradient, sds_loss


@dataclass(frozen=True, kw_only=True)
class RestorationConfig:
    """How a block is trained.

    Attributes:
        steps: of Adam. rate: its learning rate, which falls to 0 over the second half. azimuths: of the ring.
        size: pixels of a view's rays, enlarged to `seen` for the denoisers.
        samples: per ray and pass. rays: of the photo in each step.
        text, picture: weights of the two distillations. text_guidance, picture_guidance: their guidance.
        least_t, most_t: shares of the schedule that t is drawn between, each from the first step to the last.
        reference: weight of the photo.
        keep: weight of what the block has changed in the planes since the first step, squared.
        graph_bytes: that one piece of a view's rays may keep for the backward pass; decides rays per piece, not the gradient.
    """

    steps: int = 80
    rate: float = 2e-3
    azimuths: int = 8
    size: int = 80
    seen: int = 256
    samples: int = 20
    rays: int = 768
    text: float = 0.1
    picture: float = 0.1
    text_guidance: float = 2.5
    picture_guidance: float = 1.5
    least_t: tuple[float, float] = (0.5, 0.35)
    most_t: tuple[float, float] = (0.85, 0.6)
    reference: float = 200.0
    keep: float = 0.1
    graph_bytes: int = 2 * 2**30

    def __post_init__(self) -> None:
        if (
            min(self.steps, self.azimuths, self.size, self.rays, self.samples) < 1
            or min(self.text, self.picture, self.reference) < 0
        ):
            raise ValueError(
                f"RestorationConfig: expected positive sizes and weights from 0, got {self}; use the defaults"
            )

    def for_model(self, usage: Usage, *, size: int = 0, guidance: float = -1.0) -> RestorationConfig:
        """The same at a model's size, guidance and timesteps; its renders have that size, but for the small model that ships.

        Args:
            size: pixels, 0 for the model's. guidance: less than 0 for the model's.

        Raises:
            ValueError: as `chosen_size`.
        """
        pixels = chosen_size(size, usage.size)
        return replace(
            self,
            size=min(usage.rays or pixels, pixels),
            seen=pixels,
            text_guidance=chosen_guidance(guidance, usage.distillation),
            least_t=usage.least_t,
            most_t=usage.most_t,
        )

    def t_range(self, step: int, count: int) -> tuple[int, int]:
        """Least and greatest timestep of a step."""
        least, most = (
            annealed([*ends, max(self.steps - 1, 1)], step) for ends in (self.least_t, self.most_t)
        )
        return max(1, round(least * count)), min(count - 1, round(most * count))


@dataclass(frozen=True)
class Guides:
    """What is asked. Attributes: model: prompted by view. zero123: told of the photo; None for the other alone. perp_neg: of the prompts."""

    model: DiffusionModel
    zero123: PictureGuide | None = None
    perp_neg: PerpNegConfig = field(default_factory=PerpNegConfig)

    def report(self, config: RestorationConfig) -> str:
        """Which terms of eq. 2 a restoration has, at which weight, guidance and size, in two sentences; and why one is missing."""
        usage = self.model.usage
        text = f"Guided by view: {usage.name}, weight {config.text:g}, guidance {config.text_guidance:g}, {config.seen} pixels."
        if not config.text:
            text = "Guided by view: nothing, for its weight is 0."
        if self.zero123 is None:
            return f"{text} Guided by the photo: nothing; wire Load Zero-123 for eq. 2's second term."
        if not config.picture:
            return f"{text} Guided by the photo: nothing, for its weight is 0."
        size = config.seen if self.zero123.vae is None else self.zero123.size
        return (
            f"{text} Guided by the photo: {self.zero123.name}, weight {config.picture:g}, guidance {config.picture_guidance:g}, "
            f"{size} pixels."
        )


@dataclass(frozen=True)
class Patient:
    """One head under restoration. Attributes: head: as it was. first_planes: all its stacks [1, 3, C, (D,) H, W]
    behind the block as that was at first. photo: its rays.
    picture: what the Zero-123 knows of it."""

    head: Head
    first_planes: tuple[Tensor, ...]
    photo: Target
    picture: Picture | None


def restoration_cameras(azimuths: int, generator: torch.Generator) -> Camera:
    """A ring that begins anywhere, one camera above and one below, shuffled."""
    first = float(torch.rand(1, generator=generator)) * 2 * math.pi / azimuths
    yaw = torch.tensor([first + 2 * math.pi * i / azimuths for i in range(azimuths)])
    steep_yaw = torch.rand(2, generator=generator) * 2 * math.pi
    # the first is well above what is prompted as overhead
    steep_pitch = [math.radians(65), -math.radians(35)]
    yaw = torch.cat([yaw, steep_yaw])
    pitch = torch.tensor([0.0] * azimuths + steep_pitch)
    order = torch.randperm(azimuths + 2, generator=generator)
    return orbit(yaw[order], pitch[order])


def planes_drift(stacks: Sequence[Tensor], first: Sequence[Tensor]) -> Tensor:
    """Mean squared distances [] of planes [1, 3, C, (D,) H, W] from what they were, summed over a field's stacks."""
    parts = [(now - before).square().mean() for now, before in zip(stacks, first, strict=True)]
    return torch.stack(parts).sum()


class Restoration(Run[None]):
    """The variables of one restoration and its step; `restore_geometry` runs it."""

    name = "restoration"
    advice = "check the head and the diffusion model, or run them in float32"

    def __init__(
        self,
        heads: Sequence[Head],
        guides: Guides,
        config: RestorationConfig,
        generator: torch.Generator,
        block: DetailBlock | None = None,
    ) -> None:
        photos = [head.reference for head in heads if head.reference is not None]
        if not heads or len(photos) < len(heads):
            raise ValueError(
                "restoration: expected heads with their photos, got none or one without; use Invert Portrait's"
            )
        self.guides = guides
        self.config = config
        device = heads[0].planes.device
        self.block = new_block(heads[0].config) if block is None else deepcopy(block)
        self.block.to(device).requires_grad_(True)
        super().__init__(config.steps, generator, dict(self.block.named_parameters()))
        self.pieces.most_bytes = config.graph_bytes
        self.patients = [self._patient(*pair) for pair in zip(heads, photos, strict=True)]
        self.after_call: Callable[[], None] = lambda: None
        self.cameras = restoration_cameras(config.azimuths, generator)

    def _patient(self, head: Head, photo: AlignedPortrait) -> Patient:
        photo = photo.to(head.planes.device)
        guides = self.guides
        picture = None
        guide = guides.zero123
        if guide is not None and self.config.picture:
            size = self.config.seen if guide.vae is None else guide.size
            vae = guide.vae or guides.model.vae
            picture = known_picture(guide, vae, photo.on_white_at(size), photo.camera)
        with torch.no_grad():
            first_planes = head.mapped(self.block).stacks
        return Patient(head, first_planes, photo_target(photo, self.config.seen), picture)

    def field(self, patient: Patient):
        """The head's field behind the block, with a graph to it."""
        return patient.head.mapped(self.block).field()

    def view(self, field, camera: Camera) -> Tensor:
        """[1, 3, seen, seen] on white, with a graph."""
        self.after_call()
        config = self.config
        S = config.size
        sampling = RenderConfig(coarse=config.samples, fine=config.samples)
        origins, directions = (x.reshape(1, -1, 3) for x in rays(camera, S, S))
        draws = draw(origins, sampling, self.draws)
        rendering = render_in_pieces(self.pieces, field, origins, directions, sampling, draws)
        opacity = rendering.opacity[..., None]
        colour = field.rgb(rendering.features, opacity) + 1 - opacity
        image = colour[0].mT.view(1, 3, S, S).clamp(0, 1)
        if config.seen == S:
            return image
        return F.interpolate(image, size=(config.seen,) * 2, mode="bilinear", align_corners=False)

    def gradient(self, z: Tensor, camera: Camera, patient: Patient) -> Tensor:
        """What both denoisers would change in the scaled latents [1, C, h, w]."""
        config = self.config
        model = self.guides.model
        total = torch.zeros_like(z)
        schedule = model.denoiser.schedule
        low, high = config.t_range(self.step_count, len(schedule))
        t = torch.randint(low, high + 1, (1,), generator=self.draws).to(z.device)
        noise = torch.randn(z.shape, generator=self.draws).to(z)
        noisy = add_noise(schedule, z, noise, t)
        one = camera[None]
        self.after_call()
        if config.text:
            tokens = model.tokens.to(z)
            prompt = view_prompt(tokens[:4], tokens[4], *yaw_pitch(one), self.guides.perp_neg)
            rows = Conditioning(torch.cat([prompt.positive, tokens[4:], prompt.negative[0]]))
            if model.inpaints:  # of a render everything may change
                rows = all_void(rows, model.vae, config.seen)
            positive, uncond, *negative = model.denoiser(
                noisy.expand(4, -1, -1, -1), t.expand(4), rows
            ).split(1)
            noise_pred = perp_neg_guided(
                positive, uncond, torch.stack(negative, 1), prompt.weights, config.text_guidance
            )
            total = total + config.text * sds_gradient(schedule, noise_pred, noise, t)
            self.after_call()
        guide = self.guides.zero123
        if guide is not None and guide.vae is None:
            total = total + self.picture_change(guide, noisy, noise, t, camera, patient)
        return total

    def picture_change(
        self, guide: PictureGuide, noisy: Tensor, noise: Tensor, t: Tensor, camera: Camera, patient: Patient
    ) -> Tensor:
        """What the Zero-123 would change in scaled latents [1, C, h, w] that are noisy at t [1]; 0 where it is not asked."""
        config = self.config
        if not config.picture or patient.picture is None:
            return torch.zeros_like(noisy)
        denoiser = guide.denoiser()
        conditioning, nothing = told_of(guide, patient.picture, camera[None])
        noise_pred = guided(
            denoiser, noisy, t, conditioning.to(noisy.device, noisy.dtype), nothing, config.picture_guidance
        )
        self.after_call()
        return config.picture * sds_gradient(denoiser.schedule, noise_pred, noise, t)

    @property
    def short(self) -> bool:
        """Whether the budget or the memory has been used up by a view's rays."""
        return self.pieces.rows is not None

    def own_picture_loss(self, view: Tensor, camera: Camera, patient: Patient) -> Tensor:
        """The score distillation [] of a Zero-123 that has latents of its own. Args: view: [1, 3, seen, seen], with a graph."""
        guide, config = self.guides.zero123, self.config
        if guide is None or guide.vae is None or not config.picture:
            return view.new_zeros(())
        smaller = F.interpolate(view, size=(guide.size,) * 2, mode="bilinear", antialias=True)
        z = encode(guide.vae, smaller, sparing=self.short)
        schedule = guide.denoiser().schedule
        low, high = config.t_range(self.step_count, len(schedule))
        t = torch.randint(low, high + 1, (1,), generator=self.draws).to(z.device)
        noise = torch.randn(z.shape, generator=self.draws).to(z)
        with torch.no_grad():
            noisy = add_noise(schedule, z.detach(), noise, t)
            change = self.picture_change(guide, noisy, noise, t, camera, patient)
        return sds_loss(z, change)

    def proposal(self) -> Proposal[None]:
        """One step on one head from one camera."""
        config = self.config
        step = self.step_count
        patient = self.patients[step % len(self.patients)]
        turn = (step // len(self.patients)) % len(self.cameras.cam2world)
        if turn == 0 and step:
            self.cameras = restoration_cameras(config.azimuths, self.draws)
        camera = self.cameras[turn].to(patient.head.planes.device)
        field = self.field(patient)
        view = self.view(field, camera)
        z = encode(self.guides.model.vae, view, sparing=self.short)
        with torch.no_grad():
            change = self.gradient(z.detach(), camera, patient)
        sampling = RenderConfig(coarse=config.samples, fine=config.samples)
        photo = ray_loss(field, patient.photo, sampling, config.rays, self.draws, self.pieces)
        drift = planes_drift(field.stacks, patient.first_planes)
        loss = sds_loss(z, change) + config.reference * photo + config.keep * drift
        loss = loss + self.own_picture_loss(view, camera, patient)
        gradients = torch.autograd.grad(loss, list(self.variables.values()))
        norm = torch.stack([g.norm() for g in gradients]).norm()
        return Proposal(
            gradients={
                name: g / norm.clamp_min(1) for name, g in zip(self.variables, gradients, strict=True)
            },
            rate=falling(config.rate, step, config.steps, 0.5),
            count=step + 1,
            numbers=(loss.detach(), norm, change),
            loss=loss.item(),
        )

    def beside(self) -> dict[str, Tensor]:
        """`cameras` [V, 4, 4], cam2world, and `intrinsics` [V, 3, 3]."""
        return {"cameras": self.cameras.cam2world, "intrinsics": self.cameras.intrinsics}

    def resume_beside(self, saved: SavedState) -> None:
        parts = (("cameras", self.cameras.cam2world), ("intrinsics", self.cameras.intrinsics))
        self.cameras = Camera(*(saved.take(name, own.shape) for name, own in parts))

    def old_names(self) -> Mapping[str, str]:
        return {f"block.{name}": f"value.{name}" for name in self.variables}

    def head(self) -> Head:
        return self.restored(self.patients[0])

    @torch.no_grad()
    def restored(self, patient: Patient) -> Head:
        """A head as it stands."""
        return patient.head.mapped(self.block).mapped(torch.detach)


def restore_geometry(
    heads: Sequence[Head],
    guides: Guides,
    config: RestorationConfig,
    *,
    generator: torch.Generator,
    block: DetailBlock | None = None,
    state: dict[str, Tensor] | None = None,
    callback: Callable[[Progress], None] | None = None,
    after_call: Callable[[], None] | None = None,
) -> tuple[list[Head], DetailBlock]:
    """Restore heads behind one block, which is trained on all of them in turns; one head is the paper's per-image case.

    Args:
        heads: with their photos, from one generator. generator: a CPU generator; the seed of all draws.
        block: to begin with, which stays as it is; None for one that does nothing yet.
        state: of an earlier call with the same arguments; it goes on there. callback: called after each step, with the first head.
        after_call: called around each rendering and each of the denoisers' calls; may raise to interrupt.

    Raises:
        ValueError: a head without its photo, too many steps in a row whose numbers are not finite, a foreign state,
            or too little memory.
    """
    run = Restoration(heads, guides, config, generator, block)
    run.after_call = after_call or run.after_call
    run.complete(state, callback)
    return [run.restored(patient) for patient in run.patients], run.block.requires_grad_(False)
