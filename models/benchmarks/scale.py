"""`bench scale`: the refinement loop at Portrait Diffusion's size with random weights: shapes on a CPU, seconds and memory on a GPU.

Tri-planes of 128 x 128 with 96 channels, pictures of 512 pixels, a UNet, branches and an autoencoder of Stable Diffusion 1.5's size. On a
CPU one reduced iteration runs: two views in the ring, 128 pixels. On a GPU the paper's: its times for `fast` and `detail` are projected,
with ten times our presets' iterations: a guess, for the paper tells hours and no iterations.

Then what restoration and refinement take at most at 512 pixels with the settings for cards of 8, 12 and 24 GiB: estimated anywhere,
measured on a GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from ..camera import frontal
from ..commands.report import Row, finish
from ..devices import pick_device
from ..diffusion.brushnet import BranchConfig
from ..diffusion.denoiser import DiffusersDenoiser
from ..diffusion.hpdm import Hpdm, HpdmConfig
from ..diffusion.new_views import DiffusionModel
from ..diffusion.schedule import stable_diffusion_schedule
from ..diffusion.usage import SD_1
from ..distillation.head_scene import RefineConfig
from ..distillation.refinement import PRESETS, Refinement, for_model
from ..distillation.restoration import Guides, Restoration, RestorationConfig
from ..field.triplane import Decoder, FieldConfig
from ..head import Head
from ..photo.alignment import AlignedPortrait
from .estimates import GIB, SETTINGS, Networks, Setting, estimate, outlines
from .options import bench_parser, called
from .public_sizes import SD_15, SD_VAE, random_networks

FIELD = FieldConfig(
    box_side=1.0,
    channels=32,
    depth=0,
    resolution=128,
    hidden=64,
    features=32,
    density_shift=-1.0,
    density_scale=30.0,
)
TOKENS = (5, 77, 768)
REDUCED = {"views": 2, "size": 128, "rays": 512, "coarse": 8, "fine": 8, "denoising_steps": 1}


def paper_head(size: int, device: torch.device) -> Head:
    """Fog in the paper's planes: as much work as a head."""
    planes = 0.5 * torch.randn(1, *FIELD.planes_shape, generator=torch.Generator().manual_seed(0))
    photo = AlignedPortrait(
        torch.full((3, size, size), 0.5),
        torch.ones(1, size, size),
        frontal(),
        torch.eye(3, dtype=torch.float64)[:2],
        (size, size),
    )
    return Head(planes.to(device), Decoder(FIELD).requires_grad_(False).to(device), FIELD, photo)


def paper_model(device: torch.device, dtype: torch.dtype) -> tuple[DiffusionModel, Hpdm, float]:
    """Stable Diffusion 1.5's sizes, both branches, random weights; and how many, in millions."""
    unet, vae = random_networks(SD_15, SD_VAE, device, dtype)
    with torch.device(device):
        branch = BranchConfig(channels=tuple(unet.config["block_out_channels"]), layers=2)
        network = Hpdm(HpdmConfig(branch=branch)).to(dtype).requires_grad_(False).eval()
    tokens = torch.randn(TOKENS, generator=torch.Generator().manual_seed(1)).to(device)
    model = DiffusionModel(
        denoiser=DiffusersDenoiser(unet, stable_diffusion_schedule()), vae=vae, tokens=tokens
    )
    return model, network, parameters(unet, vae, network)


def parameters(*modules: torch.nn.Module) -> float:
    """In millions."""
    return sum(p.numel() for module in modules for p in module.parameters()) / 1e6


def rows_of(
    config: RefineConfig, name: str, device: torch.device, dtype: torch.dtype, repeats: int
) -> list[Row]:
    """Of some iterations.

    Raises:
        ValueError: an iteration was skipped, or its targets are of another size.
    """
    model, network, millions = paper_model(device, dtype)
    run = Refinement(
        paper_head(config.size, device), model, network, config, torch.Generator().manual_seed(0)
    )
    gpu = device.type != "cpu"
    if gpu:
        torch.accelerator.reset_peak_memory_stats()
    seconds = []
    for _ in range(repeats + 1):
        if gpu:
            torch.accelerator.synchronize()
        start = time.perf_counter()
        report = run.iteration()
        if gpu:
            torch.accelerator.synchronize()
        seconds.append(time.perf_counter() - start)
    views = len(run.scene.order)
    if report is None:
        raise ValueError(
            "scale: expected finite numbers from random weights, got an iteration that was skipped; see the log"
        )
    targets = {None if one.target is None else tuple(one.target.shape) for one in report.states.values()}
    if targets != {(3, config.size, config.size)}:
        raise ValueError(f"scale: expected targets of {config.size} pixels, got {targets}")
    each = min(seconds[1:] or seconds)
    rows = [
        Row(name, "UNet, autoencoder and branches", millions, "M"),
        Row(name, "views", views, ""),
        Row(name, "an iteration", each, "s"),
    ]
    if gpu:
        rows.append(Row(name, "peak memory", torch.accelerator.max_memory_allocated() / 2**30, "GiB"))
        rows.append(
            Row(name, f"{config.iterations} iterations, projected", each * config.iterations / 60, "minutes")
        )
    return rows


def estimated_rows(networks: Networks, size: int) -> list[Row]:
    """Estimated peaks of every setting at size x size, and whether they fit its card."""
    rows = []
    for setting in SETTINGS:
        peaks = estimate(networks, setting, size)
        rows += [Row(setting.name, metric, value, "GiB") for metric, value in peaks.items()]
        rows.append(Row(setting.name, "fits", float(max(peaks.values()) < setting.gib), "of 1"))
    return rows


def measured_rows(
    setting: Setting,
    device: torch.device,
    dtype: torch.dtype,
    refinement: RefineConfig,
    restoration: RestorationConfig,
) -> list[Row]:
    """Measured peaks of one iteration and one step under a setting; what an accelerator allocated, 0 on a CPU."""
    model, network, _ = paper_model(device, dtype)
    head = paper_head(refinement.size, device)

    def peak(work: Callable[[], object]) -> float:
        if device.type == "cpu":
            work()
            return 0.0
        torch.accelerator.reset_peak_memory_stats()
        work()
        torch.accelerator.synchronize()
        return torch.accelerator.max_memory_allocated() / GIB

    refining = Refinement(head, model, network, refinement, torch.Generator().manual_seed(0))
    refining.scene.denoiser.batch.rows = setting.views
    peaks = {"refinement, measured peak": peak(refining.iteration)}
    del refining
    config = replace(restoration, graph_bytes=setting.graph_bytes)
    restoring = Restoration([head], Guides(model), config, torch.Generator().manual_seed(0))
    peaks["restoration, measured peak"] = peak(restoring.step)
    return [Row(setting.name, metric, value, "GiB") for metric, value in peaks.items()]


def run(arguments: list[str]) -> None:
    """Print the table."""
    parser = bench_parser("scale", __doc__)
    parser.add_argument("--repeats", type=int, default=2)
    device = pick_device()
    rows = []
    with called(parser, arguments) as options, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if device.type == "cpu":
            rows = rows_of(replace(PRESETS["fast"], **REDUCED), "reduced, cpu", device, torch.float32, 0)
        else:
            for preset in PRESETS:
                config = replace(
                    PRESETS[preset], size=512, resolution=0, iterations=10 * PRESETS[preset].iterations
                )
                rows += rows_of(config, f"{preset}, 512 pixels", device, torch.bfloat16, options.repeats)
            restoration = RestorationConfig().for_model(SD_1)
            refinement = for_model(replace(PRESETS["fast"], resolution=0), SD_1)
            for setting in SETTINGS:
                rows += measured_rows(setting, device, torch.bfloat16, refinement, restoration)
        rows += estimated_rows(outlines(), SD_1.size)
        finish("scale", rows, options.json)
