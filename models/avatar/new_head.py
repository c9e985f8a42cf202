"""A head from views of it alone: planes and a decoder that learn together, and the portrait that later stages ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..field.triplane import FieldConfig
from ..fitting.run import Progress
from ..head import Head
from ..photo.alignment import AlignedPortrait, uncropped
from .fitting import FitConfig, fit, new_decoder
from .views import Views

FRONT = 0.5  # cosine of the angle to the front up to which a view is a portrait: 60 degrees
COVERED = 0.05  # of a pixel, from which on its colour is told
FIELD = FieldConfig(
    box_side=0.84,  # what frontal frames show at the middle, 0.633, and hair or shoulders beyond
    channels=16,
    depth=0,
    resolution=256,
    hidden=64,
    features=3,
    density_shift=-4.0,
    density_scale=100.0,
)


def new_field(resolution: int) -> FieldConfig:
    """The field of a head that is fitted to views alone.

    Raises:
        ValueError: planes of such a resolution are none, or too large.
    """
    return replace(FIELD, resolution=resolution)


def portrait_of(views: Views) -> AlignedPortrait | None:
    """The view nearest to the front, as the portrait that later stages go by; None where all are further than 60 degrees from it."""
    forwardness = torch.nn.functional.normalize(views.cameras.position, dim=-1)[:, 2]
    front = int(forwardness.argmax())
    if forwardness[front] < FRONT:
        return None
    mask = views.mask[front]
    opaque = views.colour[front] / mask.clamp(min=COVERED)
    image = torch.where(mask > COVERED, opaque.clamp(0, 1), torch.ones_like(opaque))
    return uncropped(image, mask, views.cameras[front])


def head_from_views(
    views: Views,
    field: FieldConfig,
    config: FitConfig,
    *,
    generator: torch.Generator,
    decoder: nn.Module | None = None,
    start: Tensor | None = None,
    state: Mapping[str, Tensor] | None = None,
    callback: Callable[[Progress[float]], None] | None = None,
) -> Head:
    """A head of one's own from views of it, with the view nearest to the front as its portrait.

    Args:
        views: of `views_of`, where the fit is to work. field: of the planes. generator: a CPU generator; the seed of all draws.
        decoder: of many heads, which stays as it is; None for a new one that learns with the planes.
        start: planes [1, 3, C, (D,) r, r] to begin with, None for random ones. state, callback: as `fitting.fit`.

    Raises:
        ValueError: as `fitting.fit`.
    """
    learns = decoder is None
    network = (new_decoder(field, generator) if decoder is None else decoder).to(views.mask.device)
    head = fit(
        views,
        field,
        network,
        config,
        generator=generator,
        start=start,
        learn_decoder=learns,
        state=state,
        callback=callback,
    )
    return replace(head, reference=portrait_of(views))
