"""The families of generators: by which name a file calls each, and how a generator is made of a file's config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ..bounds import configured, shown
from ..checkpoint import assigned, build, read_with_facts
from ..field.triplane import FieldConfig
from ..field.volume_rendering import RenderConfig
from .config import GeneratorConfig
from .contract import HeadGenerator
from .eg3d import Generator
from .panohead import PanoHeadGenerator
from .snapshots import SUFFIX, WHAT, read_snapshot
from .spherehead import SphereHeadConfig, SphereHeadGenerator


@dataclass(frozen=True)
class Family:
    """How a file's generator is made. Attributes: config: of the plain values in the file. module: of that config."""

    config: Callable[[object], GeneratorConfig]
    module: type[Generator]


def read_config(values: object, kind: type[GeneratorConfig] = GeneratorConfig) -> GeneratorConfig:
    """A config of plain values, nested: EG3D's and PanoHead's, or of another kind.

    Raises:
        ValueError: they are not of this version.
    """
    what, noun = "head prior", "of a generator "
    parts = values if isinstance(values, dict) else {}
    own = {
        "field": configured(FieldConfig, parts.get("field"), what, noun),
        "render": configured(RenderConfig, parts.get("render"), what, noun),
    }
    return configured(kind, parts | own, what, noun)


DEFAULT = "panohead"  # of files that were written before they named one
FAMILIES = {
    "panohead": Family(read_config, PanoHeadGenerator),
    "eg3d": Family(read_config, Generator),
    "spherehead": Family(partial(read_config, kind=SphereHeadConfig), SphereHeadGenerator),
}


def family_of(generator: HeadGenerator) -> str:
    """The name under which a file keeps a generator.

    Raises:
        ValueError: it is of no family that can be loaded again.
    """
    for name, family in FAMILIES.items():
        if type(generator) is family.module:
            return name
    raise ValueError(
        f"head prior: expected a generator of {', '.join(FAMILIES)}, got {type(generator).__name__}; add it to the families"
    )


def generator_from(config: object, family: str = DEFAULT, *, operations=torch.nn) -> Generator:
    """A generator with the config (plain values, nested) that a file names, frozen, in evaluation mode.

    Raises:
        ValueError: no such family, or the config is not one of its own.
    """
    if family not in FAMILIES:
        raise ValueError(
            f"head prior: expected a family among {', '.join(FAMILIES)}, got {shown(family)}; update this pack"
        )
    kind = FAMILIES[family]
    return kind.module(kind.config(config), operations=operations).requires_grad_(False).eval()


def load_generator(path: Path) -> Generator:
    """A generator from a weights file of ours, or from a snapshot of EG3D's, PanoHead's or SphereHead's (.pkl), frozen, on the CPU.

    Raises:
        ValueError: as `checkpoint.read`, `generator_from` and `checkpoint.build`; or `read_snapshot`.
    """
    what = f"{WHAT} {Path(path).name}"
    if Path(path).suffix == SUFFIX:
        family, sizes, state = read_snapshot(path)
        return assigned(lambda: FAMILIES[family].module(sizes).requires_grad_(False).eval(), state, what)
    config, state, facts = read_with_facts(path, "prior")
    family = facts.get("family", DEFAULT)
    return build(lambda: generator_from(config, family), state, what)
