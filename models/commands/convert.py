"""`portrait-diffusion convert FILE.pkl FILE.safetensors`: a small file that can be read at once out of a pickle, which is not run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint import save_tensors, write
from ..pickles.files import SUFFIXES, PickleFile, read_state
from ..prior.families import family_of, load_generator
from ..prior.snapshots import SUFFIX, named, network_of, state_of

CRITIC = "snapshot critic"  # the kind of file that D becomes
LARGEST = torch.finfo(torch.half).max


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of `convert`.

    Raises:
        ValueError: files of other kinds.
    """
    parser = argparse.ArgumentParser(prog="portrait-diffusion convert", description=__doc__)
    parser.add_argument(
        "file",
        type=Path,
        help=f"a snapshot of EG3D, PanoHead or SphereHead ({SUFFIX}), of which G_ema is kept, or a state dict of torch's ({', '.join(SUFFIXES)})",
    )
    parser.add_argument("out", type=Path, help="a .safetensors; one that is there is replaced")
    parser.add_argument(
        "--critic",
        type=Path,
        help="a .safetensors for the snapshot's discriminator D, with its arguments, for other programs: this pack compares pictures by your VGG16",
    )
    options = parser.parse_args(arguments)
    if options.file.suffix not in (SUFFIX, *SUFFIXES):
        raise ValueError(
            f"convert: expected a {SUFFIX}, {', '.join(SUFFIXES)} file, got {options.file.name}; choose another file"
        )
    for out in (options.out, options.critic):
        if out is not None and (out.suffix != ".safetensors" or out.is_dir()):
            raise ValueError(
                f"convert: expected a name that ends in .safetensors, got {out.name}; choose another name"
            )
    if options.critic is not None and (options.file.suffix != SUFFIX or options.critic == options.out):
        raise ValueError(
            f"convert: expected --critic with a snapshot ({SUFFIX}) and a name of its own, got {options.critic.name}; leave it out, or choose another name"
        )
    return options


def check_half(tensors: Mapping[str, Tensor], what: str) -> None:
    """Whether half precision holds what tensors (name -> [...]) do.

    Raises:
        ValueError: numbers that are too large for it, or none.
    """
    for name, value in tensors.items():
        if not bool((value.float().abs() <= LARGEST).all()):
            raise ValueError(
                f"{what}: expected numbers of up to {LARGEST:g}, but {name} has larger ones or none; choose another file"
            )


def apart(tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Tensors (name -> [...]) that share no numbers, as safetensors wants them; dtype: None for their own."""
    return {
        name: value.to(dtype or value.dtype).clone(memory_format=torch.contiguous_format)
        for name, value in tensors.items()
    }


def convert_snapshot(file: Path, out: Path) -> str:
    """Writes a snapshot's G_ema as a prior of ours, in half precision; says what it is.

    Raises:
        ValueError: as `load_generator` and `check_half`.
    """
    generator = load_generator(file)
    family = family_of(generator)
    check_half(generator.state_dict(), f"convert {file.name}")
    write(out, "prior", generator.config, generator, family=family)
    return f"{family}, {sum(value.numel() for value in generator.state_dict().values()) / 1e6:.2f} M numbers"


def convert_critic(file: Path, out: Path) -> str:
    """Writes a snapshot's D, its own names and arguments, in half precision; says what it is.

    Raises:
        ValueError: as `PickleFile`, `network_of` and `check_half`.
    """
    with PickleFile(file, "convert") as opened:
        network = network_of(opened, "D")
        tensors = {name: opened.tensor(stored) for name, stored in state_of(network).items()}
    made = {
        name: value
        for name, value in named(network.entry("_init_kwargs")).items()
        if isinstance(value, str | int | float | bool | None)
    }
    check_half(tensors, f"convert {file.name}")
    save_tensors(out, apart(tensors, torch.half), {"kind": CRITIC, "config": json.dumps(made)})
    return f"critic, {sum(value.numel() for value in tensors.values()) / 1e6:.2f} M numbers"


def convert_state(file: Path, out: Path) -> str:
    """Writes a state dict's tensors as they are, apart from each other; says how many.

    Raises:
        ValueError: as `read_state`.
    """
    tensors = read_state(file, "convert")
    save_tensors(out, apart(tensors), {"format": "pt"})
    return f"{len(tensors)} tensors"


def run(arguments: list[str]) -> None:
    """Read the file without running it, write the other, say how large they are."""
    options = parse(arguments)
    convert = convert_snapshot if options.file.suffix == SUFFIX else convert_state
    report = {options.out: convert(options.file, options.out)}
    if options.critic is not None:
        report[options.critic] = convert_critic(options.file, options.critic)
    for out, what in report.items():
        sizes = [f"{path.stat().st_size / 1e6:.1f} MB" for path in (options.file, out)]
        print(f"wrote {out.name}: {what}, {sizes[1]} out of {sizes[0]}")
