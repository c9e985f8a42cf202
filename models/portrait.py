"""The main path, one line per stage: photo -> aligned portrait -> head -> mesh, turntable, views."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .avatar.model import AvatarModel, avatar
from .camera import orbit
from .field.casting import Rendering
from .field.prepared import prepare
from .field.volume_rendering import RenderConfig
from .fitting.completion import completed
from .fitting.feed_forward import feed_forward_head
from .fitting.inversion import invert
from .fitting.inversion_config import InversionConfig
from .fitting.perceptual import Eyes, eyes_for
from .fitting.run import Progress
from .head import Head
from .mesh import isosurface, texture, turntable
from .mesh.mesh import Mesh
from .mesh.photo_texture import with_photo
from .metrics.identity import shipped_identity
from .metrics.likeness import likeness
from .metrics.vgg import VGG16
from .photo.alignment import AlignedPortrait, align
from .photo.network import AlignmentNetwork
from .prior.contract import HeadGenerator
from .prior.discriminator import Discriminator
from .prior.encoder import PortraitEncoder

FLOOR = -0.33  # scene units: where shoulders are cut


@dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """How a head becomes a mesh.

    Attributes:
        resolution: cells of the sampling grid along the box. texture_size: pixels; 0 for vertex colours.
        target_faces: at most so many, or None. surface_density: per scene unit, or None for the prior's.
        photo: whether a texture takes from the head's photo, where it has one, what faces it; benches measure the field's.
    """

    resolution: int = 120
    texture_size: int = 512
    target_faces: int | None = None
    surface_density: float | None = None
    photo: bool = False

    def __post_init__(self) -> None:
        if self.resolution < 8 or self.texture_size < 0:
            raise ValueError(
                f"MeshConfig: expected resolution >= 8 and texture_size >= 0, got {self.resolution} and {self.texture_size}; raise them"
            )


DELIVERED = MeshConfig(texture_size=1024, photo=True)  # what people get


class Refinement(Protocol):
    """What goes on with a head: `refinements` has those of the papers."""

    def __call__(
        self,
        head: Head,
        *,
        generator: torch.Generator,
        callback: Callable[[Progress], None] | None,
        stage: Callable[[str], None],
    ) -> tuple[Head, Tensor | None]:
        """A head -> the refined one, and frames [F, 3, S, S] of its turntable where the refinement draws them.

        Args:
            generator: a CPU generator, the seed of all draws. callback: after each step. stage: told each stage's name.
        """
        ...


@dataclass(frozen=True)
class Weights:
    """The networks of the main path, on one device. Attributes: encoder, critic: None where the prior has none. vgg: the user's, or None."""

    aligner: AlignmentNetwork
    prior: HeadGenerator
    encoder: PortraitEncoder | None
    critic: Discriminator | None
    vgg: VGG16 | None = None

    def eyes(self) -> Eyes:
        """What inversions compare pictures with."""
        return eyes_for(self.prior, self.critic, self.vgg)


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
    level, field = config.surface_density or head.config.surface_density, prepare(head.field())
    mesh = isosurface.extract(
        lambda points: field.density(points[None])[0],
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
    mesh = texture.bake(mesh, head.colour, config.texture_size)
    if not config.photo or head.reference is None:
        return mesh
    report(0.95)
    portrait = head.reference.to(head.planes.device)
    return with_photo(mesh, portrait.finest(), portrait.told_mask(), portrait.camera)


def normals_picture(normal: Tensor) -> Tensor:
    """From camera-space normals [V, 3, H, W] (OpenCV axes) to the usual picture: right is red, up is green, towards us is blue."""
    empty = normal.square().sum(1, keepdim=True) < 0.25
    towards_us = normal * normal.new_tensor([1.0, -1.0, -1.0])[:, None, None]  # from OpenCV to OpenGL axes
    return torch.where(empty, normal.new_tensor(1.0), towards_us * 0.5 + 0.5)


def contact_sheet(views: Rendering) -> Tensor:
    """V views side by side, colours above normals: [3, 2 H, V W].

    Raises:
        ValueError: views without normals.
    """
    if views.normal is None:
        raise ValueError(
            "contact sheet: expected views with normals, got none; render them with normals=True"
        )
    return torch.cat(
        [torch.cat(list(images), -1) for images in (views.rgb, normals_picture(views.normal))], -2
    )


def eight_views(head: Head, size: int, config: RenderConfig | None = None) -> Rendering:
    """A head from yaws 0, 45, ..., 315 degrees."""
    yaw = torch.arange(8) * (math.pi / 4)
    return head.render(orbit(yaw, torch.zeros(8)).to(head.planes.device), size, config)


def portrait_to_3d(
    photo: Tensor,
    weights: Weights,
    config: InversionConfig | None,
    mesh_config: MeshConfig,
    *,
    generator: torch.Generator,
    alpha: Tensor | None = None,
    avatars: AvatarModel | None = None,
    refinement: Refinement | None = None,
    face: int = 0,
    callback: Callable[[Progress], None] | None = None,
    stage: Callable[[str], None] = lambda name: None,
    note: Callable[[str], None] = lambda sentence: None,
) -> Portrait3D:
    """Photo [3, H, W] (and its alpha [1, H, W]) -> everything.

    Args:
        config: of the inversion; None for the feed-forward head. generator: a CPU generator, the seed of all stages.
        avatars: draws the head; with a config, the one that the inversion begins at.
        refinement: of the head, or None. face: which one of several, as `align`. callback: after each step of whatever takes many.
        stage: told each stage's name as it starts. note: told what was chosen, what the photo lacks, and what is doubtful of the head.
    """
    stage("alignment")
    reference = align(photo, network=weights.aligner, alpha=alpha, face=face)
    for sentence in reference.notes:
        note(sentence)
    begin = None
    if avatars is not None:
        stage("avatar")
        begin = avatar(avatars, reference, generator)
    if begin is not None and config is None:
        head = begin
    elif config is None:
        stage("feed-forward head")
        head = feed_forward_head(weights.prior, weights.encoder, reference)
    else:
        stage("inversion")
        head = invert(
            weights.prior,
            weights.encoder,
            reference,
            config,
            generator=generator,
            perceptual=weights.eyes().distance,
            begin=begin,
            callback=callback,
        )
        reference = head.reference or reference  # its camera as fitted
    if config is not None and (doubt := likeness(head, reference, shipped_identity()).doubt()) is not None:
        note(doubt)  # feed-forward heads are coarse, and not asked
    head = completed(head)
    frames = None
    if refinement is not None:
        head, frames = refinement(head, generator=generator, callback=callback, stage=stage)
    stage("mesh")
    mesh = head_to_mesh(head, mesh_config)
    if frames is None:
        stage("turntable")
        frames = turntable.frames(mesh, count=48, size=256)
    stage("views")
    return Portrait3D(reference, head, mesh, frames, eight_views(head, 128))
