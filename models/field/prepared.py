"""A tri-plane field made ready for many look-ups: same numbers, several times faster on a CPU, most of all with gradients.

Features of one texel lie together in one table, so that a point is a weighted sum of twelve rows of it (a tri-grid's: of up to 24)
and its gradient is the transposed sum, over points sorted by their texel. Points go through in blocks that stay in the processor's
cache; a gradient computes the blocks anew, so nothing per point is kept but what comes out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .triplane import AXES, Decoder, FieldConfig, TriplaneField

BLOCK = 1 << 13  # points; 64 hidden values of each fill 2 MB
STEEP = 60.0  # exp of more than this squared leaves single precision


@dataclass(frozen=True, kw_only=True)
class PreparedField(TriplaneField):
    """`prepare` makes it. It is as differentiable as the field it came from, except with respect to points.

    Attributes:
        table: [B * 3 * H * W * D, C] texels.
        layers: W1 [C, hidden], b1 [hidden], W2 [hidden, 1 + F], b2 [1 + F]: the decoder, with its gains and the mean over planes.
        bounded: no hidden value can be so large that its exponential overflows.
    """

    table: Tensor
    layers: tuple[Tensor, Tensor, Tensor, Tensor]
    bounded: bool

    def raw(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """As `TriplaneField.raw`."""
        if points.requires_grad:
            return TriplaneField.raw(self, points)
        raw, features = self.raw_of(points.flatten(0, 1), self.heads(points))
        return raw.view(points.shape[:-1]), features.view(*points.shape[:-1], -1)

    def raw_of(self, points: Tensor, heads: Tensor | None) -> tuple[Tensor, Tensor]:
        """points [N, 3] of the heads [N] (None: there is one) -> raw density [N], features [N, F]; no gradient to points."""
        heads = None if self.planes.shape[0] == 1 else heads
        return _Evaluate.apply(points.detach().to(self.table.dtype), self.table, *self.layers, heads, self)

    @torch.no_grad()
    def raw_density(self, points: Tensor) -> Tensor:
        """points [B, N, 3] -> density before its activation [B, N], without gradient: half the work of `raw`."""
        W1, b1, W2, b2 = self.layers
        flat, heads = points.flatten(0, 1).to(self.table.dtype), self.heads(points)
        out, density_row = flat.new_empty(len(flat)), W2[:, 0].contiguous()
        for part in blocks(flat):
            hidden = self.hidden(self.table, W1, b1, *corners(flat[part], self.config, None if heads is None else heads[part]))[1]
            torch.mv(hidden, density_row, out=out[part])
        return out.add_(b2[0]).view(points.shape[:-1])

    def density(self, points: Tensor) -> Tensor:
        """As `TriplaneField.density`."""
        flat = points.reshape(self.planes.shape[0], -1, 3)
        inside = (flat.abs() <= self.config.box_side / 2).all(-1)
        learns = torch.is_grad_enabled() and any(x.requires_grad for x in (points, self.table, *self.layers))
        raw = self.raw(flat)[0] if learns else self.raw_density(flat)
        return (self.activate(raw) * inside).view(points.shape[:-1])

    def hidden(self, table: Tensor, W1: Tensor, b1: Tensor, first: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of texels [N, C] and the hidden layer's outputs, softplus(x) = log(1 + exp(x)) [N, hidden]."""
        texels = sums(table, first, weights, self.config)
        hidden = torch.addmm(b1, texels, W1)
        return texels, hidden.exp_().add_(1).log_() if self.bounded else F.softplus(hidden)

    def heads(self, points: Tensor) -> Tensor | None:
        """Whose planes points [B, N, 3] see, [B * N]; None where there is but one head."""
        B, N = points.shape[:2]
        return None if B == 1 else torch.arange(B, device=points.device).repeat_interleave(N)


class _Evaluate(torch.autograd.Function):
    """Points [N, 3] -> raw density [N] and features [N, F], by blocks; the backward pass computes each block again."""

    @staticmethod
    def forward(ctx, points: Tensor, table: Tensor, W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor, heads: Tensor | None, field: PreparedField):
        density, features = points.new_empty(len(points)), points.new_empty(len(points), W2.shape[1] - 1)
        for part in blocks(points):
            _, hidden = field.hidden(table, W1, b1, *corners(points[part], field.config, None if heads is None else heads[part]))
            out = torch.addmm(b2, hidden, W2)
            density[part] = out[:, 0]
            activated(out[:, 1:], field.config.activation, features[part])
        ctx.save_for_backward(points, table, W1, b1, W2, features)
        ctx.heads, ctx.field = heads, field
        return density, features

    @staticmethod
    @once_differentiable
    def backward(ctx, by_density: Tensor, by_features: Tensor):
        points, table, W1, b1, W2, features = ctx.saved_tensors
        heads, field, grads = ctx.heads, ctx.field, [torch.zeros_like(x) for x in (table, W1, b1, W2, W2[0])]
        by_table, by_W1, by_b1, by_W2, by_b2 = grads
        for part in blocks(points):
            first, weights = corners(points[part], field.config, None if heads is None else heads[part])
            texels, hidden = field.hidden(table, W1, b1, first, weights)
            slope = slope_from_output(features[part], field.config.activation)
            by_out = torch.cat([by_density[part, None], by_features[part] * slope], 1)
            by_W2.addmm_(hidden.mT, by_out)
            by_b2 += by_out.sum(0)
            by_hidden = (by_out @ W2.mT).mul_(hidden.neg_().expm1_().neg_())  # softplus' = 1 - exp(-softplus)
            by_W1.addmm_(texels.mT, by_hidden)
            by_b1 += by_hidden.sum(0)
            add_transposed(by_table, first, weights, by_hidden @ W1.mT, field.config)
        return None, *grads, None, None


def prepare(field):
    """A `TriplaneField` made ready for many look-ups; any other field as it is.

    Do it once per change of the planes: it costs a copy of them.
    """
    if isinstance(field, PreparedField) or not (isinstance(field, TriplaneField) and isinstance(field.decoder, Decoder)):
        return field
    config, planes = field.config, field.planes
    planes = planes if planes.dtype == torch.float64 else planes.float()
    table = planes.movedim(2, -1)  # [B, 3, (D,) H, W, C]
    if config.depth:
        table = table.movedim(2, -2)
    table = table.reshape(-1, config.channels)
    W1, b1 = affine(field.decoder.net[0], config.channels, table)
    W2, b2 = affine(field.decoder.net[2], config.hidden, table)
    with torch.no_grad():
        largest = (table.abs().amax() * W1.abs().sum(0) + b1.abs()).amax() if len(table) else 0
    return PreparedField(planes, field.decoder, config, field.to_rgb, table=table, layers=(W1 / 3, b1, W2, b2), bounded=bool(largest < STEEP))


def affine(layer: nn.Module, inputs: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix [inputs, outputs] and bias [outputs] of a linear layer, whatever it does to its weights on the way."""
    probe = torch.cat([torch.zeros(1, inputs), torch.eye(inputs)]).to(like)
    answer = layer(probe)
    return answer[1:] - answer[:1], answer[0]


def blocks(points: Tensor) -> list[slice]:
    """Parts of points [N, 3] that a processor's cache holds; an accelerator takes them in larger ones."""
    size = BLOCK if points.is_cpu else BLOCK << 8
    return [slice(start, min(start + size, len(points))) for start in range(0, len(points), size)]


def tents(position: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Linear interpolation between `count` texels: the first of two, int32 [...], and both weights [..., 2, N]; 0 outside.

    Args:
        position: [..., N] in texels, 0 at the first one's centre.
    """
    first = position.floor().clamp_(0, max(count - 2, 0))
    offset = position - first
    weights = torch.stack([offset, offset - 1], -2) if count > 1 else offset[..., None, :]
    return first.int(), weights.abs_().neg_().add_(1).relu_()


def corners(points: Tensor, config: FieldConfig, heads: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The table's rows that points [N, 3] of the heads [N] lie between.

    Returns:
        The first row of each plane's, int32 [3, N], and the weights of all its corners [3, K, N]; the rows after the first are
        `steps` away.
    """
    H, D, scaled = config.resolution, config.depth, points.mT / config.box_side
    texel, weight = tents(scaled * H + (H / 2 - 0.5), H)
    columns, rows = ([AXES[axes[i]] for axes in config.plane_axes] for i in (0, 1))
    first = texel[rows] * H + texel[columns]
    first += torch.arange(3, dtype=first.dtype, device=first.device)[:, None] * (H * H)
    if heads is not None:
        first += heads.int() * (3 * H * H)
    weights = (weight[rows][:, :, None] * weight[columns][:, None]).flatten(1, 2)
    if D:
        thirds = [3 - a - b for a, b in zip(columns, rows, strict=True)]
        slices, tent = tents(scaled * D + (D / 2 - 0.5), D)
        first = first * D + slices[thirds]
        weights = (weights[:, :, None] * tent[thirds][:, None]).flatten(1, 2)
    return first, weights


def steps(config: FieldConfig) -> list[int]:
    """How far each corner's row in the table is from the first one's."""
    H, D = config.resolution, config.depth
    square = [0, 1, H, H + 1] if H > 1 else [0]
    return [s * D + i for s in square for i in range(min(2, D))] if D else square


def sums(table: Tensor, first: Tensor, weights: Tensor, config: FieldConfig) -> Tensor:
    """Weighted sums [N, C] of the table's rows around points; arguments as `corners` returns them."""
    rows = first[:, None] + first.new_tensor(steps(config))[:, None]
    rows, weights = rows.flatten(0, 1).mT.contiguous(), weights.flatten(0, 1).mT.contiguous()
    return F.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")


def add_transposed(table: Tensor, first: Tensor, weights: Tensor, values: Tensor, config: FieldConfig) -> None:
    """Add to the table what `sums` takes from it, in place: each point's values [N, C] times its weights.

    Points between the same texels are summed before they go there.
    """
    N = len(values)
    key, order = first.flatten().sort()
    key, count = torch.unique_consecutive(key, return_counts=True)
    bounds = F.pad(count.cumsum(0), (1, 0))
    weights = weights.transpose(0, 1).flatten(1)[:, order]  # [K, 3 * N]
    order = order % N
    for step, weight in zip(steps(config), weights, strict=True):
        summed = F.embedding_bag(order, values, bounds, per_sample_weights=weight, mode="sum", include_last_offset=True)
        table.index_add_(0, key.long() + step, summed)


def activated(out: Tensor, activation: str, into: Tensor) -> None:
    """The decoder's colour activation of out [N, F], written into another."""
    if activation == "sigmoid":
        torch.sigmoid(out, out=into)
        into.mul_(1.002).sub_(0.001)
    elif activation == "lrelu":
        into.copy_(F.leaky_relu(out, 0.2)).mul_(math.sqrt(2))
    else:
        into.copy_(out)


def slope_from_output(features: Tensor, activation: str) -> Tensor | float:
    """The derivative of `activated`, from what came out."""
    if activation == "sigmoid":
        share = (features + 0.001) / 1.002
        return share.mul_(1 - share).mul_(1.002)
    return (features > 0).to(features.dtype).mul_(0.8 * math.sqrt(2)).add_(0.2 * math.sqrt(2)) if activation == "lrelu" else 1.0
