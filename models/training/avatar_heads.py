"""What both trainings of RodinHD's cascade draw from: fitted planes with what a portrait tells of them; and a mean of weights that resumes."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import Tensor, nn

from ..avatar.conditioning import Conditions, PortraitConfig, lanczos, portrait_conditions
from ..avatar.planes import mirrored
from ..avatar.shared_decoder import SharedDecoder
from ..field.triplane import OURS, FieldConfig
from .avatar_planes import AvatarPlanes
from .diffusion import follow

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

SLANT = 0.3  # of mean planes from their mirror image, relative: less is fitting's noise, and mirror images of heads are as likely as heads
PIECE = 16  # portraits that are encoded together
Network = TypeVar("Network", bound=nn.Module)


def slant(shared: SharedDecoder) -> float:
    """How far the mean planes are from their mirror image, relative to themselves; 0 for those of nothing.

    A head's mirror image has mirrored planes, but where features mean one thing on the left and another on the right, fitted heads have no
    such planes: learnt beside them, they would be a second kind of head.
    """
    mean = shared.mean
    return ((mean - mirrored(mean)).norm() / mean.norm().clamp_min(1e-12)).item()


def mirrors(field: FieldConfig) -> bool:
    """Whether `mirrored` is exact for planes of a field."""
    return field.plane_axes == OURS and not field.depth


@dataclass(frozen=True)
class AvatarHeads:
    """Fitted heads and what their portraits tell, on the CPU.

    Attributes:
        planes: half [N, 3, C, R, R], as fitted. shared: brings them to -1 .. 1.
        conditions: half, N rows. flipped: of their mirror images, or None where these are not to be learnt from.
    """

    planes: Tensor
    shared: SharedDecoder
    conditions: Conditions
    flipped: Conditions | None = None

    def __len__(self) -> int:
        return len(self.planes)

    def rows(self, heads: Tensor, flips: Tensor) -> tuple[Tensor, Conditions]:
        """Planes [B, 3, C, R, R] in -1 .. 1 and conditions, float32, of heads [B] (indices), those mirrored where flips [B] (bool) say so."""
        fitted = self.planes[heads].float()
        there = self.flipped if self.flipped is not None else self.conditions
        planes = torch.where(flips[:, None, None, None, None], mirrored(fitted), fitted)
        pairs = zip((self.conditions.latent, *self.conditions.maps), (there.latent, *there.maps), strict=True)
        latent, *maps = (
            torch.where(flips[:, None, None, None], other[heads], own[heads]).float() for own, other in pairs
        )
        return self.shared.normalised(planes), Conditions(latent, tuple(maps))

    def draw(self, count: int, draws: torch.Generator) -> tuple[Tensor, Conditions]:
        """`rows` of random heads, half of them mirrored where mirror images are learnt from: [count, 3, C, R, R]."""
        heads = torch.randint(len(self), (count,), generator=draws)
        flips = torch.rand(count, generator=draws) < 0.5
        return self.rows(heads, flips & (self.flipped is not None))

    def part(self, heads: Tensor) -> tuple[Tensor, Conditions]:
        """`rows` of heads [B], as they are."""
        return self.rows(heads, torch.zeros(len(heads), dtype=torch.bool))


@torch.no_grad()
def told(vae: AutoencoderKL, portraits: Tensor, config: PortraitConfig) -> Conditions:
    """Conditions, half, on the CPU, of portraits uint8 [N, 3, S, S] on white: computed once, for the autoencoder never changes."""
    parts = []
    for piece in portraits.split(PIECE):
        image = lanczos(piece.to(vae.device).float() / 255, config.size).clamp(0, 1)
        parts.append(portrait_conditions(vae, image, config).to("cpu", torch.float16))
    maps = zip(*(part.maps for part in parts), strict=True)
    return Conditions(torch.cat([part.latent for part in parts]), tuple(map(torch.cat, maps)))


def heads_of(
    data: AvatarPlanes, shared: SharedDecoder, vae: AutoencoderKL, config: PortraitConfig, *, flips: bool
) -> AvatarHeads:
    """What is drawn from. Args: flips: learn from mirror images, too, where they are heads like all others; says so.

    Raises:
        ValueError: planes that are not the decoder's.
    """
    shape = shared.config.field.planes_shape
    if data.planes.ndim != 5 or tuple(data.planes.shape[1:3]) != shape[:2] or len(shape) != 4:
        raise ValueError(
            f"avatar training: expected planes [N, {', '.join(map(str, shape))}] as the decoder reads them, got {list(data.planes.shape)}; "
            "fit them through this decoder"
        )
    conditions = told(vae, data.portrait, config)
    if not flips:
        return AvatarHeads(data.planes, shared, conditions)
    turn = slant(shared)
    learnt = mirrors(shared.config.field) and turn < SLANT
    print(
        f"{len(data)} heads{' and their mirror images' if learnt else ''}; mean planes are {turn:.2f} from their mirror image",
        flush=True,
    )
    return AvatarHeads(
        data.planes, shared, conditions, told(vae, data.portrait.flip(-1), config) if learnt else None
    )


class Averaged(nn.Module, Generic[Network]):
    """A network and the running mean of its weights, which ships; in one state dict, so that a local checkpoint has both."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network: Network = network
        self.mean: Network = deepcopy(network).requires_grad_(False)

    def follow(self, step: int) -> None:
        """Move the mean after a step; early on it is the mean of all."""
        follow(self.mean, self.network, step)

    @staticmethod
    def parts(kind: str) -> dict[str, str]:
        """For `LocalRun`: both begin with the file that ships."""
        return {"network.": kind, "mean.": kind}
