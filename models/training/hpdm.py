"""`train hpdm`: the branches that tell the embedded UNet what another view knows of this one.

Portrait Diffusion, eqs. 7 to 9: UNet and autoencoder are frozen; first the explicit branch learns, then the geo-block joins, then the
implicit branch, which begins as a copy of the explicit one. Noise prediction at uniform timesteps, rows of much noise weighing more:
there an error of the noise hardly shows, and colours are decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint import shipped, write
from ..diffusion.brushnet import BranchConfig, start_from_unet
from ..diffusion.embedded import PROMPTS, EmbeddedUNet, shipped_unet
from ..diffusion.hpdm import Fusion, Hpdm, HpdmConfig
from ..diffusion.schedule import add_noise
from ..synthetic.renders import cache_folder
from ..synthetic.splits import UPPER, VALIDATION
from .hpdm_data import LatentPairs, cached_latents
from .local import LocalRun, descend, initial_weights, rate_share, sitting, training_parser
from .turbo_data import shipped_stage

BATCH = 8
RATE = 4e-4
EMPTY = 0.1  # share of rows without a view prompt
HEAVIEST = 8.0  # a row weighs as its error in clean latents would, (1 - a) / a, but no more than this and no less than 1
NEAREST = 0.9  # of the way to the exact view: an inversion's coarse renders lie between those of the feed-forward head and the truth


@dataclass(frozen=True, kw_only=True)
class HpdmTraining:
    """Shares of the run from which the parts join; 1 and more for never."""

    geometry_from: float = 0.45
    implicit_from: float = 0.6


ABLATIONS: dict[str, Callable[[HpdmTraining], HpdmTraining]] = {
    "explicit": lambda plan: replace(plan, geometry_from=2.0, implicit_from=2.0),
    "geometry": lambda plan: replace(plan, implicit_from=2.0),
    "whole": lambda plan: plan,
}


def ablation_path(name: str) -> Path:
    """Where `train hpdm --ablation` leaves its branches."""
    return cache_folder() / "ablations" / f"hpdm-{name}.safetensors"


def branches_config(base: EmbeddedUNet, *, geometry: bool = True, implicit: bool = True) -> HpdmConfig:
    """Branches of the embedded UNet's size."""
    size = base.config
    branch = BranchConfig(
        channels=size.channels, layers=size.layers, groups=size.groups, latent_channels=size.latent_channels
    )
    return HpdmConfig(branch=branch, geometry=geometry, implicit=implicit, kernel=1)


def begun(base: EmbeddedUNet, config: HpdmConfig) -> Hpdm:
    """An HPDM whose branches have the UNet's own weights."""
    with initial_weights(5):
        network = Hpdm(config)
    for branch in (network.explicit, network.implicit):
        if branch is not None:
            start_from_unet(branch, base.unet.state_dict())
    return network


def noise_error(
    network: Hpdm,
    base: EmbeddedUNet,
    data: LatentPairs,
    rows: Tensor,
    empty: float,
    draws: torch.Generator,
    device: torch.device,
    heaviest: float = 1.0,
    nearest: float = 0.0,
    *,
    weight: float | None = None,
    geometry: bool = True,
    implicit: bool = True,
) -> Tensor:
    """Mean squared error [] of the predicted noise on rows [B] (indices) of the data at random timesteps.

    Args:
        heaviest: weight of a row at most; at 1 all weigh the same. nearest: how near to the exact view, at most, coarse renders are moved.
        weight, geometry, implicit: as `Hpdm.forward`.
    """
    denoiser = base.denoiser()
    z, prompts = data.clean[rows], data.prompts[rows]
    prompts = torch.where(torch.rand(len(rows), generator=draws) < empty, PROMPTS.index("empty"), prompts)
    t = torch.randint(len(denoiser.schedule), (len(rows),), generator=draws)
    noise = torch.randn(z.shape, generator=draws)
    nearer = torch.rand(len(rows), generator=draws) * nearest if nearest else None
    noisy, t = add_noise(denoiser.schedule, z, noise, t).to(device), t.to(device)
    with torch.autocast(device.type, torch.bfloat16):
        priors = data.priors(rows, device, nearer)
        residuals = network(noisy, t, priors, weight=weight, geometry=geometry, implicit=implicit)
        noise_pred = denoiser.told(residuals)(noisy, t, base.prompts(prompts.to(device)))
    a = denoiser.schedule.alpha(t, noisy)
    return ((noise_pred.float() - noise.to(device)).square() * ((1 - a) / a).clamp(1, heaviest)).mean()


@torch.no_grad()
def validate(network: Hpdm, base: EmbeddedUNet, data: LatentPairs, device: torch.device) -> dict[str, float]:
    """On validation pairs, the same draws every time: error of the noise with the branches, and of the UNet alone."""
    errors = []
    for weight in (None, 0.0):
        draws = torch.Generator().manual_seed(0)
        each = [
            noise_error(network, base, data, rows, 0.0, draws, device, weight=weight)
            for rows in torch.arange(len(data)).split(10)
        ]
        errors.append(torch.stack(each).mean().item())
    return dict(zip(("noise_mse", "noise_mse_alone"), errors, strict=True))


class HpdmRun:
    """One training: what a step does at each share of the run."""

    def __init__(
        self, network: Hpdm, base: EmbeddedUNet, plan: HpdmTraining, data: LatentPairs, device: torch.device
    ) -> None:
        self.network, self.base, self.plan, self.data, self.device = network, base, plan, data, device
        variables = [p for p in network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(variables, lr=RATE, betas=(0.9, 0.99), weight_decay=1e-3)
        self.draws = torch.Generator().manual_seed(5)

    def parts(self, progress: float) -> dict[str, bool]:
        """Which parts take part by now: those whose time has come, and those that have learnt in an earlier sitting.

        The implicit branch joins as a copy of the explicit one.
        """
        network, plan = self.network, self.plan
        has_joined = network.fusions is not None and any(
            fusion.conv2.weight.any() for fusion in network.fusions if isinstance(fusion, Fusion)
        )
        has_learnt = network.geometry is not None and bool(network.geometry.conv3.weight.any())
        taking = {
            "geometry": has_learnt or progress >= plan.geometry_from,
            "implicit": has_joined or progress >= plan.implicit_from,
        }
        if taking["implicit"] and network.implicit is not None and not has_joined:
            network.implicit.load_state_dict(network.explicit.state_dict())
        return taking

    def step(self, index: int, progress: float) -> dict[str, float]:
        """One step; its loss."""
        rows = torch.randint(len(self.data), (BATCH,), generator=self.draws)
        loss = noise_error(
            self.network,
            self.base,
            self.data,
            rows,
            EMPTY,
            self.draws,
            self.device,
            HEAVIEST,
            NEAREST,
            **self.parts(progress),
        )
        descend(loss, self.optimiser, RATE * rate_share(index, progress, warm_up=200, least=0.05))
        return {"loss": loss.item()}


def run(arguments: list[str]) -> None:
    """Train for `--minutes`, write the weights that ship, print the held-out figures."""
    parser = training_parser("hpdm", __doc__, minutes=60, heads=600)
    parser.add_argument(
        "--ablation", choices=ABLATIONS, help="leave parts out; the result is cached and does not ship"
    )
    options, device = sitting(parser, arguments)
    plan = ABLATIONS[options.ablation or "whole"](HpdmTraining())
    stage = shipped_stage(device)
    data = cached_latents(stage, UPPER[: options.heads], damage=True)
    held_out = cached_latents(stage, VALIDATION[:25], damage=False)
    base = shipped_unet().to(device)
    network = begun(
        base, branches_config(base, geometry=plan.geometry_from < 1, implicit=plan.implicit_from < 1)
    ).to(device)
    state = HpdmRun(network, base, plan, data, device)
    path = ablation_path(options.ablation) if options.ablation else shipped("hpdm")
    local = LocalRun(
        path.stem, network, state.optimiser, options.minutes, {"": "hpdm"} if options.ablation is None else {}
    )
    state.draws.manual_seed(5 + local.resume())
    ship = partial(write, path, "hpdm", network.config, network)
    local.run(state.step, options, lambda: validate(network, base, held_out, device), ship, digits=4)
