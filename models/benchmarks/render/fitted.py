"""Fields for benches: planes and decoder fitted to the exact views of one head of the factory, cached outside the tree."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...checkpoint import read_tensors, save_tensors
from ...field.prepared import prepare
from ...field.triplane import Decoder, FieldConfig, TriplaneField
from ...synthetic.renders import FACTORY_VERSION, Renders, cache_folder, render_seed
from ...training.prior_rays import GuidedSampling, draw_rays, guided_samples, ray_losses, render_guided
from ..keys import code_key

TRIPLANE = FieldConfig(
    box_side=0.84, channels=32, depth=0, resolution=128, hidden=64, features=32
)  # as EG3D's, at half its resolution

SAMPLING = GuidedSampling(free=10, near=12, band=0.05)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Attributes:
    views, size: of the exact pictures. steps, rays: per fit, per step. rate: of Adam at the start.
    smooth, sparse: weights of the planes' total variation and of opacity at random points. sampling: of the rays.
    """

    views: int = 24
    size: int = 192
    steps: int = 600
    rays: int = 1536
    rate: float = 0.03
    smooth: float = 2.0
    sparse: float = 0.3
    sampling: GuidedSampling = SAMPLING


def fitted_field(seed: int, config: FieldConfig, fit: Fit) -> TriplaneField:
    """A field of the head `seed`, from the cache, or fitted and put there; prints progress."""
    path = (
        cache_folder()
        / f"fitted-{FACTORY_VERSION}"
        / f"{seed}-{code_key(__file__, (config, fit))}.safetensors"
    )
    if not path.is_file():
        save_field(fit_field(exact_views(seed, fit), config, fit), path)
    return load_field(path)


def save_field(field: TriplaneField, path: Path) -> None:
    """Write planes, decoder and config."""
    state = {f"decoder.{name}": value.contiguous() for name, value in field.decoder.state_dict().items()}
    save_tensors(
        path, {"planes": field.planes.contiguous(), **state}, {"config": json.dumps(asdict(field.config))}
    )


def load_field(path: Path) -> TriplaneField:
    """Read what `save_field` wrote."""
    tensors, metadata = read_tensors(path, "fitted field")
    config = FieldConfig(**json.loads(metadata["config"]))
    decoder = Decoder(config)
    decoder.load_state_dict(
        {name.removeprefix("decoder."): value for name, value in tensors.items() if name != "planes"}
    )
    return TriplaneField(tensors["planes"], decoder.requires_grad_(False), config)


def exact_views(seed: int, fit: Fit) -> Renders:
    """One head's pictures as the trainings read them."""
    return Renders(**{key: value[None] for key, value in render_seed(seed, fit.views, fit.size).items()})


def fit_field(truth: Renders, config: FieldConfig, fit: Fit) -> TriplaneField:
    """Adam on planes and decoder, on rays sampled about the known surface."""
    generator = torch.Generator().manual_seed(0)
    decoder = Decoder(config)
    with torch.no_grad():
        for weights in decoder.parameters():
            weights.copy_(torch.randn(weights.shape, generator=generator) * (weights.ndim > 1))
        last = decoder.get_parameter("net.2.weight")
        last[0] *= 8 / config.density_scale**0.25  # walls need densities of hundreds
    planes = (torch.randn(1, *config.planes_shape, generator=generator) * 0.1).requires_grad_()
    optimiser = torch.optim.Adam([planes, *decoder.parameters()], lr=fit.rate, betas=(0.9, 0.99))
    start = time.monotonic()
    for step in range(fit.steps):
        optimiser.param_groups[0]["lr"] = fit.rate * (
            0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / fit.steps))
        )
        loss = fit_loss(TriplaneField(planes, decoder, config), truth, fit, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 99:
            print(
                f"fitting: step {step + 1} of {fit.steps}, loss {loss.item():.4f}, {time.monotonic() - start:.0f} s",
                flush=True,
            )
    return TriplaneField(planes.detach(), decoder.requires_grad_(False), config)


def fit_loss(field: TriplaneField, truth: Renders, fit: Fit, generator: torch.Generator) -> Tensor:
    """Loss [] of rays from six views, and what keeps places empty and smooth that no view shows."""
    batch = draw_rays(
        truth, torch.zeros(1, dtype=torch.long), 6, fit.rays // 6, generator, field.planes.device
    )
    t = guided_samples(batch, fit.sampling, field.config.box_side, generator)
    lookup = prepare(field)
    terms = ray_losses(render_guided(lookup, batch, t), batch, torch.rand(3, generator=generator))
    points = (torch.rand(1, 4096, 3, generator=generator) - 0.5) * (
        1.08 * field.config.box_side
    )  # renderers look past it, too
    anywhere = -torch.expm1(-0.02 * field.activate(lookup.raw(points)[0])).mean()
    rough = field.planes.diff(dim=-1).square().mean() + field.planes.diff(dim=-2).square().mean()
    return (
        4 * terms["colour"]
        + 0.3 * terms["opacity"]
        + terms["distance"]
        + fit.sparse * anywhere
        + fit.smooth * rough
    )
