"""Small files that ask for much: what each is, who loads it, and what it is told."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from .hostile_avatars import AVATARS
from .hostile_files import (
    BIG,
    DEEP,
    ONE,
    Case,
    empties,
    entry,
    first_version,
    head,
    head_with,
    header,
    weights,
)
from .hostile_networks import NETWORKS
from .hostile_pickles import PICKLES
from .hostile_pickles import SUFFIXES as FOREIGN

WIDE = {"w_dim": 8192, "channel_max": 4096, "channel_base": 2**17, "mapping_layers": 32, "z_dim": 8192}

CASES: dict[str, Case] = {
    # the header, whoever reads it
    "a million empty tensors": ("head", empties(10**6), ["names, shapes and metadata", "choose"]),
    "a hundred thousand empty tensors": ("head", empties(10**5), ["up to 20000 tensors", "100000"]),
    "complex tensor": ("head", header({"planes": entry("C64", [1], 0, 8)}, bytes(8)), ["C64 for planes"]),
    "float8 tensor": (
        "head",
        header({"planes": entry("F8_E4M3", [8], 0, 8)}, bytes(8)),
        ["F8_E4M3 for planes"],
    ),
    "float8 of the other kind": (
        "prior",
        header({"a": entry("F8_E5M2", [8], 0, 8)}, bytes(8)),
        ["F8_E5M2 for a"],
    ),
    "unsigned tensor": ("hpdm", header({"a": entry("U32", [2], 0, 8)}, bytes(8)), ["U32 for a"]),
    "numbers of half a byte": ("vgg", header({"a": entry("F4", [16], 0, 8)}, bytes(8)), ["vgg: expected"]),
    "type that nobody knows": ("head", header({"a": entry("X99", [2], 0, 8)}, bytes(8)), ["another format"]),
    "empty tensor of many sides": (
        "head",
        header({"a": entry("F32", [0, 2**40, 2**20])}),
        ["a file of its length can hold"],
    ),
    "sides that overflow": ("head", header({"a": entry("F32", [2**62, 2**62, 4])}), ["expected"]),
    "tensor of 5000 dimensions": (
        "head",
        header({"a": entry("F32", [1] * 5000, 0, 4)}, bytes(4)),
        ["a file of its length can hold"],
    ),
    "very long name": (
        "prior",
        header({"a" * 10**6: entry("F32", [1], 0, 4)}, bytes(4)),
        ["names of up to 256"],
    ),
    "name of strange letters": (
        "prior",
        header({"a\n\x1b[2J": entry("F32", [1], 0, 4)}, bytes(4)),
        ["names of up to 256"],
    ),
    "header of lists in lists": ("head", header(DEEP.encode()), ["expected safetensors"]),
    "header without end": (
        "head",
        lambda path: path.write_bytes(b"\xff" * 7 + b"\x7f" + bytes(100)),
        ["expected safetensors"],
    ),
    "header of 32 MiB": ("head", header(b"{" + b" " * 2**25 + b"}"), ["names, shapes and metadata"]),
    "tensors that overlap": (
        "head",
        header({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12)),
        ["expected safetensors"],
    ),
    "tensor beyond the file": (
        "head",
        header({"a": entry("F32", [BIG], 0, 4 * BIG)}, bytes(8)),
        ["expected safetensors"],
    ),
    "very long kind": (
        "prior",
        lambda path: save_file(ONE, path, {"kind": "x" * 10**6}),
        ["kind prior, but"],
    ),
    # JSON
    "config of lists in lists": ("prior", weights("prior", DEEP), ["no readable config", "without end"]),
    "config that is a list": ("prior", weights("prior", []), ["no readable config"]),
    "config that is null": ("prior", weights("prior", "null"), ["no readable config"]),
    "config that is a number": ("hpdm", weights("hpdm", "7"), ["no readable config"]),
    "config of two megabytes": (
        "prior",
        weights("prior", json.dumps({"a": "x" * 2**21})),
        ["no readable config", "letters"],
    ),
    "config with NaN": ("prior", weights("prior", c_scale=float("nan")), ["NaN is no number"]),
    "config with Infinity": (
        "prior",
        weights("prior", field__box_side=float("inf")),
        ["Infinity is no number"],
    ),
    "config with 1e999": (
        "hpdm",
        weights("hpdm", '{"branch": {"channels": [32]}, "weight": 1e999}'),
        ["weight from"],
    ),
    "config with a number of 5000 digits": (
        "prior",
        weights("prior", '{"z_dim": ' + "9" * 5000 + "}"),
        ["no readable config"],
    ),
    "config with a number of 4000 digits": (
        "hpdm",
        weights("hpdm", '{"branch": {"channels": [32]}, "hidden": ' + "9" * 4000 + "}"),
        ["hidden"],
    ),
    "config without field": ("prior", weights("prior", {"z_dim": 4}), ["of this version", "differs"]),
    "config of strange names": ("prior", weights("prior", field__colour=3), ["'colour' is unknown"]),
    "parts of a config that are lists": ("prior", weights("prior", field=[], render=[]), ["of this version"]),
    # priors
    "mapping of 1e9 layers": (
        "prior",
        weights("prior", mapping_layers=BIG),
        ["GeneratorConfig: expected mapping_layers from 1 to 32", str(BIG)],
    ),
    "mapping of no layers": ("prior", weights("prior", mapping_layers=0), ["mapping_layers"]),
    "mapping of -1e9 layers": ("prior", weights("prior", mapping_layers=-BIG), ["mapping_layers"]),
    "mapping of true layers": (
        "prior",
        weights("prior", mapping_layers=True),
        ["mapping_layers", "whole number", "True"],
    ),
    "mapping of 2.5 layers": (
        "prior",
        weights("prior", mapping_layers=2.5),
        ["mapping_layers", "whole number", "2.5"],
    ),
    "mapping of layers in a list": ("prior", weights("prior", mapping_layers=[2]), ["mapping_layers"]),
    "styles of 1e9": ("prior", weights("prior", w_dim=BIG), ["w_dim"]),
    "code of 1e9": ("prior", weights("prior", z_dim=BIG), ["z_dim"]),
    "label of 25.0": ("prior", weights("prior", c_dim=25.0), ["c_dim"]),
    "1e12 channels": ("prior", weights("prior", channel_base=10**12, channel_max=10**12), ["channel_base"]),
    "no base resolution": ("prior", weights("prior", base_resolution=0), ["base_resolution"]),
    "mean of 1e6 pixels": ("prior", weights("prior", mean_resolution=10**6), ["mean_resolution"]),
    "raw resolution of 1e6": ("prior", weights("prior", raw_resolution=10**6), ["raw_resolution"]),
    "super-resolution of 1e6": ("prior", weights("prior", sr_resolution=10**6), ["sr_resolution"]),
    "super-resolution of three widths": (
        "prior",
        weights("prior", sr_channels=[1, 2, 3]),
        ["sr_channels", "2 whole numbers"],
    ),
    "super-resolution of 1e9 channels": ("prior", weights("prior", sr_channels=[BIG, BIG]), ["sr_channels"]),
    "super-resolution in a list": ("prior", weights("prior", super_resolution=["2X"]), ["super_resolution"]),
    "noise of a dict": ("prior", weights("prior", sr_noise_mode={}), ["sr_noise_mode"]),
    "background maybe": ("prior", weights("prior", background="maybe"), ["background", "true or false"]),
    "decoder of 1e9": (
        "prior",
        weights("prior", field__hidden=BIG),
        ["FieldConfig: expected hidden", str(BIG)],
    ),
    "planes of 1e5": ("prior", weights("prior", field__resolution=10**5), ["resolution"]),
    "planes of 1e9 channels": ("prior", weights("prior", field__channels=BIG), ["channels"]),
    "planes of 4e11 numbers": (
        "prior",
        weights("prior", field__channels=512, field__depth=64, field__resolution=1024),
        ["planes of up to"],
    ),
    "axes of a dict": ("prior", weights("prior", field__plane_axes={"xy": 1}), ["three pairs of axes"]),
    "axes of lists": (
        "prior",
        weights("prior", field__plane_axes=[["x", "y"], ["x"], [[]]]),
        ["three pairs of axes"],
    ),
    "box of a word": ("prior", weights("prior", field__box_side="1"), ["box_side"]),
    "coarse 1e5": (
        "prior",
        weights("prior", render__coarse=10**5),
        ["RenderConfig: expected coarse", "100000"],
    ),
    "fine 1e9": ("prior", weights("prior", render__fine=BIG), ["RenderConfig: expected fine"]),
    "chunks of 16 GiB": ("prior", weights("prior", render__chunk_bytes=2**34), ["chunks of rays"]),
    "near in a list": ("prior", weights("prior", render__near=[1], render__far=2), ["near"]),
    "all as large as may be": ("prior", weights("prior", **WIDE), ["missing"]),
    "large and with all parts": (
        "prior",
        weights("prior", **WIDE, background=True, camera_offset=True, raw_rgb=True),
        ["missing"],
    ),
    "prior of a very long family": (
        "prior",
        lambda path: save_file(ONE, path, {"kind": "prior", "config": "{}", "family": "x" * 10**6}),
        ["expected a family"],
    ),
    # heads
    "head whose decoder is 1e9 wide": ("head", head({"hidden": BIG}), ["FieldConfig: expected hidden"]),
    "head whose decoder is 4096 wide": (
        "head",
        head({"hidden": 4096}, {"field__hidden": 4096}),
        ["another shape"],
    ),
    "head of 1e9 layers": ("head", head(None, {"mapping_layers": BIG}), ["mapping_layers"]),
    "head of 1e5 samples": ("head", head(None, {"render__coarse": 10**5}), ["coarse"]),
    "head with a large generator": ("head", head(None, WIDE), ["missing"]),
    "head of a strange family": (
        "head",
        lambda path: head_with(path, family="nobody\n"),
        ["expected a family"],
    ),
    "generator that is a list": ("head", lambda path: head_with(path, generator="[]"), ["of this version"]),
    "generator that is null": ("head", lambda path: head_with(path, generator="null"), ["of this version"]),
    "generator of lists in lists": (
        "head",
        lambda path: head_with(path, generator=DEEP),
        ["no readable generator"],
    ),
    "head's config is null": ("head", lambda path: head_with(path, config="null"), ["lacks or garbles"]),
    "head's config of lists in lists": (
        "head",
        lambda path: head_with(path, config=DEEP),
        ["no readable config"],
    ),
    "head without config": ("head", lambda path: head_with(path, config=None), ["no readable config"]),
    "head of a very long version": ("head", head(format_version="9" * 10**6), ["has version 9"]),
    "head of other channels than its generator": (
        "head",
        head({"channels": 5}, None, {"planes": torch.zeros(1, 3, 5, 2, 16, 16)}),
        ["channels", "the generator"],
    ),
    "head of whole planes": (
        "head",
        head(tensors={"planes": torch.zeros(1, 3, 4, 2, 16, 16, dtype=torch.int64)}),
        ["planes", "floats"],
    ),
}
for what, size in {
    "null": "null",
    "a number": "5",
    "a word": '"32 x 32"',
    "a dict": '{"0": 1, "1": 2}',
    "one": "[32]",
    "three": "[32, 32, 3]",
    "fractions": "[32.0, 32.5]",
    "flags": "[true, true]",
    "words": '["a", "b"]',
    "lists": "[[1], [2]]",
    "zero": "[0, 32]",
    "negative": "[-1, 32]",
    "1e18": f"[{10**18}, 32]",
    "NaN": "[NaN, 32]",
    "lists in lists": DEEP,
}.items():
    CASES[f"photo_size of {what}"] = ("head", head(photo_size=size), ["photo_size"])
CASES["photo_size that is missing"] = ("head", head(photo_size=None), ["photo_size"])
for part, wrong in {
    "image": [
        torch.zeros(1, 32, 32),
        torch.zeros(3, 32, 16),
        torch.zeros(3),
        torch.tensor(1.0),
        torch.zeros(3, 0, 0),
        None,
        torch.zeros(1, 3, 32, 32),
    ],
    "mask": [torch.zeros(3, 32, 32), torch.zeros(1, 16, 16), torch.zeros(1, 32, 32, dtype=torch.uint8), None],
    "cam2world": [torch.zeros(3, 3), torch.zeros(1, 4, 4), torch.zeros(4), None],
    "intrinsics": [torch.zeros(4, 4), torch.zeros(1, 3, 3), None],
    "crop_to_photo": [torch.zeros(3, 3), torch.zeros(2), torch.zeros(0, 3), None],
}.items():
    for i, value in enumerate(wrong):
        CASES[f"reference's {part}, wrong in way {i}"] = (
            "head",
            head(tensors={f"reference.{part}": value}),
            ["head file: expected", "save the head again"],
        )
for i, value in enumerate(
    [
        torch.zeros(1),
        torch.zeros(1, 6, 9),
        torch.zeros(2, 6, 8),
        torch.zeros(1, 0, 8),
        torch.zeros(1, 6, 8, dtype=torch.int32),
    ]
):
    CASES[f"latents, wrong in way {i}"] = (
        "head",
        head(tensors={"latents": value}),
        ["latents", "save the head again"],
    )
CASES["head of version 1 with a strange decoder"] = ("head", first_version, ["another shape"])
for what, numbers in {
    "planes of 3e38": {"planes": torch.full((1, 3, 4, 2, 16, 16), 3e38)},
    "latents of -3e38": {"latents": torch.full((1, 6, 8), -3e38)},
    "a camera of zeros": {"reference.cam2world": torch.zeros(4, 4)},
    "a camera that shears": {"reference.cam2world": torch.eye(4) + 0.3 * torch.eye(4).roll(1, 0)},
    "a lens of zeros": {"reference.intrinsics": torch.zeros(3, 3)},
    "a lens that mirrors": {"reference.intrinsics": -torch.eye(3)},
}.items():
    CASES[f"head with {what}"] = (
        "head",
        head(tensors=numbers),
        ["head file: expected", "save the head again"],
    )
CASES["head in no box"] = (
    "head",
    head({"box_side": 1e-300}, {"field__box_side": 1e-300}),
    ["sizes must be positive"],
)
CASES |= NETWORKS | AVATARS | PICKLES
SUFFIXES = (
    FOREIGN
    | {"statistics that unpack to 640 MiB": ".npz"}
    | dict.fromkeys(
        (
            "VGG16 of one number seen often",
            "VGG16 that unpacks to 640 MiB",
            "ArcFace of one number seen often",
        ),
        ".pth",
    )
)


def write_all(folder: Path) -> dict[str, tuple[str, Path]]:
    """Every case's file: name -> (loader, path)."""
    files = {}
    for i, (name, (loader, write, _)) in enumerate(CASES.items()):
        files[name] = loader, folder / f"{i}{SUFFIXES.get(name, '.safetensors')}"
        write(files[name][1])
    return files
