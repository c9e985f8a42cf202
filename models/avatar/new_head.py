"""A head from views of it alone: planes and a decoder that learn together, and the portrait that later stages ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..field.triplane import FieldConfig
from ..fitting.run import Progress
from ..head import Head
from ..photo.alignment import AlignedPortrait, uncropped
from .fitting import FitConfig, fit, new_decoder
from .shared_decoder import SharedDecoder
from .views import Views

FRONT = 0.5  # cosine of the angle to the front up to which a view is a portrait: 60 degrees
COVERED = 0.05  # of a pixel, from which on its colour is told
KNOWN_RATE = 0.05  # of planes of a prior's head
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


@dataclass(frozen=True)
class Beginning:
    """What a fit begins with: field, planes [1, 3, C, (D,) R, R] or None for random ones, decoder or None for a new one, and its config."""

    field: FieldConfig
    config: FitConfig
    start: Tensor | None = None
    decoder: nn.Module | None = None


def from_nothing(resolution: int, config: FitConfig) -> Beginning:
    """Random planes and a decoder that learns with them.

    Raises:
        ValueError: as `new_field`.
    """
    return Beginning(new_field(resolution), config)


def from_head(head: Head, config: FitConfig) -> Beginning:
    """The planes of a head, which then learn through its own decoder: what no view shows stays as it was.

    Such planes are some tens, not -1 .. 1, and smooth already: they are neither bounded nor made small.

    Raises:
        ValueError: a head whose colours need its generator's styles.
    """
    if head.field().to_rgb is not None:
        raise ValueError(
            "fit head: expected a head whose colours its planes tell alone, got one of a generator with a colour layer; "
            "begin with a head of the embedded prior"
        )
    milder = replace(config, clamp=False, smooth=0.0, small=0.0, rate=KNOWN_RATE)
    return Beginning(head.config, milder, head.stacks[-1], head.decoder)


def from_shared(shared: SharedDecoder, resolution: int, config: FitConfig) -> Beginning:
    """The mean planes of all avatars and their decoder, which stays as it is: RodinHD's stage 2, whose planes a cascade can read.

    Raises:
        ValueError: planes of such a resolution are none, or too large.
    """
    return Beginning(replace(shared.config.field, resolution=resolution), config, shared.mean, shared.decoder)


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
    beginning: Beginning,
    *,
    generator: torch.Generator,
    state: Mapping[str, Tensor] | None = None,
    callback: Callable[[Progress[float]], None] | None = None,
) -> Head:
    """A head of one's own from views of it, with the view nearest to the front as its portrait.

    Args:
        views: of `views_of`, where the fit is to work. generator: a CPU generator; the seed of all draws.
        beginning: a decoder in it stays as it is; a new one learns with the planes. state, callback: as `fitting.fit`.

    Raises:
        ValueError: as `fitting.fit`.
    """
    field, start = beginning.field, beginning.start
    learns = beginning.decoder is None
    network = new_decoder(field, generator) if beginning.decoder is None else beginning.decoder
    head = fit(
        views,
        field,
        network.to(views.mask.device),
        beginning.config,
        generator=generator,
        start=start,
        learn_decoder=learns,
        state=state,
        callback=callback,
    )
    return replace(head, reference=portrait_of(views))
