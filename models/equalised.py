"""Linear layers with equalised learning rate, which generators, discriminators and fields are made of.

Progressive growing of GANs (Karras et al. 2018), section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _CastingLinear(nn.Linear):
    """A linear layer whose weights follow the input's precision, as ComfyUI's casting layers do."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        return F.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


@cache
def _equalised(linear: type[nn.Linear]) -> Callable[[int, int, float, float], nn.Linear]:
    """The class of equalised layers above a class of linear layers, which keeps that one's state dict."""

    class Equalised(linear):
        def __init__(self, inputs: int, outputs: int, rate: float, bias: float) -> None:
            super().__init__(inputs, outputs)
            self.rate = rate
            nn.init.normal_(self.weight, std=1 / rate)
            nn.init.constant_(self.bias, bias / rate)

        def forward(self, x: Tensor) -> Tensor:
            """[..., inputs] -> [..., outputs]."""
            return super().forward(x * self.in_features**-0.5) * self.rate

    return Equalised


def FullyConnected(
    inputs: int, outputs: int, *, rate: float = 1.0, bias: float = 0.0, operations=torch.nn
) -> nn.Linear:
    """A linear layer with equalised learning rate: y = rate * (W x / sqrt(inputs) + b).

    Progressive growing of GANs (Karras et al. 2018), section 4.1.

    Args:
        rate: the layer's learning rate relative to the others'; the stored weights are larger by its inverse.
        bias: every entry of b at the start, as it acts on y.
    """
    return _equalised(_CastingLinear if operations is torch.nn else operations.Linear)(
        inputs, outputs, rate, bias
    )


def normalize(x: Tensor) -> Tensor:
    """x [B, C] with mean square 1 over C."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)
