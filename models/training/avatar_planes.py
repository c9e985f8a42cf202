"""`train avatar-planes`: the planes of many factory heads, fitted through the decoder that ships, that the cascade learns from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class AvatarPlanes:
    """N fitted heads.

    Attributes:
        planes: half [N, 3, C, R, R], as the decoder reads them (`SharedDecoder.normalised` makes -1 .. 1 of them).
        portrait: uint8 [N, 3, S, S], each head's photo, on white. yaw, pitch: [N] radians, of the photo's camera.
    """

    planes: Tensor
    portrait: Tensor
    yaw: Tensor
    pitch: Tensor

    def __len__(self) -> int:
        return len(self.planes)


def avatar_planes(seeds: range) -> AvatarPlanes:
    """The heads of all seeds, from the cache or fitted and put there; prints progress."""
    raise NotImplementedError(f"planes of {seeds}")
