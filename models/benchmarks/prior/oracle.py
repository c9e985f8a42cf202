"""The oracle of `bench prior`: the same field, fitted to all exact views at once. What an inversion could reach at best."""

from __future__ import annotations

from dataclasses import replace

import torch

from ...avatar.fitting import FitConfig, fit
from ...avatar.new_head import from_head
from ...avatar.views import views_of
from ...head import Head
from ...synthetic.multiview import MultiView

ORACLE_STEPS = 600
FIT = FitConfig(rays=4096)
RATE, DECODER_SHARE = 0.15, 0.02  # of planes, and the decoder's share of it


def fit_oracle(head: Head, views: MultiView) -> Head:
    """A head's planes and decoder fitted to all views, as `Fit Head from Views` does that begins with a head; no super-resolution."""
    plain = replace(head, latents=None, generator=None, geometry=None)
    begin = from_head(plain, replace(FIT, steps=ORACLE_STEPS))
    seen = views_of(
        views.views.rgb, views.views.mask, views.camera, head.config.box_side, background=torch.ones(3)
    )
    result = fit(
        seen,
        begin.field,
        head.decoder,
        replace(begin.config, rate=RATE, decoder_rate=DECODER_SHARE),
        generator=torch.Generator().manual_seed(0),
        start=begin.start,
        learn_decoder=True,
    )
    return replace(plain, planes=result.planes, decoder=result.decoder)
