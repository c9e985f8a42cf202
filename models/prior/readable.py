"""The readable twin of synthesis: StyleGAN2 as its paper writes it, weights modulated for each head, zeros between pixels, no thought
of speed.

StyleGAN2 (Karras et al. 2020), section 2.2 and equations 1 to 3; EG3D (Chan et al. 2022), section 4. Tests compare `stylegan2` and the
generators with it, and `bench generator` measures them against it. Weights are read off our modules.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..camera import camera_from_label, rays
from ..field.readable import ReadableField, render_rays
from .eg3d import Generator, SuperResolution, resized
from .spherehead import Mix, SphereHeadGenerator
from .stylegan2 import SynthesisBlock, SynthesisLayer, SynthesisNetwork, ToRGB


def filtered(image: Tensor, taps: Tensor) -> Tensor:
    """Each channel of [B, C, H, W] with the low-pass filter [4, 4], gain 4: [B, C, H - 3, W - 3]."""
    return torch.cat([F.conv2d(channel, 4 * taps[None, None]) for channel in image.split(1, 1)], 1)


def zeros_between(image: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 2H, 2W], a zero after every pixel and row."""
    B, C, H, W = image.shape
    wide = image.new_zeros(B, C, H, 2, W, 2)
    wide[:, :, :, 0, :, 0] = image
    return wide.view(B, C, 2 * H, 2 * W)


def upsampled(image: Tensor, taps: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 2H, 2W]."""
    return filtered(F.pad(zeros_between(image), (2, 1, 2, 1)), taps)


def layer(module: SynthesisLayer, x: Tensor, w: Tensor, noise_mode: str) -> Tensor:
    """x [B, inputs, H, W], w [B, w_dim] -> [B, outputs, resolution, resolution]: modulate, demodulate, convolve, noise, bias, activation."""
    styles = module.affine(w)
    weight = module.weight * styles[:, None, :, None, None]  # equation 1
    weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)  # equation 3
    heads = []
    for one, kernel in zip(x.split(1), weight, strict=True):
        if module.up:
            wide = F.conv_transpose2d(one, kernel.transpose(0, 1), stride=2)
            heads.append(filtered(F.pad(wide, (1, 1, 1, 1)), module.resample_filter))
        else:
            heads.append(F.conv2d(one, kernel, padding=1))
    y = torch.cat(heads)
    if noise_mode == "const":
        y = y + module.noise_const * module.noise_strength
    y = F.leaky_relu(y + module.bias[:, None, None], 0.2) * math.sqrt(2)
    return y if module.clamp is None else y.clamp(-module.clamp, module.clamp)


def to_rgb(module: ToRGB, x: Tensor, w: Tensor) -> Tensor:
    """x [B, inputs, H, W], w [B, w_dim] -> [B, outputs, H, W]: modulated, not demodulated."""
    styles = module.affine(w) / math.sqrt(module.weight.shape[1])
    heads = [
        F.conv2d(one, module.weight * style[:, None, None])
        for one, style in zip(x.split(1), styles, strict=True)
    ]
    y = torch.cat(heads) + module.bias[:, None, None]
    return y if module.clamp is None else y.clamp(-module.clamp, module.clamp)


def block(
    module: SynthesisBlock, x: Tensor | None, image: Tensor | None, ws: Tensor, noise_mode: str
) -> tuple[Tensor, Tensor]:
    """As `SynthesisBlock`: x [B, inputs, H, W], image [B, C, H, W], ws [B, convolutions + 1, w_dim] -> both at its resolution."""
    if x is None:
        x = module.const.expand(len(ws), -1, -1, -1)
    else:
        x = layer(module.conv0, x, ws[:, 0], noise_mode)
    x = layer(module.conv1, x, ws[:, -2], noise_mode)
    rgb = to_rgb(module.torgb, x, ws[:, -1])
    if image is None:
        return x, rgb
    return x, rgb + (upsampled(image, module.resample_filter) if module.up else image)


def network(module: SynthesisNetwork, ws: Tensor, noise_mode: str = "const") -> Tensor:
    """ws [B, num_ws, w_dim] -> [B, image_channels, resolution, resolution]; a block shares its last style with the next."""
    smallest, *others = module.resolutions
    x, image = block(module.block(smallest), None, None, ws[:, :2], noise_mode)
    for i, resolution in enumerate(others):
        x, image = block(module.block(resolution), x, image, ws[:, 2 * i + 1 : 2 * i + 4], noise_mode)
    return image


def planes(generator: Generator, ws: Tensor, noise_mode: str = "const") -> Tensor:
    """As `Generator.planes`: ws [B, num_ws, w_dim] -> [B, 3, C, (D,) H, W]; SphereHead's by one layer after the other.

    Raises:
        ValueError: a generator with mean planes, which only the embedded prior has.
    """
    if generator.config.mean_resolution:
        raise ValueError(
            "readable planes: expected a generator without mean planes, got the embedded prior's; use another"
        )
    flat = network(generator.backbone.synthesis, ws, noise_mode)
    if not isinstance(generator, SphereHeadGenerator):
        return flat.unflatten(1, generator.config.field.planes_shape[:-2])
    spheres = []
    for layers in (generator.ConvA, generator.ConvB):
        sphere = flat
        for one in layers:
            if isinstance(one, Mix):
                sphere = F.conv2d(sphere, one.weight / math.sqrt(one.weight.shape[1]))
        spheres.append(sphere.unflatten(1, (3, -1)))
    return torch.stack(spheres, 3)


def super_resolution(module: SuperResolution, rgb: Tensor, features: Tensor, ws: Tensor) -> Tensor:
    """As the module: rgb [B, 3, R, R], features [B, F, R, R], ws [B, any, w_dim] -> [B, 3, resolution, resolution], without noise."""
    last = ws[:, -1:].expand(-1, 3, -1)
    side = module.worked_at(rgb.shape[-1])
    if side != rgb.shape[-1]:
        rgb, features = (resized(x, side, module.antialias) for x in (rgb, features))
    features, rgb = block(module.block0, features, rgb, last, "none")
    return block(module.block1, features, rgb, last, "none")[1]


def synthesis(generator: Generator, ws: Tensor, c: Tensor, resolution: int | None = None) -> Tensor:
    """The final pictures [B, 3, S, S], about -1 .. 1, of heads ws [B, num_ws, w_dim] from the cameras of labels c [B, 25].

    Args:
        resolution: pixels of the raw picture, None for the config's.

    Raises:
        ValueError: as `planes`; or a generator without super-resolution.
    """
    module, R = generator.superresolution, resolution or generator.config.raw_resolution
    if module is None:
        raise ValueError(
            "readable synthesis: expected a generator that super-resolves, got one without; use another"
        )
    layer_of_colours = generator.colour_layer(ws)
    field = ReadableField(planes(generator, ws), generator.decoder, generator.config.field, layer_of_colours)
    origins, directions = (x.flatten(1, 2) for x in rays(camera_from_label(c), R, R))
    samples = render_rays(field, origins, directions, generator.config.render)
    features, opacity = (x.mT.unflatten(2, (R, R)) for x in (samples.features, samples.opacity[..., None]))
    features, rgb = generator.compose(generator.signed(features), opacity, ws)
    return super_resolution(module, rgb, features, ws)
