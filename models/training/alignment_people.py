"""`train alignment --factory 3`: snapshots of people of scan shapes -> 68 points, soft mask, presence, depth and normals."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint import read, shipped, write
from ..devices import channels_last
from ..photo.detection import find_people
from ..photo.network import POINTS, AlignmentConfig, AlignmentNetwork, alignment_network_from, six_of_68
from ..photo.pose import SHAPES, FaceShape, fit_pose
from ..synthetic.people.statistics import landmark_statistics
from ..synthetic.renders import cache_folder
from ..synthetic.splits import PRIOR, VALIDATION
from .alignment_losses import loss_of, surface_loss
from .local import LocalRun, descend, initial_weights, rate_share
from .people_scenes import PeopleScenes, PeopleStage, backdrops_of, draw_people_scenes, writing_of
from .people_views import PeopleViews, cache_views, cached_seeds, first_people, read_views, rendering

BATCH = 32
RATE = 2e-3
CONFIG = AlignmentConfig(channels=(24, 40, 72, 112, 144), landmarks=POINTS["68"], points="68", surface=True)
LEAST_PEOPLE = 8  # before a training begins
REFRESH = 100  # steps between looks for new people in the cache
FINDING_ERROR = 0.003  # scene units, about half a percent of the crop: what is added to people's spread
ONLY_FACES, NO_FACES = (1.0, 1.0, 1.0), (0.0, 0.4, 0.6)  # as of `people_scenes.SHARES`


def people_options(parser: argparse.ArgumentParser) -> None:
    """The options of factory 3."""
    parser.add_argument("--factory", type=int, choices=(2, 3), help="3 where the scans are present, else 2")
    parser.add_argument("--workers", type=int, default=1, help="processes that render people of factory 3")
    parser.add_argument(
        "--validate", action="store_true", help="train nothing; print the shipped and new network's figures"
    )
    parser.add_argument(
        "--pictures", type=int, default=200, help="of faces, and as many of none, to validate"
    )
    parser.add_argument("--held-out", type=int, default=48, help="people of the validation split")
    parser.add_argument("--new", type=Path, default=None, help="weights of factory 3, in and out")


def new_weights(options: argparse.Namespace) -> Path:
    """Where what was learnt from factory 3 lies until it is compared and ships: outside the tree."""
    return options.new or cache_folder() / "train" / "alignment-3-weights.safetensors"


def scan_shape(seeds: range = PRIOR[:400], scans: Path | None = None) -> FaceShape:
    """The 68 points' means and spreads of factory 3's people, with what finding them adds.

    Made symmetrical and rounded they are `photo.pose.SIXTY_EIGHT`, over which networks of 68 points lay faces.

    Args:
        seeds: people. scans: where the model lies.

    Raises:
        ValueError: fewer than two seeds, or no scans.
    """
    mean, deviation = landmark_statistics(seeds, scans)
    spread = (deviation.double().square().mean(1) + FINDING_ERROR**2).sqrt()
    return FaceShape(mean.double(), spread)


def six_shape(shape: FaceShape) -> FaceShape:
    """The six landmarks of `photo.network.LANDMARKS` among 68, for comparisons."""
    return FaceShape(six_of_68(shape.points), six_of_68(shape.spread[:, None])[:, 0])


def set_people_stage(views: PeopleViews, backdrops: int, seed: int) -> PeopleStage:
    """People, places and writing of a seed."""
    return PeopleStage(
        views, backdrops_of(backdrops, CONFIG.size, seed), writing_of(backdrops, CONFIG.size, seed)
    )


def people_loss(network: AlignmentNetwork, scenes: PeopleScenes, device: torch.device) -> dict[str, Tensor]:
    """Losses [] by name; their sum is what is descended."""
    scenes = PeopleScenes(**{name: value.to(device) for name, value in vars(scenes).items()})
    with torch.autocast(device.type, torch.bfloat16):
        finding = network(scenes.image.contiguous(memory_format=torch.channels_last))
    return {"old": loss_of(finding, scenes), "surface": surface_loss(finding, scenes)}


def train_people(options: argparse.Namespace, device: torch.device) -> None:
    """Train for `--minutes`, from `new_weights` where there are any, while `--workers` processes render `--heads` people."""
    seeds = PRIOR[: options.heads]
    with initial_weights(1):
        network = AlignmentNetwork(CONFIG)
    if new_weights(options).is_file():
        network = alignment_network_from(*read(new_weights(options), "alignment")).train().requires_grad_()
        print(f"going on from {new_weights(options).name}", flush=True)
    network = channels_last(network.to(device))
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-4)
    local = LocalRun("alignment_people", network, optimiser, options.minutes)
    draws = local.draws(1)
    with rendering(seeds, options.workers) as workers:
        seen = first_people(seeds, LEAST_PEOPLE, workers)
        stage = set_people_stage(read_views(seen), 300, seed=1)
        local.start = time.monotonic()

        def step(index: int, progress: float) -> dict[str, float]:
            nonlocal stage
            if index % REFRESH == 0:
                stage = _with_new_people(stage, seeds, seen)
            terms = people_loss(network, draw_people_scenes(stage, BATCH, draws), device)
            descend(
                sum(terms.values(), torch.zeros((), device=device)),
                optimiser,
                RATE * rate_share(index, progress, least=0.01),
            )
            return {name: value.item() for name, value in terms.items()} | {"people": float(len(seen))}

        local.train(step, options)
    write(new_weights(options), "alignment", CONFIG, network, steps=str(local.step), people=str(len(seen)))
    print(f"{local.step} steps; weights in {new_weights(options).name}; compare with --validate", flush=True)


def _with_new_people(stage: PeopleStage, seeds: range, seen: list[int]) -> PeopleStage:
    """The stage with what has been rendered since, whose seeds join `seen`."""
    new = sorted(set(cached_seeds(seeds)) - set(seen))
    if not new:
        return stage
    seen += new
    more = read_views(new)
    joined = {
        field.name: torch.cat([getattr(stage.views, field.name), getattr(more, field.name)])
        for field in fields(PeopleViews)
    }
    return replace(stage, views=PeopleViews(**joined))


@dataclass(frozen=True)
class Judged:
    """A network and the shape that its points are held against: the six's, or that of its 68."""

    network: AlignmentNetwork
    shape: FaceShape


def held_out_scenes(
    stage: PeopleStage, count: int, shares: tuple[float, float, float]
) -> Iterator[PeopleScenes]:
    """`count` snapshots one by one, all with a face (shares ONLY_FACES) or all without."""
    generator = torch.Generator().manual_seed(2)
    given = 0
    while given < count:
        scenes = draw_people_scenes(stage, BATCH, generator, shares)
        for i in range(BATCH):
            if given < count and bool(scenes.face[i]) == (shares == ONLY_FACES):
                given += 1
                yield PeopleScenes(**{name: value[i : i + 1] for name, value in vars(scenes).items()})


@torch.no_grad()
def validate_people(judged: Judged, stage: PeopleStage, count: int, device: torch.device) -> dict[str, float]:
    """Figures on `count` pictures with a face and `count` without; NaN for what the network does not tell.

    Points in % of the pupils' distance; angles in degrees; depth in % of the pupils' distance; normals in degrees; refusals of
    `find_people`, shares.
    """
    network = judged.network.to(device).eval()
    rows, false_refusals = [], 0
    for scenes in held_out_scenes(stage, count, ONLY_FACES):
        rows.append(face_errors(judged, scenes, device))
        false_refusals += not _accepts(scenes.image[0], network, device)
    refusals = sum(
        not _accepts(scenes.image[0], network, device) for scenes in held_out_scenes(stage, count, NO_FACES)
    )
    figures = {}
    for name in rows[0]:
        values = torch.tensor([row[name] for row in rows])
        figures[name] = float(values.nanmedian() if name.endswith("median") else values.nanmean())
    return figures | {"refused_without_face": refusals / count, "refused_with_face": false_refusals / count}


def face_errors(judged: Judged, scenes: PeopleScenes, device: torch.device) -> dict[str, float]:
    """Errors of one picture with a face."""
    finding = judged.network(scenes.image.to(device))
    size = scenes.image.shape[-1]
    six, points = finding.landmarks()[0].cpu(), finding.points()[0].cpu()
    shared = 100 * (six - six_of_68(scenes.places)).norm(dim=-1).mean() / scenes.pupils
    knows_68 = points.shape[-2] == POINTS["68"]
    all_68 = 100 * (points - scenes.places).norm(dim=-1).mean() / scenes.pupils if knows_68 else None
    pose = fit_pose(points[0].double() * size, shape=judged.shape)
    turns = ((pose.yaw, scenes.yaw), (pose.pitch, scenes.pitch), (pose.roll, scenes.roll))
    yaw, pitch, roll = (abs(math.degrees(math.remainder(a - float(b), math.tau))) for a, b in turns)
    mask, truth = finding.mask.cpu().sigmoid(), scenes.mask
    area = scenes.surface.sum().clamp_min(1)
    depth = normals = math.nan
    if finding.depth is not None and finding.normals is not None and bool(scenes.surface.any()):
        depth = float(100 * ((finding.depth.cpu() - scenes.depth).abs() * scenes.surface).sum() / area)
        cosine = (finding.normals.cpu() * scenes.normal).sum(1, keepdim=True).clamp(-1, 1)
        normals = math.degrees(float((cosine.acos() * scenes.surface).sum() / area))
    return {
        "six_points_mean": float(shared),
        "six_points_median": float(shared),
        "68_points_mean": math.nan if all_68 is None else float(all_68),
        "68_points_median": math.nan if all_68 is None else float(all_68),
        "yaw_median": yaw,
        "pitch_median": pitch,
        "roll_median": roll,
        "scale_percent_median": 100 * abs(pose.scale / size / float(scenes.scale) - 1),
        "mask_iou": float(torch.minimum(mask, truth).sum() / torch.maximum(mask, truth).sum().clamp_min(1)),
        "depth_percent": depth,
        "normals_degrees": normals,
    }


def _accepts(image: Tensor, network: AlignmentNetwork, device: torch.device) -> bool:
    """Whether a face is seen in a picture [3, S, S]."""
    try:
        find_people(image.to(device), network, turns=False)
    except ValueError:
        return False
    return True


def compare(options: argparse.Namespace, device: torch.device) -> None:
    """Print the shipped network's figures and the new one's, where there is one, side by side."""
    seeds = VALIDATION[: options.held_out]
    cache_views(list(seeds))
    stage = set_people_stage(read_views(list(seeds)), 100, seed=90_000)
    networks = {"shipped": shipped("alignment"), "new": new_weights(options)}
    columns = {}
    for name, path in networks.items():
        if path.is_file():
            network = alignment_network_from(*read(path, "alignment"))
            judged = Judged(network, SHAPES[network.config.landmarks])
            columns[name] = validate_people(judged, stage, options.pictures, device)
    print(f"{'':24}" + "".join(f"{name:>12}" for name in columns))
    for row in next(iter(columns.values())):
        print(f"{row:24}" + "".join(f"{figures[row]:12.3f}" for figures in columns.values()))
