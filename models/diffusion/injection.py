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
    down, up = layers_of(unet, "down_blocks"), layers_of(unet, "up_blocks")
    others = [site for block in down for site in _sites_in(block, "downsamplers")]
    others.append(unet.get_submodule("mid_block"))
    others += [site for block in up for site in _sites_in(block, "upsamplers")]
    return Sites(layers_of(down[0], "resnets")[0], tuple(others))


def _sites_in(block: nn.Module, resamplers: str) -> list[nn.Module]:
    """Of one block: its attentions, or ResNets where it has none, then what changes the size."""
    return (layers_of(block, "attentions") or layers_of(block, "resnets")) + layers_of(block, resamplers)


def ldm_sites(unet: nn.Module) -> Sites:
    """Of a UNet in LDM's layout, ComfyUI's: blocks are lists of layers that are called one by one."""
    inputs = [list(block.children()) for block in layers_of(unet, "input_blocks")]
    others = [layers[-1] for layers in inputs[1:]] + [layers_of(unet, "middle_block")[-1]]
    for block in layers_of(unet, "output_blocks"):
        layers = list(block.children())
        upsampled = hasattr(layers[-1], "use_conv") and not hasattr(
            layers[-1], "emb_layers"
        )  # ends in neither ResNet nor attention
        others += layers[-2:] if upsampled else layers[-1:]
    return Sites(inputs[1][0], tuple(others))


def layers_of(module: nn.Module, name: str) -> list[nn.Module]:
    """A module's list of layers of this name; an empty one where it has none.

    Raises:
        ValueError: what has this name is no list.
    """
    layers = getattr(module, name, None)
    if layers is not None and not isinstance(layers, nn.ModuleList | nn.Sequential):
        raise ValueError(
            f"injection: expected a list of layers at {name}, got {type(layers).__name__}; use a UNet of Stable Diffusion's family"
        )
    return list(layers or ())


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
    handles += [
        module.register_forward_hook(_after(feature))
        for module, feature in zip(sites.others, features[1:], strict=True)
    ]
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
