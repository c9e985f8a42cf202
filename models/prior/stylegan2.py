"""The layers of the generator family: mapping, modulated convolutions, and the synthesis network with its skip images.

StyleGAN2 (Karras et al. 2020), figure 2 and appendix B, in the variant that EG3D (Chan et al. 2022) builds on. Names and shapes of
the parameters are the family's, so that its checkpoints load; weights may be stored in another precision than the activations'.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..equalised import FullyConnected, normalize
from .resampling import fir_taps, upsample, upsampling_conv

NOISE_MODES = ("const", "random", "none")


class MappingNetwork(nn.Module):
    """Identity code and camera label -> one style for every row of the synthesis."""

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int,
        *,
        num_layers: int = 2,
        embed_features: int | None = None,
        layer_features: int | None = None,
        rate: float = 0.01,
        linear_end: bool = False,
        operations=torch.nn,
    ) -> None:
        """embed_features, layer_features: None for w_dim. c_dim: 0 for codes alone. linear_end: no activation after the last layer."""
        super().__init__()
        embed_width = (embed_features or w_dim) if c_dim else 0
        widths = [z_dim + embed_width, *[layer_features or w_dim] * (num_layers - 1), w_dim]
        self.num_ws, self.linear_end = num_ws, linear_end
        self.embed = FullyConnected(c_dim, embed_width, operations=operations) if c_dim else None
        for i in range(num_layers):
            self.add_module(
                f"fc{i}", FullyConnected(widths[i], widths[i + 1], rate=rate, operations=operations)
            )
        self.layers = num_layers
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def style(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """z [B, z_dim], c [B, c_dim] -> w [B, w_dim], before it is repeated and truncated.

        Raises:
            ValueError: the label is missing, or superfluous.
        """
        if (c is None) != (self.embed is None):
            wants = "codes alone" if self.embed is None else f"a camera label [B, {self.embed.in_features}]"
            raise ValueError(
                f"mapping: this generator maps {wants}, got {'no label' if c is None else f'a label {list(c.shape)}'}"
            )
        x = normalize(z)
        if self.embed is not None and c is not None:
            x = torch.cat([x, normalize(self.embed(c.to(z.dtype)))], dim=1)
        for i in range(self.layers):
            x = self.get_submodule(f"fc{i}")(x)
            if i + 1 < self.layers or not self.linear_end:
                x = F.leaky_relu(x, 0.2) * math.sqrt(2)
        return x

    def forward(
        self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """z [B, z_dim], c [B, c_dim] -> ws [B, num_ws, w_dim].

        Args:
            psi: truncation, 1 for none, 0 for the mean style. cutoff: rows that are truncated, None for all.
        """
        ws = self.style(z, c)[:, None].expand(-1, self.num_ws, -1)
        if psi == 1:
            return ws
        first_rows = torch.lerp(self.w_avg.to(ws.dtype), ws[:, :cutoff], psi)
        return first_rows if cutoff is None else torch.cat([first_rows, ws[:, cutoff:]], dim=1)

    @torch.no_grad()
    def update_average(self, w: Tensor, beta: float = 0.998) -> None:
        """Move the mean style towards the mean of w [B, w_dim]; for training."""
        self.w_avg.copy_(w.mean(dim=0).to(self.w_avg.dtype).lerp(self.w_avg, beta))


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """What brings each output channel back to unit variance: rsqrt of the modulated weights' energy.

    StyleGAN2, equation 3.

    Args:
        weight: [outputs, inputs, k, k]. styles: [B, inputs].

    Returns:
        [B, outputs], in float32 where the weights are in less.
    """
    precise = torch.promote_types(weight.dtype, torch.float32)
    energy = styles.to(precise).square() @ weight.to(precise).square().sum((2, 3)).mT
    return torch.rsqrt(energy + 1e-8)


class SynthesisLayer(nn.Module):
    """Modulated 3 x 3 convolution, noise, bias, activation.

    StyleGAN2, section 2.2, with the style applied to the activations rather than to the weights, so that a batch shares them.
    """

    noise_const: Tensor
    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        w_dim: int,
        resolution: int,
        *,
        up: bool = False,
        clamp: float | None = None,
        operations=torch.nn,
    ) -> None:
        """resolution: of the output. up: doubles the input's. clamp: largest magnitude of the output, None for any."""
        super().__init__()
        self.resolution, self.up, self.clamp = resolution, up, clamp
        self.affine = FullyConnected(w_dim, inputs, bias=1.0, operations=operations)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", fir_taps())

    def _noise(self, x: Tensor, mode: str, generator: torch.Generator | None) -> Tensor | None:
        """[H, W] or [B, 1, H, W] to be added, None for nothing."""
        if mode == "none":
            return None
        if mode == "const":
            noise = self.noise_const
        elif mode == "random" and generator is not None:
            shape = (x.shape[0], 1, *self.noise_const.shape)
            noise = torch.randn(shape, generator=generator, device=generator.device).to(x.device)
        else:
            raise ValueError(
                f"noise_mode: expected one of {', '.join(NOISE_MODES)} (random with a torch.Generator), got {mode!r}"
            )
        return (noise * self.noise_strength).to(x.dtype)

    def forward(
        self,
        x: Tensor,
        w: Tensor,
        noise_mode: str = "const",
        *,
        gain: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """x [B, inputs, H, W], w [B, w_dim] -> [B, outputs, resolution, resolution]."""
        styles, weight = self.affine(w).to(x.dtype), self.weight.to(x.dtype)
        if x.dtype == torch.float16:  # keeps sums in range; demodulation takes it out again
            styles = styles / styles.abs().amax(dim=1, keepdim=True)
            weight = weight * (weight[0].numel() ** -0.5 / weight.abs().amax((1, 2, 3), keepdim=True))
        amplify = math.sqrt(2) * gain  # passes through the leaky ReLU
        scale = demodulation(weight, styles) * amplify
        # The weights are less work than the activations, but the slopes by styles would then need those by weights.
        if len(x) == 1 and x.numel() > weight.numel() and not styles.requires_grad:
            weight = weight * (scale[0, :, None] * styles[0]).to(x.dtype)[:, :, None, None]
            y, scale = x, None
        else:
            y = x * styles[:, :, None, None]
        y = upsampling_conv(y, weight, self.resample_filter) if self.up else F.conv2d(y, weight, padding=1)
        shift = self.bias.to(y.dtype)[:, None, None]
        if (noise := self._noise(y, noise_mode, generator)) is not None:
            shift = shift + noise
        return self._activated(y, scale, shift * amplify, gain)

    def _activated(self, y: Tensor, scale: Tensor | None, shift: Tensor, gain: float) -> Tensor:
        """y [B, outputs, H, W] times scale [B, outputs], None for 1, plus shift [(B,) outputs or 1, H or 1, W or 1], leaky ReLU, clamp.

        Without a graph it is done in the convolution's own memory: new memory costs more than the arithmetic.
        """
        if scale is not None:
            scale = scale.to(y.dtype)[:, :, None, None]  # less precise than x under autocast
        limit = None if self.clamp is None else self.clamp * gain
        if torch.is_grad_enabled():
            y = y + shift if scale is None else torch.addcmul(shift, y, scale)
            y = F.leaky_relu(y, 0.2)
            return y if limit is None else y.clamp(-limit, limit)
        y = y.add_(shift) if scale is None else y.mul_(scale).add_(shift)
        y = F.leaky_relu(y, 0.2, inplace=True)
        return y if limit is None else y.clamp_(-limit, limit)


class ToRGB(nn.Module):
    """Modulated 1 x 1 convolution without demodulation: features -> a skip image of any number of channels."""

    def __init__(
        self, inputs: int, outputs: int, w_dim: int, *, clamp: float | None = None, operations=torch.nn
    ) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, inputs, bias=1.0, operations=operations)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def matrix(self, w: Tensor) -> Tensor:
        """w [B, w_dim] -> the modulated weights [B, outputs, inputs]."""
        styles = self.affine(w) * self.weight.shape[1] ** -0.5
        return self.weight[:, :, 0, 0].to(w.dtype) * styles[:, None]

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [B, inputs, H, W], w [B, w_dim] -> [B, outputs, H, W]."""
        matrix, bias = self.matrix(w).to(x.dtype), self.bias.to(x.dtype)
        if x.is_contiguous(memory_format=torch.channels_last):  # as its rows lie
            y = torch.baddbmm(bias, x.movedim(1, -1).flatten(1, 2), matrix.mT)
            y = y.unflatten(1, x.shape[2:]).movedim(-1, 1)
        else:
            y = torch.baddbmm(bias[:, None], matrix, x.flatten(2)).unflatten(2, x.shape[2:])
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class SynthesisBlock(nn.Module):
    """One resolution: (a learned constant or conv0), conv1, and what it adds to the skip image."""

    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        w_dim: int,
        resolution: int,
        image_channels: int,
        *,
        up: bool = True,
        clamp: float | None = None,
        operations=torch.nn,
    ) -> None:
        """inputs: 0 for the first block, which begins with the constant. up: whether conv0 and the skip image double their size."""
        super().__init__()
        self.up = up and inputs > 0
        self.num_convs = 2 if inputs else 1
        layer = {"clamp": clamp, "operations": operations}
        self.register_buffer("resample_filter", fir_taps())
        if inputs:
            self.conv0 = SynthesisLayer(inputs, outputs, w_dim, resolution, up=up, **layer)
        else:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        self.conv1 = SynthesisLayer(outputs, outputs, w_dim, resolution, **layer)
        self.torgb = ToRGB(outputs, image_channels, w_dim, **layer)

    def forward(
        self,
        x: Tensor | None,
        image: Tensor | None,
        ws: Tensor,
        noise_mode: str = "const",
        *,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """x [B, inputs, H, W] (None at the constant), image [B, image_channels, H, W] or None, ws [B, num_convs + 1, w_dim].

        Returns:
            x [B, outputs, resolution, resolution] and image [B, image_channels, resolution, resolution].
        """
        styles = iter(ws.unbind(1))
        if self.num_convs == 1:
            features = self.const.to(ws.dtype).expand(ws.shape[0], -1, -1, -1)
        else:
            features = self.conv0(x, next(styles), noise_mode, generator=generator)
        features = self.conv1(features, next(styles), noise_mode, generator=generator)
        rgb = self.torgb(features, next(styles))
        if image is None:
            return features, rgb
        return features, rgb + (upsample(image, self.resample_filter) if self.up else image)


def channels_at(resolution: int, channel_base: int, channel_max: int) -> int:
    """Feature channels at a resolution."""
    return min(channel_base // resolution, channel_max)


class SynthesisNetwork(nn.Module):
    """Styles -> image of any number of channels, doubling from the base resolution; skip architecture."""

    def __init__(
        self,
        w_dim: int,
        resolution: int,
        image_channels: int,
        *,
        channel_base: int = 32768,
        channel_max: int = 512,
        clamp: float | None = None,
        base_resolution: int = 4,
        operations=torch.nn,
    ) -> None:
        """base_resolution: size of the learned constant; 4 in the family, larger where all images share one frame, as aligned heads do.

        Raises:
            ValueError: resolution is not the base doubled some times, or a block would have no channels.
        """
        super().__init__()
        doublings = (resolution // base_resolution).bit_length() - 1
        if doublings < 0 or base_resolution << doublings != resolution or channel_base < resolution:
            raise ValueError(
                f"SynthesisNetwork: expected a resolution that is {base_resolution} doubled some times and at most channel_base "
                f"({channel_base}), got {resolution}; change resolution, base_resolution or channel_base"
            )
        self.w_dim = w_dim
        self.resolutions = [base_resolution << i for i in range(doublings + 1)]
        inputs = 0
        for r in self.resolutions:
            outputs = channels_at(r, channel_base, channel_max)
            self.add_module(
                f"b{r}",
                SynthesisBlock(inputs, outputs, w_dim, r, image_channels, clamp=clamp, operations=operations),
            )
            inputs = outputs
        self.num_ws = 2 * len(self.resolutions)  # ToRGB takes the style of the next block's first convolution

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "const",
        *,
        generator: torch.Generator | None = None,
        mean: Tensor | None = None,
        stop: int | None = None,
    ) -> Tensor:
        """ws [B, num_ws, w_dim] -> [B, image_channels, resolution, resolution], in the styles' precision.

        Args:
            noise_mode: "const" adds the stored noise, "random" draws it from `generator`, "none" adds nothing.
            mean: [image_channels, r, r], added to the skip image at r pixels.
            stop: one of `resolutions`, to end with the skip image of that size, for training from coarse to fine.

        Raises:
            ValueError: ws of another shape.
        """
        if ws.ndim != 3 or tuple(ws.shape[1:]) != (self.num_ws, self.w_dim):
            raise ValueError(
                f"synthesis: expected styles [B, {self.num_ws}, {self.w_dim}], got {list(ws.shape)}; use this generator's mapping"
            )
        smallest, *others = self.resolutions
        x, image = self._step(smallest, (None, None), ws[:, :2], noise_mode, generator, mean)
        for i, r in enumerate(others):
            if r == 2 * (stop or 0):
                break
            rows = ws[:, 2 * i + 1 : 2 * i + 4]  # two convolutions', and the next block's first for ToRGB
            x, image = self._step(r, (x, image), rows, noise_mode, generator, mean)
        return image

    def block(self, resolution: int) -> SynthesisBlock:
        """The block of one of `resolutions`."""
        part = self.get_submodule(f"b{resolution}")
        assert isinstance(part, SynthesisBlock)
        return part

    def _step(
        self,
        resolution: int,
        before: tuple[Tensor | None, Tensor | None],
        ws: Tensor,
        noise_mode: str,
        generator: torch.Generator | None,
        mean: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Features and skip image after the block of a resolution. Args: before: those of the block before it."""
        x, image = self.block(resolution)(*before, ws, noise_mode, generator=generator)
        if mean is not None and resolution == mean.shape[-1]:
            image = image + mean.to(image.dtype)
        return x, image
