"""A tri-plane field made ready for many look-ups: same numbers, several times faster on a CPU, most of all with gradients.

Features of one texel lie together in one table (a tri-grid's: of all its slices), so that a point is a weighted sum of twelve rows of
it, and its gradient the transposed sum, over points sorted by their texel. Points go through in blocks that stay in the processor's
cache; a gradient computes the blocks anew, so nothing per point is kept but what comes out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .spheres import texels_last
from .triplane import AXES, Decoder, FieldConfig, TriplaneField

BLOCK = 1 << 12  # points; 64 hidden values of each fill 1 MB
STEEP = 60.0  # beyond it softplus(x) is 0 or x in any precision, and exp(x) slow or infinite


@dataclass(frozen=True, kw_only=True)
class PreparedField(TriplaneField):
    """`prepare` makes it, anew for other planes. It is as differentiable as the field it came from; points get their gradient there.

    Attributes:
        table: [B * 3 * H * W, D * C] texels (D is 1 for a tri-plane).
        layers: W1 [P * C, hidden], b1 [hidden], W2 [hidden, 1 + F], b2 [1 + F]: the decoder, with its gains and the mean over planes.
            P is 1 for a tri-plane; a tri-grid's slices are weighed and summed on the way, too, P = 3 * D.
        lattice: from points to the table's rows.
        shape_table: as `table`, of the planes that the density is read from, where it has planes of its own.
    """

    table: Tensor
    layers: tuple[Tensor, Tensor, Tensor, Tensor]
    lattice: Lattice
    shape_table: Tensor | None = None

    @property
    def scattered(self) -> bool:
        """It has `raw_of`."""
        return True

    def raw(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """As `TriplaneField.raw`."""
        if points.requires_grad:
            return TriplaneField.raw(self, points)
        raw, features = self.raw_of(points.flatten(0, 1), self.heads(points))
        return raw.view(points.shape[:-1]), features.view(*points.shape[:-1], features.shape[-1])

    def raw_of(self, points: Tensor, heads: Tensor | None) -> tuple[Tensor, Tensor]:
        """points [N, 3] of the heads [N] (None: there is one) -> raw density [N], features [N, F]; no gradient to points."""
        heads = None if self.planes.shape[0] == 1 else heads
        points = points.detach().to(self.table.dtype)
        with torch.autocast(points.device.type, enabled=False):  # row numbers need all their digits
            raw, features = _Evaluate.apply(points, self.table, *self.layers, heads, self)
            if self.shape_table is not None:
                W1, b1, W2, b2 = self.layers
                raw = _Evaluate.apply(points, self.shape_table, W1, b1, W2[:, :1], b2[:1], heads, self)[0]
        return raw, features

    @torch.no_grad()
    def raw_density(self, points: Tensor) -> Tensor:
        """points [B, N, 3] -> density before its activation [B, N], without gradient: half the work of `raw`."""
        table = self.table if self.shape_table is None else self.shape_table
        W1, b1, W2, b2 = self.layers
        flat, heads = points.flatten(0, 1).to(self.table.dtype), self.heads(points)
        out, density_row = flat.new_empty(len(flat)), W2[:, 0].contiguous()
        with torch.autocast(points.device.type, enabled=False):
            for part in blocks(flat):
                hidden = self.hidden(table, W1, b1, *self.corners(flat, heads, part))[1]
                torch.mv(hidden, density_row, out=out[part])
        return out.add_(b2[0]).view(points.shape[:-1])

    def density(self, points: Tensor) -> Tensor:
        """As `TriplaneField.density`."""
        flat = points.reshape(self.planes.shape[0], -1, 3)
        inside = self.config.inside(flat)
        tables = (self.table,) if self.shape_table is None else (self.shape_table,)
        learns = torch.is_grad_enabled() and any(x.requires_grad for x in (points, *tables, *self.layers))
        raw = self.raw(flat)[0] if learns else self.raw_density(flat)
        return (self.activate(raw) * inside).view(points.shape[:-1])

    def corners(
        self, points: Tensor, heads: Tensor | None, part: slice
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """`Lattice.corners` of a part of the points [N, 3] and of their heads [N], if there are several."""
        return self.lattice.corners(points[part], None if heads is None else heads[part])

    def hidden(
        self, table: Tensor, W1: Tensor, b1: Tensor, rows: Tensor, weights: Tensor, slices: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Weighted sums of texels [N, P * C] and the hidden layer's outputs, softplus(x) = log(1 + exp(x)) [N, hidden]."""
        texels = F.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")
        if slices is not None:
            texels = texels.view(slices.shape).mul_(slices)
        hidden = torch.addmm(b1, texels, W1)
        return texels, torch.maximum(hidden.clamp(-STEEP, STEEP).exp_().add_(1).log_(), hidden)

    def heads(self, points: Tensor) -> Tensor | None:
        """Whose planes points [B, N, 3] see, [B * N]; None where there is but one head."""
        B, N = points.shape[:2]
        return None if B == 1 else torch.arange(B, device=points.device).repeat_interleave(N)


class _Evaluate(torch.autograd.Function):
    """Points [N, 3] -> raw density [N] and features [N, F], by blocks; the backward pass computes each block again."""

    @staticmethod
    def forward(
        ctx,
        points: Tensor,
        table: Tensor,
        W1: Tensor,
        b1: Tensor,
        W2: Tensor,
        b2: Tensor,
        heads: Tensor | None,
        field: PreparedField,
    ):
        """Points [N, 3], table, layers, heads [N] or None -> raw density [N], features [N, F]."""
        density, features = points.new_empty(len(points)), points.new_empty(len(points), W2.shape[1] - 1)
        for part in blocks(points):
            _, hidden = field.hidden(table, W1, b1, *field.corners(points, heads, part))
            out = torch.addmm(b2, hidden, W2)
            density[part] = out[:, 0]
            activated(out[:, 1:], field.config.activation, features[part])
        ctx.save_for_backward(points, table, W1, b1, W2, features)
        ctx.heads, ctx.field = heads, field
        return density, features

    @staticmethod
    @once_differentiable
    def backward(ctx, by_density: Tensor, by_features: Tensor):
        """Slopes by density [N] and features [N, F] -> those by table and layers, of their shapes."""
        with torch.autocast(by_density.device.type, enabled=False):
            return None, *_gradients(ctx, by_density, by_features), None, None


def _gradients(ctx, by_density: Tensor, by_features: Tensor) -> list[Tensor]:
    """Of the table and of the layers; those of the layers stay zero where none is wanted."""
    points, table, W1, b1, W2, features = ctx.saved_tensors
    heads, field, grads = ctx.heads, ctx.field, [torch.zeros_like(x) for x in (table, W1, b1, W2, W2[0])]
    by_table, by_W1, by_b1, by_W2, by_b2 = grads
    decoder_learns = any(ctx.needs_input_grad[2:6])
    for part in blocks(points):
        rows, weights, slices = field.corners(points, heads, part)
        texels, hidden = field.hidden(table, W1, b1, rows, weights, slices)
        slope = slope_from_output(features[part], field.config.activation)
        by_out = torch.cat([by_density[part, None], by_features[part] * slope], 1)
        if decoder_learns:
            by_W2.addmm_(hidden.mT, by_out)
            by_b2 += by_out.sum(0)
        by_hidden = (by_out @ W2.mT).mul_(hidden.neg_().expm1_().neg_())  # softplus' = 1 - exp(-softplus)
        if decoder_learns:
            by_W1.addmm_(texels.mT, by_hidden)
            by_b1 += by_hidden.sum(0)
        if ctx.needs_input_grad[1]:
            by_texels = by_hidden @ W1.mT
            if slices is not None:
                by_texels = by_texels.mul_(slices).view(len(rows), -1)
            add_transposed(by_table, rows, weights, by_texels)
    return grads


def prepare(field):
    """A `TriplaneField` made ready for many look-ups; any other field as it is. One on spheres stays what it is, laid out anew.

    Do it once per change of the planes: it costs a copy of them.
    """
    if isinstance(field, PreparedField) or not (
        isinstance(field, TriplaneField) and isinstance(field.decoder, Decoder)
    ):
        return field
    if field.config.spheres:  # angles make no lattice
        own = None if field.geometry is None else texels_last(field.geometry)
        return replace(field, planes=texels_last(field.planes), geometry=own)
    config, (planes, table) = field.config, tabled(field.planes, field.config)
    geometry, shape_table = (None, None) if field.geometry is None else tabled(field.geometry, config)
    W1, b1 = affine(field.decoder.net[0], config.channels, table)
    W2, b2 = affine(field.decoder.net[2], config.hidden, table)
    W1 = W1.repeat(3 * config.depth or 1, 1)
    layers = W1 / 3, b1, W2, b2
    return PreparedField(
        planes,
        field.decoder,
        config,
        field.to_rgb,
        geometry,
        table=table,
        layers=layers,
        lattice=lattice(config, table),
        shape_table=shape_table,
    )


def tabled(planes: Tensor, config: FieldConfig) -> tuple[Tensor, Tensor]:
    """Planes [B, 3, C, (D,) H, W] in full precision, and their texels [B * 3 * H * W, D * C]."""
    planes = planes if planes.dtype == torch.float64 else planes.float()
    table = planes.movedim(2, -1)  # [B, 3, (D,) H, W, C]
    if config.depth:
        table = table.movedim(2, -2).flatten(-2)
    return planes, table.reshape(-1, table.shape[-1])


def affine(layer: nn.Module, inputs: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix [inputs, outputs] and bias [outputs] of a linear layer, whatever it does to its weights on the way."""
    probe = torch.cat([torch.zeros(1, inputs), torch.eye(inputs)]).to(like)
    answer = layer(probe)
    return answer[1:] - answer[:1], answer[0]


def blocks(points: Tensor) -> list[slice]:
    """Parts of points [N, 3] that a processor's cache holds; an accelerator takes them in larger ones."""
    size = BLOCK if points.is_cpu else BLOCK << 8
    return [slice(start, min(start + size, len(points))) for start in range(0, len(points), size)]


@dataclass(frozen=True)
class Lattice:
    """From points to the table's rows, as small matrices: a processor multiplies them faster than it rearranges numbers.

    Four corners lie around a point in each of three planes, so K = 12.

    Attributes:
        config: of the planes. texels: factor and summand, from scene units to texels, 0 at the first one's centre.
        last: texel where the last pair begins. rows: of one head.
        strides [3, K], start [K]: from a pair's texels to rows.
        row, column: [6, K], which of the axes' linear weights make each corner's.
        third: [3 * D, 3 * D * C], which slice's weight each of a corner's features takes; None for a tri-plane.
    """

    config: FieldConfig
    texels: tuple[float, float]
    last: int
    rows: int
    strides: Tensor
    start: Tensor
    row: Tensor
    column: Tensor
    third: Tensor | None

    def corners(self, points: Tensor, heads: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Around points [N, 3] of the heads [N]: the table's rows, int32, and their weights, 0 outside the planes.

        Returns:
            Both [N, K] and None for a tri-plane; for a tri-grid [3 * N, 4], a plane each, and [N, 3 * D * C], the slices' weights.
        """
        position = points * self.texels[0] + self.texels[1]
        first = position.floor().clamp_(0, self.last)
        rows = torch.addmm(self.start, first, self.strides).int()
        if heads is not None:
            rows += (heads * self.rows).int()[:, None]
        linear = position.sub_(first)
        linear = torch.cat([linear, linear - 1], 1).abs_().neg_().add_(1).relu_()
        weights = (linear @ self.row).mul_(linear @ self.column)
        if self.third is None:
            return rows, weights, None
        slices = torch.cat(self.config.slice_weights(points), 1)
        return rows.view(-1, 4), weights.view(-1, 4), slices @ self.third


def lattice(config: FieldConfig, like: Tensor) -> Lattice:
    """The lattice of a config, in the precision of `like` [...]."""
    H, D, C = config.resolution, max(config.depth, 1), config.channels
    columns, rows = ([AXES[axes[i]] for axes in config.plane_axes] for i in (0, 1))
    corners = [(plane, r, c) for plane in range(3) for r in (0, 1) for c in (0, 1)]
    axes, pick = torch.eye(3).to(like), torch.eye(6).to(like)
    third = None
    if H == 1:
        pick[3:] = 0  # a single texel has no second
    if config.depth:
        axis = [3 * d + 3 - columns[plane] - rows[plane] for plane in range(3) for d in range(D)]
        third = torch.eye(3 * D).to(like)[:, axis].repeat_interleave(C, 1)
    return Lattice(
        config=config,
        texels=(H / config.box_side, H / 2 - 0.5),
        last=max(H - 2, 0),
        rows=3 * H * H,
        strides=torch.stack([H * axes[rows[plane]] + axes[columns[plane]] for plane, _, _ in corners], 1),
        start=like.new_tensor([plane * H * H + min(r, H - 1) * H + min(c, H - 1) for plane, r, c in corners]),
        row=torch.stack([pick[3 * r + rows[plane]] for plane, r, _ in corners], 1),
        column=torch.stack([pick[3 * c + columns[plane]] for plane, _, c in corners], 1),
        third=third,
    )


def add_transposed(table: Tensor, rows: Tensor, weights: Tensor, values: Tensor) -> None:
    """Add to the table what weighted sums over its rows took from it, in place: values [M, C] times weights [M, K], to rows [M, K].

    Values between the same texels are summed before they go there.
    """
    planes = rows.shape[1] // 4
    rows, weights = rows.view(-1, 4), weights.view(-1, 4)
    first, order = rows[:, 0].sort()
    first, count = torch.unique_consecutive(first, return_counts=True)
    bounds = F.pad(count.cumsum(0), (1, 0))
    weights = weights[order].mT.contiguous()
    order = order // planes
    for step, weight in zip((rows[0] - rows[0, 0]).tolist(), weights, strict=True):
        sums = F.embedding_bag(
            order, values, bounds, per_sample_weights=weight, mode="sum", include_last_offset=True
        )
        table.index_add_(0, first.long() + step, sums)


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
    """The derivative of `activated`, from what came out [N, F]: [N, F], or 1 where there is no activation."""
    if activation == "sigmoid":
        share = (features + 0.001) / 1.002
        return share.mul_(1 - share).mul_(1.002)
    return (
        (features > 0).to(features.dtype).mul_(0.8 * math.sqrt(2)).add_(0.2 * math.sqrt(2))
        if activation == "lrelu"
        else 1.0
    )
