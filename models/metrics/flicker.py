"""Flicker along a turntable: how much a picture changes from one view to the next beyond what the moving camera explains."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import Camera, project, rays

SAME_SURFACE = 0.01  # scene units: two views see one point where its distances agree this well
COVER = 0.999  # of a bilinear look-up's weight must lie on the head


@dataclass(frozen=True)
class Flicker:
    """Mean absolute change of colour between neighbouring views, 0 to 1, after the camera's movement is taken out.

    Attributes:
        value: of the frames. exact: of the exact sequence, which is not 0: light that depends on the view, and bilinear sampling.
    """

    value: float
    exact: float

    @property
    def ratio(self) -> float:
        """1 where the frames flicker no more than the exact ones."""
        return self.value / self.exact


def warp(
    image: Tensor, distance: Tensor, camera: Camera, other_distance: Tensor, other: Camera
) -> tuple[Tensor, Tensor]:
    """Pictures of `camera` as `other` would see them, by the known surface.

    Each pixel of `other` is put on the surface it sees, that point is looked up in the picture of `camera`. Points that `camera` does
    not see, since they are hidden or out of its frame, are not valid.

    Args:
        image: [B, C, H, W]. distance, other_distance: [B, 1, H, W] along unit rays, scene units, 0 where there is no surface.
        camera, other: [B].

    Returns:
        warped [B, C, H, W], valid [B, 1, H, W] bool.
    """
    H, W = image.shape[-2:]
    origins, directions = rays(other, H, W)
    reach = torch.where(
        other_distance > 0, other_distance, 1
    )  # a point at the camera itself has no place in its picture
    points = (origins + directions * reach.permute(0, 2, 3, 1)).flatten(1, 2)  # [B, HW, 3]
    place, z = project(camera, points)
    grid = (2 * place - 1).unflatten(1, (H, W)).to(image)  # from 0 .. 1 to grid_sample's -1 .. 1
    solid = (distance > 0).to(image)
    samples = F.grid_sample(torch.cat([image, distance.to(image), solid], 1), grid, align_corners=False)
    warped, surface, cover = samples.split([image.shape[1], 1, 1], 1)
    own = (points - camera.position[:, None]).norm(dim=-1).view(-1, 1, H, W).to(image)
    valid = (
        (other_distance > 0)
        & (cover > COVER)
        & ((surface - own).abs() < SAME_SURFACE)
        & (z.view(-1, 1, H, W) > 0)
    )
    return warped, valid


def flicker(
    frames: Tensor, exact: Tensor, distance: Tensor, cameras: Camera, *, closed: bool = False
) -> Flicker:
    """Mean |frame i+1 - frame i warped to it|, where both see the surface, of the frames and of the exact ones.

    Args:
        frames, exact: [N, 3, H, W] in [0, 1], N >= 2. distance: [N, 1, H, W] of the exact views along unit rays, scene units; 0 where
            empty. cameras: [N]. closed: the last frame is followed by the first, as on a whole turn.

    Raises:
        ValueError: sequences of different shapes or of one frame, or neighbours that share no surface.
    """
    N = len(frames)
    if (
        N < 2
        or frames.shape != exact.shape
        or distance.shape != (N, 1, *frames.shape[-2:])
        or cameras.shape != (N,)
    ):
        raise ValueError(
            "flicker: expected frames and exact [N, 3, H, W], distance [N, 1, H, W] and cameras [N] of two frames or more, got "
            f"{list(frames.shape)}, {list(exact.shape)}, {list(distance.shape)}, {list(cameras.shape)}; pass one sequence"
        )
    sums = torch.zeros(2, dtype=torch.float64)
    count = 0
    for i in range(N if closed else N - 1):
        here, there = slice(i, i + 1), torch.tensor([(i + 1) % N])
        both = torch.cat([frames[here], exact[here]], 1)
        warped, valid = warp(both, distance[here], cameras[here], distance[there], cameras[there])
        change = (torch.cat([frames[there], exact[there]], 1) - warped).abs() * valid
        sums += change.unflatten(1, (2, 3)).double().sum((0, 2, 3, 4)).cpu()
        count += 3 * valid.sum().item()
    if count == 0:
        raise ValueError(
            "flicker: expected neighbouring frames that share some surface, got none; check distance and cameras"
        )
    value, exact_value = (sums / count).tolist()
    return Flicker(value, exact_value)


def plain_flicker(frames: Tensor, *, closed: bool = False) -> float:
    """Mean |f_(i-1) - 2 f_i + f_(i+1)|: change that is not steady, for sequences without distances.

    Movement counts, too, so compare sequences of the same cameras only.

    Args:
        frames: [N, C, H, W] in [0, 1], N >= 3. closed: first and last are neighbours.

    Raises:
        ValueError: fewer than three frames, or another shape.
    """
    if frames.ndim != 4 or len(frames) < 3:
        raise ValueError(
            f"plain_flicker: expected three frames [N, C, H, W] or more, got {list(frames.shape)}; render more views"
        )
    if closed:
        frames = torch.cat([frames[-1:], frames, frames[:1]])
    return (frames[:-2] - 2 * frames[1:-1] + frames[2:]).abs().mean().item()


def column_picture(frames: Tensor, column: int | None = None) -> Tensor:
    """One column of pixels of every frame, side by side: smooth bands where views agree, jagged ones where they flicker.

    RodinHD (Zhang et al. 2024), figure 9.

    Args:
        frames: [N, 3, H, W]. column: 0 .. W - 1; None for the middle.

    Returns:
        [3, H, N].

    Raises:
        ValueError: a column outside the frames.
    """
    W = frames.shape[-1]
    column = W // 2 if column is None else column
    if not 0 <= column < W:
        raise ValueError(
            f"column_picture: expected a column of 0 .. {W - 1}, got {column}; choose one inside the frames"
        )
    return frames[..., column].permute(1, 2, 0)
