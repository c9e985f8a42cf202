"""What goes on with a head after the prior: one-step refinement of its turntable, or distillation from all sides.

Both are callables of `portrait.Refinement`'s form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .camera import orbit
from .diffusion.hpdm import Hpdm
from .diffusion.temporal import SteadyConfig, steady
from .diffusion.turbo import Turbo, refine_sequence
from .distillation.head_scene import RefineConfig
from .distillation.refinement import refine
from .distillation.restoration import Guides, RestorationConfig, restore_geometry
from .fitting.baking import BakeConfig, bake, with_reference
from .fitting.run import Progress
from .head import Head
from .prior.detail_block import DetailBlock

Callback = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class TurboRefinement:
    """How a head's turntable is refined, and what of it goes back into the head.

    Attributes:
        turbo: the refiner. frames: of the turn. size: pixels. steadiness: of `SteadyConfig`.
        bake_every: frames between those that are baked. bake_within: radians of yaw around the front that these lie in.
    """

    turbo: Turbo
    frames: int = 48
    size: int = 256
    steadiness: float = 1.0
    bake_every: int = 4
    bake_within: float = math.radians(95)
    bake: BakeConfig = field(default_factory=BakeConfig)

    def __call__(
        self,
        head: Head,
        *,
        generator: torch.Generator,
        callback: Callback | None,
        stage: Callable[[str], None],
    ) -> tuple[Head, Tensor | None]:
        """As `portrait.Refinement`: the turntable is refined, and some of its frames are baked back into the head."""
        stage("refined turntable")
        frames = refined_turntable(head, self, generator=generator)
        stage("baking")
        return baked_head(head, frames, self, generator=generator, callback=callback), frames


@dataclass(frozen=True, kw_only=True)
class DistilledRefinement:
    """Portrait Diffusion's two stages behind the prior.

    Attributes:
        guides: of the restoration, which goes first, and of the refinement. block: that the restoration begins with. network: HPDM.
        restoration, refinement: how long, from where.
    """

    guides: Guides
    network: Hpdm
    block: DetailBlock | None = None
    restoration: RestorationConfig = field(default_factory=RestorationConfig)
    refinement: RefineConfig

    def __call__(
        self,
        head: Head,
        *,
        generator: torch.Generator,
        callback: Callback | None,
        stage: Callable[[str], None],
    ) -> tuple[Head, Tensor | None]:
        """As `portrait.Refinement`: the head's geometry is restored, then its planes are refined; no frames."""
        stage("geometry restoration")
        heads, _ = restore_geometry(
            [head], self.guides, self.restoration, generator=generator, block=self.block, callback=callback
        )
        stage("refinement")
        model, network = self.guides.model, self.network
        result = refine(heads[0], model, network, self.refinement, generator=generator, callback=callback)
        return result.head, None


@torch.no_grad()
def refined_turntable(head: Head, plan: TurboRefinement, *, generator: torch.Generator) -> Tensor:
    """A turn [frames, 3, size, size] around a head, the first frame from the front: volume-rendered, refined, and steadied.

    Raises:
        ValueError: a head without its photo.
    """
    if head.reference is None:
        raise ValueError(
            "refined turntable: expected a head with its photo, got one without; use the head of an inversion or of Feed-Forward Head"
        )
    cameras = orbit(turn(plan.frames), torch.zeros(plan.frames)).to(head.planes.device)
    renders = head.render(cameras, plan.size, normals=False).rgb
    photo = head.reference.on_white()[None]
    frames = refine_sequence(plan.turbo, renders, photo, generator=generator, loop=True)
    return steady(frames, renders, SteadyConfig(strength=plan.steadiness), loop=True)


def baked_head(
    head: Head,
    frames: Tensor,
    plan: TurboRefinement,
    *,
    generator: torch.Generator,
    callback: Callable[[Progress], None] | None,
) -> Head:
    """A head fitted to some frames of its refined turn [frames, 3, size, size], and to its photo."""
    yaw = turn(plan.frames)
    near = torch.minimum(yaw, 2 * math.pi - yaw) <= plan.bake_within
    index = [i for i in range(0, plan.frames, plan.bake_every) if near[i]]
    cameras = orbit(yaw[index], torch.zeros(len(index))).to(head.planes.device)
    return bake(
        head, *with_reference(head, frames[index], cameras), plan.bake, generator=generator, callback=callback
    )


def turn(frames: int) -> Tensor:
    """Yaws [frames] of one turn, from the front."""
    return torch.arange(frames) * (2 * math.pi / frames)
