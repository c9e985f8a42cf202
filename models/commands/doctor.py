"""What is there and what is missing: devices, versions, weights; each lack with its remedy."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..checkpoint import read, shipped
from ..devices import accelerator
from ..metrics.vgg import load_vgg
from ..prior.families import family_of, load_generator
from ..prior.snapshots import SUFFIX

PACKAGES = (
    "torch",
    "diffusers",
    "safetensors",
    "nerfacc",
    "kornia",
    "einops",
    "pillow",
    "numpy",
    "scipy",
    "av",
    "scikit-image",
    "trimesh",
    "xatlas",
)
SHIPPED = (
    *(
        "prior",
        "encoder",
        "discriminator",
        "alignment",
        "autoencoder",
        "diffusion",
        "turbo",
        "hpdm",
        "zero123",
        "restoration",
    ),
    *("perceptual", "identity", "niqe", "mean_head"),
)


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and what to do (empty where all is well)."""

    subject: str
    found: str
    remedy: str = ""


def versions() -> list[Finding]:
    """Python, the machine, and the packages that the pack uses."""
    findings = [Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")]
    for name in PACKAGES:
        try:
            findings.append(Finding(name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            findings.append(
                Finding(name, "missing", "pip install -r requirements.txt with ComfyUI's own Python")
            )
    return findings


def devices() -> list[Finding]:
    """The CPU and whatever accelerators torch sees."""
    findings = [Finding("cpu", f"{torch.get_num_threads()} threads")]
    device = accelerator()
    if device is None:
        return [*findings, Finding("accelerator", "none; everything runs on the CPU")]
    kind = device.type
    for index in range(torch.accelerator.device_count()):
        name = torch.cuda.get_device_name(index) if kind == "cuda" else kind
        findings.append(Finding(f"{kind}:{index}", name))
    return findings


def weights(user_files: Sequence[Path] = (), vgg: Path | None = None) -> list[Finding]:
    """The weights that ship, and the user's: priors, and a VGG16 if there is one."""
    findings = [
        _weight(kind, shipped(kind), "get a complete copy of the pack: this file comes with it")
        for kind in SHIPPED
    ]
    findings += [
        _snapshot(path)
        if path.suffix == SUFFIX
        else _weight("prior", path, "choose a file made by this pack")
        for path in user_files
    ]
    return findings if vgg is None else [*findings, _vgg(vgg)]


def _vgg(path: Path) -> Finding:
    """The user's VGG16."""
    subject = f"weights: {path.name}"
    try:
        load_vgg(path)
    except ValueError as error:
        return Finding(
            subject,
            str(error),
            "replace it, or take it away: the prior's discriminator then compares pictures",
        )
    return Finding(subject, "VGG16; inversions compare pictures with it")


def _snapshot(path: Path) -> Finding:
    """A snapshot of the user's, read whole; it works, but a converted one is smaller and holds nothing else."""
    subject = f"weights: {path.name}"
    try:
        generator = load_generator(path)
    except ValueError as error:
        return Finding(subject, str(error), "choose another file, or take it away")
    numbers = sum(value.numel() for value in generator.state_dict().values())
    return Finding(
        subject,
        f"{family_of(generator)}, {numbers / 1e6:.2f} M parameters, {path.stat().st_size / 1e6:.1f} MB, a pickle, which is read without running it",
        f"portrait-diffusion convert {path.name} {path.stem}.safetensors makes {2 * numbers / 1e6:.1f} MB of it, which load at once",
    )


def _weight(kind: str, path: Path, remedy: str) -> Finding:
    """One weights file, read whole."""
    subject = f"weights: {path.name}"
    try:
        _, state = read(path, kind)
    except ValueError as error:
        return Finding(subject, str(error), remedy)
    return Finding(
        subject,
        f"{kind}, {sum(value.numel() for value in state.values()) / 1e6:.2f} M parameters, {path.stat().st_size / 1e6:.1f} MB",
    )


def examine(user_files: Sequence[Path] = (), vgg: Path | None = None) -> list[Finding]:
    """Everything, in the order in which one would ask; user_files and vgg as `weights`."""
    return [*versions(), *devices(), *weights(user_files, vgg)]


def as_text(findings: list[Finding]) -> str:
    """One line each, remedies indented below."""
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.subject:<{width}}  {finding.found}")
        if finding.remedy:
            lines.append(f"{'':<{width}}  -> {finding.remedy}")
    return "\n".join(lines)


def run(arguments: list[str]) -> None:
    """`portrait-diffusion doctor`: print everything."""
    argparse.ArgumentParser(prog="portrait-diffusion doctor", description=__doc__).parse_args(arguments)
    print(as_text(examine()))
