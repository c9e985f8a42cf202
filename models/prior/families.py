"""The families of generators: by which name a file calls each, and how a generator is made of a file's config."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from ..bounds import configured, shown
from ..checkpoint import build, read_with_facts
from ..field.triplane import FieldConfig
from ..field.volume_rendering import RenderConfig
from .contract import HeadGenerator
from .eg3d import Generator, GeneratorConfig
from .panohead import PanoHeadGenerator

DEFAULT = "panohead"  # of files that were written before they named one
FAMILIES: dict[str, type[Generator]] = {"panohead": PanoHeadGenerator, "eg3d": Generator}


def family_of(generator: HeadGenerator) -> str:
    """The name under which a file keeps a generator.

    Raises:
        ValueError: it is of no family that can be loaded again.
    """
    for name, kind in FAMILIES.items():
        if type(generator) is kind:
            return name
    raise ValueError(f"head prior: expected a generator of {', '.join(FAMILIES)}, got {type(generator).__name__}; add it to the families")


def generator_from(config: object, family: str = DEFAULT, *, operations=torch.nn) -> HeadGenerator:
    """A generator with the config (plain values, nested) that a file names, frozen, in evaluation mode.

    Raises:
        ValueError: no such family, or the config is not one of its own.
    """
    what, noun = "head prior", "of a generator "
    if family not in FAMILIES:
        raise ValueError(f"{what}: expected a family among {', '.join(FAMILIES)}, got {shown(family)}; update this pack")
    parts = config if isinstance(config, dict) else {}
    own = {
        "field": configured(FieldConfig, parts.get("field"), what, noun),
        "render": configured(RenderConfig, parts.get("render"), what, noun),
    }
    made = FAMILIES[family](configured(GeneratorConfig, parts | own, what, noun), operations=operations)
    return cast(HeadGenerator, made.requires_grad_(False).eval())


def load_generator(path: Path) -> HeadGenerator:
    """A generator from a weights file, frozen, on the CPU.

    Raises:
        ValueError: as `checkpoint.read`, `generator_from` and `checkpoint.build`.
    """
    config, state, facts = read_with_facts(path, "prior")
    family = facts.get("family", DEFAULT)
    return build(lambda: generator_from(config, family), state, f"head prior {Path(path).name}")
