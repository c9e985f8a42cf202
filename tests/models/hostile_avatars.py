"""Small files of the networks that draw avatars that ask for much, and what the cascade's are to be loaded with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from portrait_diffusion.models.checkpoint import read_tensors
from safetensors.torch import save_file

from .avatar import small
from .hostile_files import BIG, ONE, Case, changed, weights


@cache
def small_avatars() -> dict[str, bytes]:
    """A small model of avatars: name of a file -> its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        return {path.name: path.read_bytes() for path in small.files(Path(folder))}


def cascade(kind: str, whole: bool = False, bases: str | None = None, **changes) -> Callable[[Path], None]:
    """A base model or an upsampler of one tensor (or of all that it had), with entries of its config replaced.

    What it is to be loaded with lies in a folder of its name.
    """

    def write(path: Path) -> None:
        folder = path.with_suffix("")
        folder.mkdir()
        for name, content in small_avatars().items():
            (folder / name).write_bytes(content)
        tensors, metadata = read_tensors(folder / f"{kind}.safetensors", kind)
        metadata["config"] = json.dumps(changed(json.loads(metadata["config"]), **changes))
        metadata["bases"] = metadata["bases"] if bases is None else bases
        save_file(tensors if whole else ONE, path, metadata)

    return write


def small_patches(path: Path) -> None:
    """A base model that makes a token of each place of a large portrait's map, and its upsampler, whole."""
    portrait = replace(small.PORTRAIT, size=512)
    network = replace(small.FILE_BASE.network, map_patches=(1, 8))
    folder = path.with_suffix("")
    folder.mkdir()
    files = small.files(
        folder,
        base_file=replace(small.FILE_BASE, network=network, portrait=portrait),
        upsampler_file=replace(small.FILE_UPSAMPLER, portrait=portrait),
    )
    path.write_bytes(files[1].read_bytes())


AVATARS: dict[str, Case] = {
    "avatars' decoder of 1e9": (
        "avatar_decoder",
        weights("avatar_decoder", field__hidden=BIG),
        ["FieldConfig: expected hidden"],
    ),
    "avatars' mean planes as large as may be": (
        "avatar_decoder",
        weights("avatar_decoder", field__channels=85, field__resolution=1024),
        ["missing"],
    ),
    "avatars' planes that diffusion cannot reach": (
        "avatar_decoder",
        weights("avatar_decoder", scale=1e-9),
        ["scale"],
    ),
    "avatars' decoder whose field is a list": (
        "avatar_decoder",
        weights("avatar_decoder", field=[]),
        ["avatar decoder's field"],
    ),
    "base model 1e9 wide": (
        "avatar_base",
        cascade("avatar_base", network__width=BIG),
        ["BaseConfig: expected width"],
    ),
    "base model of planes of 1e9": ("avatar_base", cascade("avatar_base", network__size=2**30), ["size"]),
    "base model of 1e9 channels": (
        "avatar_base",
        cascade("avatar_base", network__plane_channels=BIG),
        ["plane_channels"],
    ),
    "base model of 1e9 blocks": ("avatar_base", cascade("avatar_base", network__blocks=[1, BIG]), ["blocks"]),
    "base model of a million levels": (
        "avatar_base",
        cascade("avatar_base", network__multipliers=[1] * 10**5, network__blocks=[1] * 10**5),
        ["multipliers"],
    ),
    "base model of heads of nothing": (
        "avatar_base",
        cascade("avatar_base", network__head_channels=0),
        ["head_channels"],
    ),
    "base model of 1e6 heads": (
        "avatar_base",
        cascade("avatar_base", network__pooling_heads=10**6),
        ["pooling_heads"],
    ),
    "base model in no groups": ("avatar_base", cascade("avatar_base", network__groups=0), ["groups"]),
    "base model of maps of 1e9": (
        "avatar_base",
        cascade("avatar_base", network__map_channels=[16, BIG]),
        ["map_channels"],
    ),
    "base model of three maps in one list": (
        "avatar_base",
        cascade("avatar_base", network__map_channels=[16, 16, 16]),
        ["name each map in all four"],
    ),
    "base model of maps that no portrait has": (
        "avatar_base",
        cascade("avatar_base", True, network__map_taps=[6, 7]),
        ["at least 8 maps of the portrait"],
    ),
    "base model of patches of 1e9": (
        "avatar_base",
        cascade("avatar_base", network__latent_patch=BIG),
        ["latent_patch"],
    ),
    "base model of tokens of 1e9": (
        "avatar_base",
        cascade("avatar_base", network__token_width=BIG),
        ["token_width"],
    ),
    "base model that attends to all of large planes": (
        "avatar_base",
        cascade("avatar_base", True, network__size=512, network__attention=[512, 256]),
        ["attention at heights of up to"],
    ),
    "base model whose coarsest features are large": (
        "avatar_base",
        cascade("avatar_base", True, network__size=1024, network__attention=[], network__attention_maps=[]),
        ["attention at heights of up to"],
    ),
    "base model of wide features of large planes": (
        "avatar_base",
        cascade(
            "avatar_base",
            network__size=1024,
            network__width=64,
            network__multipliers=[1] * 5,
            network__blocks=[16] * 5,
            network__attention=[64],
            network__attention_maps=[0],
        ),
        ["features of up to"],
    ),
    "base model of 65536 tokens": (
        "avatar_base",
        small_patches,
        ["by up to 64 patches a side"],
    ),
    "base model of a portrait of 1e9": (
        "avatar_base",
        cascade("avatar_base", True, portrait__size=2**30),
        ["PortraitConfig: expected size"],
    ),
    "base model as large as may be": (
        "avatar_base",
        cascade(
            "avatar_base",
            network__size=16,
            network__width=1024,
            network__multipliers=[16] * 5,
            network__blocks=[16] * 5,
            network__attention=[16, 8, 4, 2, 1],
            network__attention_maps=[0, 1, 0, 1, 0],
            network__head_channels=1,
            network__token_width=4096,
        ),
        ["missing"],
    ),
    "base model of 1e9 steps": ("avatar_base", cascade("avatar_base", schedule__count=BIG), ["count"]),
    "base model whose network is a list": (
        "avatar_base",
        cascade("avatar_base", network=[]),
        ["avatar model's network"],
    ),
    "base model whose bases are null": (
        "avatar_base",
        cascade("avatar_base", bases="null"),
        ["a base's layout"],
    ),
    "base model whose bases are huge": (
        "avatar_base",
        cascade("avatar_base", bases=json.dumps({"decoder": ["a", [10**400]]})),
        ["a base's layout"],
    ),
    "base model of another decoder": (
        "avatar_base",
        cascade("avatar_base", bases=json.dumps({"decoder": ["a", [1.0] * 10**4]})),
        ["expected the decoder that it was trained with"],
    ),
    "upsampler 1e9 wide": (
        "avatar_upsampler",
        cascade("avatar_upsampler", network__width=BIG),
        ["UpsamplerConfig: expected width"],
    ),
    "upsampler of 1e9 pairs": ("avatar_upsampler", cascade("avatar_upsampler", network__body=BIG), ["body"]),
    "upsampler of 1e9 blocks": (
        "avatar_upsampler",
        cascade("avatar_upsampler", network__blocks=[BIG, 1]),
        ["blocks"],
    ),
    "upsampler of -1 blocks": (
        "avatar_upsampler",
        cascade("avatar_upsampler", network__blocks=[-1, 1]),
        ["blocks"],
    ),
    "upsampler of a vector of 1e9": (
        "avatar_upsampler",
        cascade("avatar_upsampler", network__embedding=BIG),
        ["embedding"],
    ),
    "upsampler of heads of nothing": (
        "avatar_upsampler",
        cascade("avatar_upsampler", network__head_channels=0),
        ["head_channels"],
    ),
    "upsampler of eight maps": (
        "avatar_upsampler",
        cascade(
            "avatar_upsampler",
            network__map_sides=list(range(1, 9)),
            network__map_taps=[0] * 8,
            network__map_channels=[16] * 8,
            network__map_patches=[8] * 8,
        ),
        ["one map at most"],
    ),
    "upsampler of patches of a word": (
        "avatar_upsampler",
        cascade("avatar_upsampler", network__map_patches="8"),
        ["map_patches"],
    ),
    "upsampler of planes of 2048": (
        "avatar_upsampler",
        cascade("avatar_upsampler", True, network__size=2048),
        ["UpsamplerConfig: expected size"],
    ),
    "upsampler of wide features of large planes": (
        "avatar_upsampler",
        cascade("avatar_upsampler", network__size=1024, network__width=256),
        ["features of up to"],
    ),
    "upsampler of planes coarser than coarse ones": (
        "avatar_upsampler",
        cascade("avatar_upsampler", True, network__size=4),
        ["finer ones from the upsampler"],
    ),
    "upsampler as large as may be": (
        "avatar_upsampler",
        cascade(
            "avatar_upsampler",
            network__size=16,
            network__width=1024,
            network__multipliers=[16] * 5,
            network__blocks=[16] * 5,
            network__body=16,
            network__embedding=8192,
            network__token_width=4096,
        ),
        ["missing"],
    ),
    "upsampler whose augmentation is a list": (
        "avatar_upsampler",
        cascade("avatar_upsampler", augmentation=[]),
        ["avatar model's augmentation"],
    ),
    "upsampler that is spoilt by a blur of 1e300": (
        "avatar_upsampler",
        cascade("avatar_upsampler", augmentation__blur=1e300),
        ["AugmentationConfig: expected blur"],
    ),
    "upsampler told of another portrait": (
        "avatar_upsampler",
        cascade("avatar_upsampler", True, portrait__size=128),
        ["told of a portrait alike"],
    ),
}
