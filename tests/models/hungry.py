"""Rendering that runs out of memory where too many rays are asked for at once, on the way there or on the way
back."""

from dataclasses import replace

import torch


class Return(torch.autograd.Function):
    """Features [1, R, F] as they are, whose gradient takes too much memory for more than `room` rays."""

    @staticmethod
    def forward(context, features, room):
        context.room = room
        return features.clone()

    @staticmethod
    def backward(context, gradient):
        if gradient.shape[1] > context.room:
            raise torch.OutOfMemoryError("out of memory")
        return gradient, None


def starve(monkeypatch, module, name, room, way):
    """Let a module's renderer have memory for `room` rays with a graph; way: "forward" or "backward"."""
    honest = getattr(module, name)

    def render(*arguments, **named):
        seen = honest(*arguments, **named)
        if way == "forward" and torch.is_grad_enabled() and seen.features.shape[1] > room:
            raise torch.OutOfMemoryError("out of memory")
        return replace(seen, features=Return.apply(seen.features, room))

    monkeypatch.setattr(module, name, render)
