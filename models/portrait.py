"""The main path, one line per stage: photo -> aligned portrait -> head -> mesh, turntable, views."""

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
from .field.volume_rendering import RenderConfig, Rendering
from .fitting.baking import BakeConfig, bake, with_reference
from .fitting.feed_forward import feed_forward_head
from .fitting.inversion import InversionConfig, invert
from .fitting.perceptual import Perceptual, critic_distance, vgg_distance
from .fitting.run import Progress
from .head import Head
from .mesh import isosurface, texture, turntable
from .mesh.mesh import Mesh
from .metrics.vgg import VGG16
from .photo.alignment import AlignedPortrait, align
from .photo.network import AlignmentNetwork
from .prior.detail_block import DetailBlock
from .prior.discriminator import Discriminator
from .prior.encoder import PortraitEncoder
from .prior.panohead import PanoHeadGenerator

FLOOR = -0.33  # scene units: where shoulders are cut


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """How a head becomes a mesh.

    Attributes:
        resolution: cells of the sampling grid along the box. texture_size: pixels; 0 for vertex colours.
        target_faces: at most so many, or None. surface_density: per scene unit, or None for the prior's.
    """

    resolution: int = 120
    texture_size: int = 512
    target_faces: int | None = None
    surface_density: float | None = None

    def __post_init__(self) -> None:
        if self.resolution < 8 or self.texture_size < 0:
            raise ValueError(
                f"MeshConfig: expected resolution >= 8 and texture_size >= 0, got {self.resolution} and {self.texture_size}; raise them"
            )


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


@dataclass(frozen=True, kw_only=True)
class DistilledRefinement:
    """Portrait Diffusion's two stages behind the prior.

    Attributes:
        guides: of the restoration, which goes first, and of the refinement. block: that the restoration begins with. network: HPDM.
        restoration, refine: how long, from where.
    """

    guides: Guides
    network: Hpdm
    block: DetailBlock | None = None
    restoration: RestorationConfig = field(default_factory=RestorationConfig)
    refine: RefineConfig


@dataclass(frozen=True)
class Weights:
    """The networks of the main path, on one device; vgg: the user's, where there is one."""

    aligner: AlignmentNetwork
    prior: PanoHeadGenerator
    encoder: PortraitEncoder
    critic: Discriminator
    vgg: VGG16 | None = None

    def perceptual(self) -> Perceptual:
        """What inversions hear: the user's VGG16, or else the prior's own discriminator."""
        return critic_distance(self.critic) if self.vgg is None else vgg_distance(self.vgg)


@dataclass(frozen=True)
class Portrait3D:
    """Attributes: reference; head; mesh; frames [F, 3, S, S] of a turntable; views, from 8 yaws 45 degrees apart."""

    reference: AlignedPortrait
    head: Head
    mesh: Mesh
    frames: Tensor
    views: Rendering

    def sheet(self) -> Tensor:
        """[3, 2 S, 8 S]: the views' colours above their normals."""
        return contact_sheet(self.views)


@torch.no_grad()
def head_to_mesh(head: Head, config: MeshConfig, *, callback: Callable[[float], None] | None = None) -> Mesh:
    """The surface of a head with its colours.

    Args:
        callback: told the share done, 0 .. 1.

    Raises:
        ValueError: there is no surface at the density asked for.
    """
    report = callback or (lambda share: None)
    level = config.surface_density or head.config.surface_density
    mesh = isosurface.extract(
        lambda points: head.field().density(points[None])[0],
        box_side=head.config.box_side,
        resolution=config.resolution,
        level=level,
        floor=FLOOR,
        target_faces=config.target_faces,
        device=head.planes.device,
        callback=lambda done, total: report(0.5 * done / total),
    )
    report(0.55)
    if not config.texture_size:
        return texture.color_vertices(mesh, head.colour)
    mesh = texture.unwrap(mesh)
    report(0.8)
    return texture.bake(mesh, head.colour, config.texture_size)


def normals_picture(normal: Tensor) -> Tensor:
    """From camera-space normals [V, 3, H, W] (OpenCV axes) to the usual picture: right is red, up is green, towards us is blue."""
    empty = normal.square().sum(1, keepdim=True) < 0.25
    flipped = normal * normal.new_tensor([1.0, -1.0, -1.0])[:, None, None]  # from OpenCV to OpenGL axes
    return torch.where(empty, normal.new_tensor(1.0), flipped * 0.5 + 0.5)


def contact_sheet(views: Rendering) -> Tensor:
    """V views side by side, colours above normals: [3, 2 H, V W]."""
    return torch.cat([torch.cat(list(images), -1) for images in (views.rgb, normals_picture(views.normal))], -2)


def eight_views(head: Head, size: int, config: RenderConfig | None = None) -> Rendering:
    """A head from yaws 0, 45, ..., 315 degrees."""
    yaw = torch.arange(8) * (math.pi / 4)
    return head.render(orbit(yaw, torch.zeros(8)).to(head.planes.device), size, config)


@torch.no_grad()
def refined_turntable(head: Head, plan: TurboRefinement, *, generator: torch.Generator) -> Tensor:
    """A turn [frames, 3, size, size] around a head, the first frame from the front: volume-rendered, refined, and steadied."""
    cameras = orbit(turn(plan.frames), torch.zeros(plan.frames)).to(head.planes.device)
    renders = head.render(cameras, plan.size, normals=False).rgb
    refined = refine_sequence(plan.turbo, renders, head.reference.on_white()[None], generator=generator, loop=True)
    return steady(refined, renders, SteadyConfig(strength=plan.steadiness), loop=True)


def baked_head(
    head: Head, frames: Tensor, plan: TurboRefinement, *, generator: torch.Generator, callback: Callable[[Progress], None] | None
) -> Head:
    """A head fitted to some frames of its refined turn, and to its photo."""
    yaw = turn(plan.frames)
    near = torch.minimum(yaw, 2 * math.pi - yaw) <= plan.bake_within
    index = [i for i in range(0, plan.frames, plan.bake_every) if near[i]]
    cameras = orbit(yaw[index], torch.zeros(len(index))).to(head.planes.device)
    return bake(head, *with_reference(head, frames[index], cameras), plan.bake, generator=generator, callback=callback)


def turn(frames: int) -> Tensor:
    """Yaws [frames] of one turn, from the front."""
    return torch.arange(frames) * (2 * math.pi / frames)


def portrait_to_3d(
    photo: Tensor,
    weights: Weights,
    config: InversionConfig | None,
    mesh_config: MeshConfig,
    *,
    generator: torch.Generator,
    alpha: Tensor | None = None,
    refinement: TurboRefinement | DistilledRefinement | None = None,
    callback: Callable[[Progress], None] | None = None,
    stage: Callable[[str], None] = lambda name: None,
) -> Portrait3D:
    """Photo [3, H, W] (and its alpha [1, H, W]) -> everything.

    Args:
        config: of the inversion; None for the feed-forward head. generator: a CPU generator, the seed of all stages.
        refinement: of the turntable, baked back into the head; or of the head itself. callback: after each step of whatever takes many.
        stage: told each stage's name as it starts.
    """
    stage("alignment")
    reference = align(photo, network=weights.aligner, alpha=alpha)
    if config is None:
        stage("feed-forward head")
        head = feed_forward_head(weights.prior, weights.encoder, reference)
    else:
        stage("inversion")
        eyes = weights.perceptual()
        head = invert(weights.prior, weights.encoder, reference, config, generator=generator, perceptual=eyes, callback=callback)
    frames = None
    if isinstance(refinement, TurboRefinement):
        stage("refined turntable")
        frames = refined_turntable(head, refinement, generator=generator)
        stage("baking")
        head = baked_head(head, frames, refinement, generator=generator, callback=callback)
    elif refinement is not None:
        stage("geometry restoration")
        plan, guides = refinement, refinement.guides
        (head,), _ = restore_geometry([head], guides, plan.restoration, generator=generator, block=plan.block, callback=callback)
        stage("refinement")
        head = refine(head, guides.model, plan.network, plan.refine, generator=generator, callback=callback).head
    stage("mesh")
    mesh = head_to_mesh(head, mesh_config)
    if frames is None:
        stage("turntable")
        frames = turntable.frames(mesh, count=48, size=256)
    stage("views")
    return Portrait3D(reference, head, mesh, frames, eight_views(head, 128))
