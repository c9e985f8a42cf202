"""The readable twin of the renderers: rays -> image as the papers write it, a line per equation, whole batches, no thought of speed.

NeRF (Mildenhall et al. 2020), equations 3 and 5 and section 5.2; EG3D (Chan et al. 2022), section 3.2; tri-grids: PanoHead (An et
al. 2023). Tests compare `volume_rendering` and `occupancy` with it, and `bench render` measures them against it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .triplane import AXES, TriplaneField, sample_planes
from .volume_rendering import (
    Draws,
    Field,
    RayRendering,
    RenderConfig,
    coarse_samples,
    cut,
    importance_samples,
    middle_draws,
    ray_range,
)


class ReadableField(TriplaneField):
    """A `TriplaneField` that stacks the three planes' samples and takes their mean."""

    def raw(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """points [B, N, 3] -> raw density [B, N], features [B, N, F]."""
        raw, features = self.decoder(self._mean(self.planes, points))
        return (
            raw if self.geometry is None else self.decoder(self._mean(self.geometry, points))[0]
        ), features

    def _mean(self, planes: Tensor, points: Tensor) -> Tensor:
        if self.config.spheres:  # has no faster way
            return sample_planes(planes, points, self.config)
        unit = points * (2 / self.config.box_side)  # from scene units to [-1, 1]
        samples = []
        for plane, (column, row) in zip(planes.unbind(1), self.config.plane_axes, strict=True):
            axes = [AXES[column], AXES[row]]
            if plane.ndim == 4:  # [B, C, H, W]
                looked_up = F.grid_sample(plane, unit[:, None, :, axes], align_corners=False)
            elif self.config.slab:  # slice by slice
                shares = self.config.slice_weights(points[..., ({0, 1, 2} - set(axes)).pop()])
                looked_up = torch.zeros(())
                for one, share in zip(plane.unbind(2), shares, strict=True):
                    texels = F.grid_sample(one, unit[:, None, :, axes], align_corners=False)
                    looked_up = looked_up + share[:, None, None] * texels
            else:  # [B, C, D, H, W]
                axes += {0, 1, 2} - set(axes)
                looked_up = F.grid_sample(plane, unit[:, None, None, :, axes], align_corners=False)
            samples.append(looked_up.flatten(2).mT)  # [B, N, C]
        return torch.stack(samples).mean(0)


def composite(field: Field, raw: Tensor, features: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """NeRF's equation 3 by EG3D's midpoint rule: S samples bound S - 1 intervals, over which both are averaged.

    Args:
        raw: [B, R, S] densities before activation. features: [B, R, S, F]. t: [B, R, S] increasing, scene units.

    Returns:
        features [B, R, F] over black, the sum of weights times distance [B, R], weights [B, R, S - 1].
    """
    delta = t[..., 1:] - t[..., :-1]
    density = field.activate((raw[..., 1:] + raw[..., :-1]) / 2)
    colour = (features[..., 1:, :] + features[..., :-1, :]) / 2
    alpha = 1 - torch.exp(-density * delta)
    transmittance = torch.cat([torch.ones_like(alpha[..., :1]), (1 - alpha).cumprod(-1)], -1)[..., :-1]
    weights = transmittance * alpha
    return (weights[..., None] * colour).sum(-2), (weights * (t[..., 1:] + t[..., :-1]) / 2).sum(-1), weights


def look_up(
    field: Field, origins: Tensor, directions: Tensor, t: Tensor, config: RenderConfig
) -> tuple[Tensor, Tensor]:
    """Raw density [B, R, S] and features [B, R, S, F] at r(t) = o + t d, t [B, R, S]."""
    points = (origins[..., None, :] + t[..., None] * directions[..., None, :]).flatten(1, 2)
    raw, features = field.raw(points)
    return cut(raw, points, field, config).view(t.shape), features.view(*t.shape, -1)


def render_rays(
    field: Field, origins: Tensor, directions: Tensor, config: RenderConfig, *, draws: Draws | None = None
) -> RayRendering:
    """What rays see; all as `volume_rendering.render_rays`."""
    draws = draws or middle_draws(origins, config)
    near, far = ray_range(origins, directions, config, field.config.box_side)
    t = coarse_samples(near, far, draws.coarse, disparity=config.disparity)
    raw, features = look_up(field, origins, directions, t, config)
    if config.fine:
        _, _, weights = composite(field, raw, features, t)
        more = importance_samples(t, weights, draws.fine)
        more_raw, more_features = look_up(field, origins, directions, more, config)
        t, order = torch.cat([t, more], -1).sort(-1)
        raw = torch.cat([raw, more_raw], -1).gather(-1, order)
        features = torch.cat([features, more_features], -2)
        features = features.gather(-2, order[..., None].expand(-1, -1, -1, features.shape[-1]))
    values, distance, weights = composite(field, raw, features, t)
    opacity = weights.sum(-1)
    depth = torch.where(opacity > 0, distance / opacity.clamp(min=1e-30), torch.inf).clamp(t.min(), t.max())
    if config.white_back:
        values = values + (1 - opacity)[..., None]
    return RayRendering(values, depth, opacity)
