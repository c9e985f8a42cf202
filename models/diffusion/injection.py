"""Features added inside a frozen UNet at the places where BrushNet's land: hooks on a stock network, gone when the call is over.

As BrushNet's released code does: the first is added to what runs on after the input convolution, not to the skip
that is kept of it; the others after every ResNet with its attention, every down- and upsampler and the middle,
before the sum is kept or passed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Sites:
    """Where features are added, one module a tap: before the first, after all others."""

    first: nn.Module
    others: tuple[nn.Module, ...]

    def __len__(self) -> int:
        return 1 + len(self.others)


def diffusers_sites(unet: nn.Module) -> Sites:
    """Of a diffusers `UNet2DConditionModel`."""
    others = []

    def block(part: nn.Module, ends: nn.ModuleList | None) -> None:
        attentions = getattr(part, "attentions", None)
        others.extend(attentions if attentions is not None else part.resnets)
        others.extend(ends or ())

    for part in unet.down_blocks:
        block(part, part.downsamplers)
    others.append(unet.mid_block)
    for part in unet.up_blocks:
        block(part, part.upsamplers)
    return Sites(unet.down_blocks[0].resnets[0], tuple(others))


def ldm_sites(unet: nn.Module) -> Sites:
    """Of a UNet in LDM's layout, ComfyUI's: blocks are lists of layers that are called one by one."""
    others = [block[-1] for block in unet.input_blocks[1:]] + [unet.middle_block[-1]]
    for block in unet.output_blocks:
        upsampled = hasattr(block[-1], "use_conv") and not hasattr(block[-1], "emb_layers")  # ends in neither ResNet nor attention
        others += block[-2:] if upsampled else block[-1:]
    return Sites(unet.input_blocks[1][0], tuple(others))


@contextmanager
def injected(find: Callable[[], Sites], features: Sequence[Tensor] | None) -> Iterator[None]:
    """Inside, a UNet's calls add the features [B, C, h, w], one a site; then it is as it was. None adds nothing.

    Raises:
        ValueError: not one feature a site.
    """
    if features is None:
        yield
        return
    sites = find()
    if len(features) != len(sites):
        raise ValueError(
            f"injection: expected a feature for each of the UNet's {len(sites)} taps, got {len(features)}; use a branch made for it"
        )
    handles = [sites.first.register_forward_pre_hook(_before(features[0]))]
    handles += [module.register_forward_hook(_after(feature)) for module, feature in zip(sites.others, features[1:], strict=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _before(feature: Tensor) -> Callable:
    def hook(module: nn.Module, arguments: tuple) -> tuple:
        return (arguments[0] + feature.to(arguments[0]), *arguments[1:])

    return hook


def _after(feature: Tensor) -> Callable:
    def hook(module: nn.Module, arguments: tuple, output):
        if isinstance(output, tuple):  # a diffusers transformer with return_dict=False
            return (output[0] + feature.to(output[0]), *output[1:])
        return output + feature.to(output)

    return hook
