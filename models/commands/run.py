"""`portrait-diffusion run PHOTO --out DIR`: the main path without ComfyUI, to files."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..devices import half_of_processors, pick_device
from ..distillation.refinement import PRESETS as REFINEMENTS
from ..embedded import avatar_on, distillation_on, load_weights, refiner_on
from ..fitting.inversion_config import PRESETS
from ..fitting.run import Progress
from ..head import save_head
from ..marks import invisible, visible
from ..mesh.gltf import to_glb
from ..mesh.video import write_mp4
from ..metrics.image import masked_psnr
from ..photo.reading import read_photo
from ..portrait import DELIVERED, Portrait3D, Refinement, Weights, portrait_to_3d
from ..refinements import TurboRefinement
from .report import Row, finish

NUMBER = 0  # what the invisible mark says, as of the node Mark Images
AVATAR = "avatar"  # in an inversion's place: drawn, not fitted


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of `run`.

    Raises:
        ValueError: a folder that cannot be written, or a negative number of a face.
    """
    parser = argparse.ArgumentParser(prog="portrait-diffusion run", description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--inversion",
        choices=[*PRESETS, AVATAR],
        help="default: quick; with --refine turbo the feed-forward head, at once; avatar: a head drawn by RodinHD's diffusion",
    )
    parser.add_argument(
        "--start",
        choices=["encoder", AVATAR],
        default="encoder",
        help="of an inversion: what the encoder sees in the photo, or a head drawn by RodinHD's diffusion",
    )
    parser.add_argument("--refine", choices=["none", "turbo", *REFINEMENTS], default="none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--face",
        type=int,
        default=0,
        help="of several people: 1 and up, as listed; 0 takes the large and central one",
    )
    parser.add_argument(
        "--vgg",
        type=Path,
        help="a VGG16 of yours (.safetensors, .pth, .pt, .ckpt, .bin): judges instead of the prior's discriminator",
    )
    parser.add_argument(
        "--mark",
        choices=["none", "visible", "invisible", "both"],
        default="none",
        help="says in the turntable and the views that a machine made them: words in a corner, a number that Read Mark finds, or both",
    )
    parser.add_argument("--json", help="also write the report here")
    options = parser.parse_args(arguments)
    if options.inversion is None and options.refine != "turbo":
        options.inversion = "quick"
    if options.start == AVATAR and options.inversion not in PRESETS:
        raise ValueError(
            f"--start: expected an inversion that begins at an avatar, got --inversion {options.inversion or 'none'}; add --inversion quick"
        )
    if options.face < 0:
        raise ValueError(f"--face: expected 0 or more, got {options.face}; count from 1, or leave it out")
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out: expected a folder, but {options.out.name} is a file; choose another name")
    return options


def to_pil(image: Tensor) -> Image.Image:
    """[3, H, W] in [0, 1] -> picture."""
    return Image.fromarray((image.clamp(0, 1) * 255).round().byte().movedim(0, -1).cpu().numpy())


def marked(images: Tensor, mark: str) -> Tensor:
    """Pictures [B, 3, H, W] in [0, 1], as `--mark` says."""
    return numbered(worded(images, mark), mark)


def marked_sheet(sheet: Tensor, mark: str) -> Tensor:
    """A sheet [3, 2 S, 8 S], as `--mark` says: words once, the number in each view, since so many side by side drown one that they share."""
    sheet = worded(sheet[None], mark)[0]
    side = sheet.shape[1] // 2
    views = sheet.unfold(1, side, side).unfold(2, side, side)  # [3, 2, 8, S, S]
    flat = numbered(views.permute(1, 2, 0, 3, 4).flatten(0, 1), mark)
    return flat.unflatten(0, views.shape[1:3]).permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2)


def worded(images: Tensor, mark: str) -> Tensor:
    """Pictures [B, 3, H, W], with words where `--mark` asks for them."""
    return visible.tag(images) if mark in ("visible", "both") else images


def numbered(images: Tensor, mark: str) -> Tensor:
    """Pictures [B, 3, H, W], with an invisible number where `--mark` asks for one."""
    return invisible.mark(images, NUMBER) if mark in ("invisible", "both") else images


def write_files(result: Portrait3D, out: Path, mark: str = "none") -> None:
    """portrait.glb, turntable.mp4, views.png, head.safetensors; mark: as of `marked`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "portrait.glb").write_bytes(to_glb(result.mesh, synthetic=True))
    write_mp4(marked(result.frames, mark), out / "turntable.mp4", fps=24)
    to_pil(marked_sheet(result.sheet(), mark)).save(out / "views.png")
    save_head(result.head, out / "head.safetensors")


def refinement_of(name: str, device: torch.device, weights: Weights) -> Refinement | None:
    """What goes on with the head after the prior, by its name on the command line."""
    if name == "none":
        return None
    if name == "turbo":
        return TurboRefinement(turbo=refiner_on(device))
    return distillation_on(device, weights.prior, name)


def result_rows(result: Portrait3D, weights: Weights, inversion: str | None) -> list[Row]:
    """Figures of a result: its own view, what compared pictures, its mesh."""
    reference = result.reference
    view = result.head.render(reference.camera[None], 128, normals=False).rgb
    psnr = masked_psnr(view, reference.on_white()[None], reference.mask[None])
    rows = [Row("portrait's own view", "PSNR inside the mask", psnr, "dB")]
    if inversion in PRESETS:
        eyes = weights.eyes()
        weight = PRESETS[inversion].perceptual if eyes.distance else 0.0
        print(f"pictures compared by {eyes.name}")
        rows.append(Row(f"inversion, pictures compared by {eyes.name}", "weight of the features", weight, ""))
    return [*rows, Row("mesh", "faces", len(result.mesh.faces), "")]


@half_of_processors()
def run(arguments: list[str]) -> None:
    """Read the photo, run the stages, write the files and the report."""
    options = parse(arguments)
    photo, alpha = read_photo(options.photo)
    device = pick_device()
    marks = [("weights", time.monotonic())]
    weights = load_weights(device, options.vgg)

    def stage(name: str) -> None:
        marks.append((name, time.monotonic()))
        print(f"{name} ...", flush=True)

    def step(now: Progress) -> None:
        if now.step % 20 == 0 or now.step == now.steps or now.loss is None:
            outcome = f"  {now.skipped} skipped" if now.loss is None else f"  loss {now.loss:.4f}"
            print(f"  step {now.step} of {now.steps}{outcome}", flush=True)

    result = portrait_to_3d(
        photo.to(device),
        weights,
        PRESETS.get(options.inversion),
        DELIVERED,
        generator=torch.Generator().manual_seed(options.seed),
        alpha=None if alpha is None else alpha.to(device),
        avatars=avatar_on(device) if AVATAR in (options.inversion, options.start) else None,
        refinement=refinement_of(options.refine, device, weights),
        face=options.face,
        callback=step,
        stage=stage,
        note=lambda sentence: print(f"  note: {sentence}", flush=True),
    )
    stage("files")
    write_files(result, options.out, options.mark)
    ends = [moment for _, moment in marks[1:]] + [time.monotonic()]
    rows = [Row(name, "time", end - start, "s") for (name, start), end in zip(marks, ends, strict=True)]
    rows += result_rows(result, weights, options.inversion)
    finish("run", rows, options.json)
    print(f"wrote portrait.glb, turntable.mp4, views.png, head.safetensors to {os.fspath(options.out)}")
