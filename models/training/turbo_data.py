"""What `train turbo` learns from: a photo, the feed-forward stage's views of its head, and what they should look like.

Two kinds, as in TurboPortrait3D, section 4: heads that the prior made itself, which are 3D-consistent by construction, and exact views
of the factory. Both are made once and cached under the prior's and the encoder's weights.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..camera import Camera, frontal, orbit
from ..checkpoint import shipped
from ..fitting.feed_forward import feed_forward_head
from ..head import Head, head_of
from ..photo.alignment import uncropped
from ..prior.contract import HeadGenerator, styles
from ..prior.encoder import PortraitEncoder, shipped_encoder
from ..prior.families import load_generator
from ..synthetic.factories import factory_of_code
from ..synthetic.renders import FACTORY_VERSION, Renders, cache_folder, cached_shards, stacked

SHARD = 25
SIZE = 256
OWN_VIEWS = 2  # besides the front: three views of each of the prior's own identities


@dataclass(frozen=True)
class TurboData:
    """Views of N heads at S pixels, on white.

    Attributes:
        reference: uint8 [N, 3, S, S], the photo.
        renders, exact: uint8 [N, V, 3, S, S], what the feed-forward stage shows and what it should.
        yaw, pitch: [N, V] radians of those views.
    """

    reference: Tensor
    renders: Tensor
    exact: Tensor
    yaw: Tensor
    pitch: Tensor

    def __len__(self) -> int:
        return len(self.reference)

    def cameras(self) -> Camera:
        """[N, V] cameras."""
        return orbit(self.yaw, self.pitch)


@dataclass(frozen=True)
class Stage:
    """The feed-forward stage. Attributes: prior, encoder: frozen, on one device. key: of their weights."""

    prior: HeadGenerator
    encoder: PortraitEncoder
    key: str


def shipped_stage(device: torch.device) -> Stage:
    """The prior and the encoder that come with the pack."""
    key = hashlib.sha256(b"".join(shipped(name).read_bytes() for name in ("prior", "encoder"))).hexdigest()[
        :12
    ]
    return Stage(load_generator(shipped("prior")).to(device), shipped_encoder().to(device), key)


def as_bytes(image: Tensor) -> Tensor:
    """[...] in [0, 1] -> uint8 [...], on the CPU."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).cpu()


def shown(head: Head, yaw: Tensor, pitch: Tensor) -> tuple[Tensor, Tensor]:
    """A head's views [V, 3, S, S] in [0, 1] at yaw, pitch [V] radians, and their opacities [V, 1, S, S]."""
    rendering = head.render(orbit(yaw, pitch).to(head.planes.device), SIZE, normals=False)
    return rendering.rgb, rendering.opacity


def factory_pair(stage: Stage, truth: Renders, i: int) -> dict[str, Tensor]:
    """One head of the factory: the encoder sees its exact front (view 0); the other views are the novel ones.

    Returns:
        a row of `TurboData`: reference [3, S, S], renders and exact [V, 3, S, S], yaw and pitch [V].
    """
    device = next(stage.prior.parameters()).device
    rgb, mask = truth.rgb[i].to(device).float() / 255, truth.mask[i].to(device).float()
    head = feed_forward_head(stage.prior, stage.encoder, uncropped(rgb[0], mask[:1], frontal().to(device)))
    yaw, pitch = truth.yaw[i, 1:], truth.pitch[i, 1:]
    renders, _ = shown(head, yaw, pitch)
    return {
        "reference": truth.rgb[i, 0],
        "renders": as_bytes(renders),
        "exact": truth.rgb[i, 1:],
        "yaw": yaw,
        "pitch": pitch,
    }


@torch.no_grad()
def own_pair(stage: Stage, seed: int) -> dict[str, Tensor]:
    """A head of the prior's own: its views are the truth, and the encoder sees its front.

    Returns:
        a row of `TurboData`: reference [3, S, S], renders and exact [V, 3, S, S], yaw and pitch [V].
    """
    device = next(stage.prior.parameters()).device
    draws = torch.Generator().manual_seed(seed)
    ws = styles(stage.prior, factory_of_code(stage.prior.config.z_dim).code(seed).to(device))
    own = head_of(stage.prior, ws)
    turn = (torch.rand(OWN_VIEWS, generator=draws) * 2 - 1) * math.radians(75)
    lift = (torch.rand(OWN_VIEWS, generator=draws) * 2 - 1) * math.radians(20)
    yaw, pitch = torch.cat([torch.zeros(1), turn]), torch.cat([torch.zeros(1), lift])
    truth, opacity = shown(own, yaw, pitch)
    head = feed_forward_head(
        stage.prior, stage.encoder, uncropped(truth[0], (opacity[0] > 0.5).float(), frontal().to(device))
    )
    renders, _ = shown(head, yaw[1:], pitch[1:])
    views = as_bytes(truth)
    return {
        "reference": views[0],
        "renders": as_bytes(renders),
        "exact": views[1:],
        "yaw": yaw[1:],
        "pitch": pitch[1:],
    }


def turbo_data(stage: Stage, seeds: range, *, own: bool = False) -> TurboData:
    """Pairs of all seeds, read from the cache, or made and put there; prints progress.

    Args:
        seeds: a multiple of SHARD of them. own: the prior's own identities of these seeds instead of the factory's heads.
    """
    folder = cache_folder() / f"turbo-{FACTORY_VERSION}-{stage.key}" / ("own" if own else "factory")

    def make(some: range) -> dict[str, Tensor]:
        if own:
            return stacked([own_pair(stage, seed) for seed in some])
        truth = factory_of_code(stage.prior.config.z_dim).cached(some)
        return stacked([factory_pair(stage, truth, i) for i in range(len(some))])

    return TurboData(
        **{key: value[: len(seeds)] for key, value in cached_shards(folder, seeds, SHARD, make).items()}
    )
