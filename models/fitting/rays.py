"""Rays with a graph, which are rendered piece by piece where memory is short."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ..field.volume_rendering import Draws, Field, RayRendering, RenderConfig, render_rays
from ..out_of_memory import Pieces

# origins, directions [1, R, 3], draws -> what rays see
Cast = Callable[[Tensor, Tensor, Draws | None], RayRendering]


def in_pieces(
    pieces: Pieces, cast: Cast, origins: Tensor, directions: Tensor, draws: Draws | None = None
) -> RayRendering:
    """What rays [1, R, 3] see, as `cast` renders any part of them.

    Args:
        draws: of all rays; None for the deterministic middle.
    """

    def some(part: slice) -> tuple[Tensor, ...]:
        own = None if draws is None else Draws(draws.coarse[:, part], draws.fine[:, part])
        rays = cast(origins[:, part], directions[:, part], own)
        return rays.features, rays.depth, rays.opacity

    return RayRendering(*pieces(some, origins.shape[1]))


def render_in_pieces(
    pieces: Pieces,
    field: Field,
    origins: Tensor,
    directions: Tensor,
    sampling: RenderConfig,
    draws: Draws | None = None,
) -> RayRendering:
    """What rays [1, R, 3] see, as `render_rays` has it."""

    def cast(origins: Tensor, directions: Tensor, draws: Draws | None) -> RayRendering:
        return render_rays(field, origins, directions, sampling, draws=draws)

    return in_pieces(pieces, cast, origins, directions, draws)
