"""What `train hpdm` learns from: two neighbouring exact views of a factory head, and what the feed-forward head knows there.

The head is the encoder's, so depth, coarse render and normals are as imperfect as at test time; the driving view is damaged as a generated
one is. Pixels are made once and cached under the weights of prior and encoder, latents under the autoencoder's, too.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..camera import frontal, orbit
from ..checkpoint import read_tensors, save_tensors, shipped
from ..devices import placed
from ..diffusion.autoencoder import decode, encode
from ..diffusion.embedded import prompt_index, shipped_autoencoder
from ..diffusion.hpdm import Priors, Warp
from ..diffusion.view_priors import DrivingView, view_priors
from ..fitting.feed_forward import feed_forward_head
from ..photo.alignment import uncropped
from ..presence import present
from ..projection import ProjectionConfig
from ..synthetic.head import sample_parameters
from ..synthetic.rendering import render_head
from ..synthetic.renders import FACTORY_VERSION, cache_folder, cached_shards, stacked
from .turbo_data import Stage, as_bytes

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

SHARD = 25
SIZE = 256
PAIRS = 2  # of each head: one that starts in front, one anywhere
APART = (10, 50)  # degrees of yaw between the two views
DRIVER_YAW = 110  # degrees: the second pair's driving views lie within
PITCH = 10  # degrees, one standard deviation
SIZES = (32, 16, 8)  # of the UNet's features, where the implicit branch's are projected
IMAGES = ("driver", "target", "render", "normal")
TINT, SEAM, ROUND_TRIP = (
    0.06,
    0.5,
    0.5,
)  # damage: largest change of colours; chances of a seam, and of a pass through the autoencoder


@dataclass(frozen=True)
class PairData:
    """P pairs of views at S pixels.

    Attributes:
        driver, target, render, normal: uint8 [P, 3, S, S]: exact views on white; the head's render and normals, as the target sees them.
        distance, opacity: float16 [P, S, S] and uint8 [P, S, S] of the head, as the driver sees it.
        angles: [P, 4] radians: yaw and pitch of driver and target.
    """

    driver: Tensor
    target: Tensor
    render: Tensor
    normal: Tensor
    distance: Tensor
    opacity: Tensor
    angles: Tensor

    def __len__(self) -> int:
        return len(self.driver)


def draw_angles(seed: int) -> Tensor:
    """[PAIRS, 4] yaw and pitch of driver and target: outward from the front more often than inward."""
    draws = torch.Generator().manual_seed(seed)
    driver = (torch.rand(PAIRS, generator=draws) * 2 - 1) * math.radians(DRIVER_YAW)
    driver[0] = 0
    low, high = (math.radians(x) for x in APART)
    step = low + (high - low) * torch.rand(PAIRS, generator=draws)
    outward = torch.where(torch.rand(PAIRS, generator=draws) < 0.8, driver.sign(), -driver.sign())
    either = torch.where(torch.rand(PAIRS, generator=draws) < 0.5, 1.0, -1.0)
    pitch = torch.randn(PAIRS, 2, generator=draws) * math.radians(PITCH)
    pitch[0, 0] = 0
    return torch.stack(
        [driver, pitch[:, 0], driver + step * torch.where(driver == 0, either, outward), pitch[:, 1]], 1
    )


@torch.no_grad()
def head_pairs(stage: Stage, seed: int) -> dict[str, Tensor]:
    """The pairs of one head, as `PairData` keeps them: [PAIRS, ...] each."""
    device = next(stage.prior.parameters()).device
    angles = draw_angles(seed)
    cameras = [orbit(angles[:, i], angles[:, i + 1]) for i in (0, 2)]
    exact = [render_head(sample_parameters(seed), camera, SIZE) for camera in cameras]
    front = uncropped(exact[0].rgb[0].to(device), exact[0].mask[0].to(device), frontal().to(device))
    head = feed_forward_head(stage.prior, stage.encoder, front)
    driver_view, coarse = (
        head.render(camera.to(device), SIZE, normals=normals)
        for camera, normals in zip(cameras, (False, True), strict=True)
    )
    return {
        "driver": as_bytes(exact[0].rgb),
        "target": as_bytes(exact[1].rgb),
        "render": as_bytes(coarse.rgb),
        "normal": as_bytes((present(coarse.normal, "normals of a render", "ask for them") + 1) / 2),
        "distance": driver_view.depth[:, 0].half().cpu(),
        "opacity": as_bytes(driver_view.opacity[:, 0]),
        "angles": angles,
    }


def pairs_folder(stage: Stage) -> Path:
    """Where pairs are kept: by factory, prior and encoder, and how views are drawn."""
    layout = hashlib.sha256(f"{SIZE} {PAIRS} {APART} {DRIVER_YAW} {PITCH}".encode()).hexdigest()[:6]
    return cache_folder() / f"hpdm-{FACTORY_VERSION}-{stage.key}-{layout}"


def pair_data(stage: Stage, seeds: range) -> PairData:
    """Pairs of all seeds, read from the cache, or made and put there; prints progress."""

    def make(some: range) -> dict[str, Tensor]:
        return {
            key: value.flatten(0, 1)
            for key, value in stacked([head_pairs(stage, seed) for seed in some]).items()
        }

    shards = cached_shards(pairs_folder(stage), seeds, SHARD, make)
    return PairData(**{key: value[: PAIRS * len(seeds)] for key, value in shards.items()})


@dataclass(frozen=True)
class LatentPairs:
    """The same as an HPDM sees it.

    Attributes:
        clean: [P, C, h, w] scaled latents of the exact targets. projected, driver: likewise, known: [P, 1, h, w], geometry: [P, 2C, h, w],
            as in `hpdm.Priors`. index32, index16, index8: int16 [P, s, s] of its warp. prompts: [P] of the targets.
    """

    clean: Tensor
    projected: Tensor
    known: Tensor
    geometry: Tensor
    driver: Tensor
    index32: Tensor
    index16: Tensor
    index8: Tensor
    prompts: Tensor

    def __len__(self) -> int:
        return len(self.clean)

    def priors(self, rows: Tensor, device: torch.device, nearer: Tensor | None = None) -> Priors:
        """Of some rows [B].

        Args:
            nearer: [B], share of the way from the feed-forward head's coarse render to the exact view that a better head's would have gone.
        """
        warp = Warp(indices={(size, size): getattr(self, f"index{size}")[rows].long() for size in SIZES})
        geometry = self.geometry[rows]
        if nearer is not None:
            render, normals = geometry.chunk(2, 1)
            geometry = torch.cat([render.lerp(self.clean[rows], nearer[:, None, None, None]), normals], 1)
        return Priors(
            projected=self.projected[rows].to(device),
            known=self.known[rows].to(device),
            geometry=geometry.to(device),
            driver=self.driver[rows].to(device),
            warp=warp,
        )


def with_mirrored(data: PairData) -> PairData:
    """All pairs, and their mirror images behind them."""
    mirror = {name: getattr(data, name).flip(-1) for name in (*IMAGES, "distance", "opacity")}
    across = 255 - mirror["normal"][:, :1]  # the normals' x component points the other way
    mirror["normal"] = torch.cat([across, mirror["normal"][:, 1:]], 1)
    mirror["angles"] = data.angles * torch.tensor([-1.0, 1.0, -1.0, 1.0])
    return PairData(
        **{part.name: torch.cat([getattr(data, part.name), mirror[part.name]]) for part in fields(PairData)}
    )


def damaged(image: Tensor, vae: AutoencoderKL, draws: torch.Generator) -> Tensor:
    """A driving view [3, S, S] as a chain of generated views would hand it on: tinted, with a seam, through the autoencoder."""
    tint = 1 + (torch.rand(2, 3, 1, 1, generator=draws) * 2 - 1) * TINT
    side = torch.zeros(1, 1, SIZE)
    if torch.rand(1, generator=draws) < SEAM:
        side[..., int(torch.randint(SIZE // 4, 3 * SIZE // 4, (1,), generator=draws)) :] = 1
    solid = (image < 0.999).any(0, keepdim=True)
    image = torch.where(solid, image * (tint[0] * (1 - side) + tint[1] * side).to(image), image).clamp(0, 1)
    return decode(vae, encode(vae, image[None]))[0] if torch.rand(1, generator=draws) < ROUND_TRIP else image


@torch.no_grad()
def latent_pairs(data: PairData, vae: AutoencoderKL, *, damage: bool) -> LatentPairs:
    """All pairs in an autoencoder. Args: damage: to the driving views."""
    parts: list[dict[str, Tensor]] = []
    for i in range(len(data)):
        draws = torch.Generator().manual_seed(i)
        driver, target, render, normal = (
            getattr(data, name)[i].to(vae.device).float() / 255 for name in IMAGES
        )
        driver = damaged(driver, vae, draws) if damage else driver
        mask, distance = data.opacity[i].to(vae.device).float() / 255, data.distance[i].to(vae.device).float()
        first, second = (orbit(data.angles[i, j], data.angles[i, j + 1]).to(vae.device) for j in (0, 2))
        view = DrivingView(driver, distance, mask, first)
        priors, _ = view_priors(vae, [view], second[None], render[None], 2 * normal[None] - 1)
        warp = present(priors.warp, "the driving view's warp", "make the priors with `view_priors`")
        indices = {f"index{size}": warp.index((size, size)).short() for size in SIZES}
        latents = {
            "projected": priors.projected,
            "known": priors.known,
            "geometry": priors.geometry,
            "driver": priors.driver,
        }
        prompt = prompt_index(data.angles[i : i + 1, 2], data.angles[i : i + 1, 3])
        parts.append({"clean": encode(vae, target[None]), **latents, **indices, "prompts": prompt})
    return LatentPairs(
        **{part.name: torch.cat([x[part.name].cpu() for x in parts]) for part in fields(LatentPairs)}
    )


def cached_latents(stage: Stage, seeds: range, *, damage: bool) -> LatentPairs:
    """`latent_pairs` of the seeds, read from the cache, or made and put there. Args: damage: to the driving views, of mirrored pairs, too."""
    parts = [
        f"{ProjectionConfig()} {TINT} {SEAM} {ROUND_TRIP} {SIZES}".encode(),
        shipped("autoencoder").read_bytes(),
    ]
    parts += [
        inspect.getsource(sys.modules[one.__module__]).encode() for one in (ProjectionConfig, view_priors)
    ]
    key = hashlib.sha256(b"".join(parts)).hexdigest()[:12]
    path = pairs_folder(stage) / f"latents-{key}-{seeds.start}-{seeds.stop}-{damage:d}.safetensors"
    if not path.is_file():
        data = pair_data(stage, seeds)
        vae = placed(shipped_autoencoder(), next(stage.prior.parameters()).device)
        pairs = latent_pairs(with_mirrored(data) if damage else data, vae, damage=damage)
        save_tensors(
            path, {part.name: getattr(pairs, part.name).contiguous() for part in fields(LatentPairs)}, {}
        )
    return LatentPairs(**read_tensors(path, "cached latents")[0])
