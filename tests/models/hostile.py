"""Small files that ask for much: what each is, and who loads it. Nothing of the pack is imported before `write_all`."""

from __future__ import annotations

import copy
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

BIG = 10**9
ONE = {"a": torch.zeros(1)}


def raw(path: Path, header: dict | bytes, body: bytes = b"") -> None:
    """A .safetensors of any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def entry(dtype: str, shape: list[int], begin: int = 0, end: int = 0) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def changed(config: dict, **changes) -> dict:
    """A config with entries replaced; `field__hidden` is `hidden` in `field`."""
    config = copy.deepcopy(config)
    for name, value in changes.items():
        *folders, last = name.split("__")
        place = config
        for folder in folders:
            place = place[folder]
        place[last] = value
    return config


def shipped_config(kind: str) -> dict:
    from portrait_diffusion.models.checkpoint import read_tensors, shipped

    return json.loads(read_tensors(shipped(kind), kind)[1]["config"])


def weights(kind: str, config=None, **changes) -> Callable[[Path], None]:
    """One tensor, and the config of the weights that ship with entries replaced (or a whole other one)."""

    def write(path: Path) -> None:
        said = changed(shipped_config(kind), **changes) if config is None else config
        save_file(ONE, path, {"kind": kind, "config": said if isinstance(said, str) else json.dumps(said)})

    return write


def metadata_of(kind: str, **entries) -> Callable[[Path], None]:
    """The weights that ship, with entries of their metadata replaced; None for none."""

    def write(path: Path) -> None:
        from portrait_diffusion.models.checkpoint import read_tensors, shipped

        tensors, metadata = read_tensors(shipped(kind), kind)
        save_file(tensors, path, {key: value for key, value in (metadata | entries).items() if value is not None})

    return write


def tensors_of(kind: str, **tensors) -> Callable[[Path], None]:
    """The weights that ship, with tensors replaced (a function: of the tensor that was there); None for none."""

    def write(path: Path) -> None:
        from portrait_diffusion.models.checkpoint import read_tensors, shipped

        old, metadata = read_tensors(shipped(kind), kind)
        for key, value in tensors.items():
            name = next(name for name in old if name.endswith(key.replace("__", ".")))
            old[name] = value(old[name]) if callable(value) else value
        save_file({key: value for key, value in old.items() if value is not None}, path, metadata)

    return write


def head(config: dict | None = None, generator: dict | None = None, tensors: dict | None = None, **entries) -> Callable[[Path], None]:
    """The small head, with entries of its configs, tensors (by name; None for none) or metadata replaced."""

    def write(path: Path) -> None:
        from portrait_diffusion.models.checkpoint import read_tensors
        from portrait_diffusion.models.head import save_head

        from .small import head as small_head

        save_head(small_head(), path)
        old, metadata = read_tensors(path, "head")
        old = {key: value.clone() for key, value in old.items()} | (tensors or {})
        for key, changes in (("config", config), ("generator", generator)):
            if changes:
                metadata[key] = json.dumps(changed(json.loads(metadata[key]), **changes))
        metadata |= entries
        kept = {key: value for key, value in metadata.items() if value is not None}
        save_file({key: value for key, value in old.items() if value is not None}, path, kept)

    return write


def brushnet(width: int = 32, level: str = "0", **more: torch.Tensor | None) -> Callable[[Path], None]:
    """What a BrushNet's size is read off, and hardly more."""

    def write(path: Path) -> None:
        state = {
            "conv_in_condition.weight": torch.zeros(width, 9, 1, 1),
            f"down_blocks.{level}.resnets.0.conv2.weight": torch.zeros(width, 1, 1, 1),
        }
        state |= {key.replace("__", "."): value for key, value in more.items()}
        save_file({key: value for key, value in state.items() if value is not None}, path)

    return write


def views(config="{}", **tensors: torch.Tensor) -> Callable[[Path], None]:
    """A multi-view head file of one view."""

    def write(path: Path) -> None:
        parts = {
            "rgb": torch.zeros(1, 2, 2, 3, dtype=torch.uint8),
            "mask": torch.zeros(1, 2, 2, dtype=torch.uint8),
            "ray_distance": torch.zeros(1, 2, 2),
            "cam2world": torch.eye(4)[None],
        }
        save_file(parts | tensors, path, {"config": config})

    return write


def niqe(**config) -> Callable[[Path], None]:
    return lambda path: save_file({"mean": torch.zeros(36), "covariance": torch.eye(36)}, path, {"config": json.dumps(config)})


def header(tensors: dict | bytes, body: bytes = b"") -> Callable[[Path], None]:
    return lambda path: raw(path, tensors, body)


def packed(path: Path) -> None:
    """An .npz that unpacks to a hundred times its length."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        start = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (83886080,), }"
        with archive.open("mu_prisparam.npy", "w") as part:
            part.write(start.ljust(127) + b"\n")
            for _ in range(640):
                part.write(bytes(2**20))


def expanded(path: Path) -> None:
    """A .pth whose tensor is one number, seen ten billion times."""
    torch.save({"features.0.weight": torch.zeros(1).expand(10**5, 10**5), "features.0.bias": torch.zeros(64)}, path)


def unpacking(path: Path) -> None:
    """A .pth whose tensor is 640 MiB of zeros, compressed."""
    torch.save({"features.0.weight": torch.zeros(4)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in parts.items():
            if not name.endswith("/data/0"):
                archive.writestr(name, content)
                continue
            with archive.open(name, "w") as part:
                for _ in range(640):
                    part.write(bytes(2**20))


def empties(count: int) -> Callable[[Path], None]:
    """So many tensors without numbers."""
    one = b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return lambda path: raw(path, b"{" + b",".join(one % i for i in range(count)) + b"}")


DEEP = "[" * 100_000 + "]" * 100_000
WIDE = {"w_dim": 8192, "channel_max": 4096, "channel_base": 2**17, "mapping_layers": 32, "z_dim": 8192}

# name -> (who loads it, what writes it, what the sentence holds)
CASES: dict[str, tuple[str, Callable[[Path], None], list[str]]] = {
    # the header, whoever reads it
    "a million empty tensors": ("head", empties(10**6), ["names, shapes and metadata", "choose"]),
    "a hundred thousand empty tensors": ("head", empties(10**5), ["up to 20000 tensors", "100000"]),
    "complex tensor": ("head", header({"planes": entry("C64", [1], 0, 8)}, bytes(8)), ["C64 for planes"]),
    "float8 tensor": ("head", header({"planes": entry("F8_E4M3", [8], 0, 8)}, bytes(8)), ["F8_E4M3 for planes"]),
    "float8 of the other kind": ("prior", header({"a": entry("F8_E5M2", [8], 0, 8)}, bytes(8)), ["F8_E5M2 for a"]),
    "unsigned tensor": ("hpdm", header({"a": entry("U32", [2], 0, 8)}, bytes(8)), ["U32 for a"]),
    "numbers of half a byte": ("vgg", header({"a": entry("F4", [16], 0, 8)}, bytes(8)), ["vgg: expected"]),
    "type that nobody knows": ("head", header({"a": entry("X99", [2], 0, 8)}, bytes(8)), ["another format"]),
    "empty tensor of many sides": ("head", header({"a": entry("F32", [0, 2**40, 2**20])}), ["a file of its length can hold"]),
    "sides that overflow": ("head", header({"a": entry("F32", [2**62, 2**62, 4])}), ["expected"]),
    "tensor of 5000 dimensions": ("head", header({"a": entry("F32", [1] * 5000, 0, 4)}, bytes(4)), ["a file of its length can hold"]),
    "very long name": ("prior", header({"a" * 10**6: entry("F32", [1], 0, 4)}, bytes(4)), ["names of up to 256"]),
    "name of strange letters": ("prior", header({"a\n\x1b[2J": entry("F32", [1], 0, 4)}, bytes(4)), ["names of up to 256"]),
    "header of lists in lists": ("head", header(DEEP.encode()), ["expected safetensors"]),
    "header without end": ("head", lambda path: path.write_bytes(b"\xff" * 7 + b"\x7f" + bytes(100)), ["expected safetensors"]),
    "header of 32 MiB": ("head", header(b"{" + b" " * 2**25 + b"}"), ["names, shapes and metadata"]),
    "tensors that overlap": (
        "head",
        header({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12)),
        ["expected safetensors"],
    ),
    "tensor beyond the file": ("head", header({"a": entry("F32", [BIG], 0, 4 * BIG)}, bytes(8)), ["expected safetensors"]),
    "very long kind": ("prior", lambda path: save_file(ONE, path, {"kind": "x" * 10**6}), ["kind prior, but"]),
    # JSON
    "config of lists in lists": ("prior", weights("prior", DEEP), ["no readable config", "without end"]),
    "config that is a list": ("prior", weights("prior", []), ["no readable config"]),
    "config that is null": ("prior", weights("prior", "null"), ["no readable config"]),
    "config that is a number": ("hpdm", weights("hpdm", "7"), ["no readable config"]),
    "config of two megabytes": ("prior", weights("prior", json.dumps({"a": "x" * 2**21})), ["no readable config", "letters"]),
    "config with NaN": ("prior", weights("prior", c_scale=float("nan")), ["NaN is no number"]),
    "config with Infinity": ("prior", weights("prior", field__box_side=float("inf")), ["Infinity is no number"]),
    "config with 1e999": ("hpdm", weights("hpdm", '{"branch": {"channels": [32]}, "weight": 1e999}'), ["weight from"]),
    "config with a number of 5000 digits": ("prior", weights("prior", '{"z_dim": ' + "9" * 5000 + "}"), ["no readable config"]),
    "config with a number of 4000 digits": ("hpdm", weights("hpdm", '{"branch": {"channels": [32]}, "hidden": ' + "9" * 4000 + "}"), ["hidden"]),
    "config without field": ("prior", weights("prior", {"z_dim": 4}), ["of this version", "differs"]),
    "config of strange names": ("prior", weights("prior", field__colour=3), ["'colour' is unknown"]),
    "parts of a config that are lists": ("prior", weights("prior", field=[], render=[]), ["of this version"]),
    # priors
    "mapping of 1e9 layers": ("prior", weights("prior", mapping_layers=BIG), ["GeneratorConfig: expected mapping_layers from 1 to 32", str(BIG)]),
    "mapping of no layers": ("prior", weights("prior", mapping_layers=0), ["mapping_layers"]),
    "mapping of -1e9 layers": ("prior", weights("prior", mapping_layers=-BIG), ["mapping_layers"]),
    "mapping of true layers": ("prior", weights("prior", mapping_layers=True), ["mapping_layers", "whole number", "True"]),
    "mapping of 2.5 layers": ("prior", weights("prior", mapping_layers=2.5), ["mapping_layers", "whole number", "2.5"]),
    "mapping of layers in a list": ("prior", weights("prior", mapping_layers=[2]), ["mapping_layers"]),
    "styles of 1e9": ("prior", weights("prior", w_dim=BIG), ["w_dim"]),
    "code of 1e9": ("prior", weights("prior", z_dim=BIG), ["z_dim"]),
    "label of 25.0": ("prior", weights("prior", c_dim=25.0), ["c_dim"]),
    "1e12 channels": ("prior", weights("prior", channel_base=10**12, channel_max=10**12), ["channel_base"]),
    "no base resolution": ("prior", weights("prior", base_resolution=0), ["base_resolution"]),
    "mean of 1e6 pixels": ("prior", weights("prior", mean_resolution=10**6), ["mean_resolution"]),
    "raw resolution of 1e6": ("prior", weights("prior", raw_resolution=10**6), ["raw_resolution"]),
    "super-resolution of 1e6": ("prior", weights("prior", sr_resolution=10**6), ["sr_resolution"]),
    "super-resolution of three widths": ("prior", weights("prior", sr_channels=[1, 2, 3]), ["sr_channels", "2 whole numbers"]),
    "super-resolution of 1e9 channels": ("prior", weights("prior", sr_channels=[BIG, BIG]), ["sr_channels"]),
    "super-resolution in a list": ("prior", weights("prior", super_resolution=["2X"]), ["super_resolution"]),
    "noise of a dict": ("prior", weights("prior", sr_noise_mode={}), ["sr_noise_mode"]),
    "background maybe": ("prior", weights("prior", background="maybe"), ["background", "true or false"]),
    "decoder of 1e9": ("prior", weights("prior", field__hidden=BIG), ["FieldConfig: expected hidden", str(BIG)]),
    "planes of 1e5": ("prior", weights("prior", field__resolution=10**5), ["resolution"]),
    "planes of 1e9 channels": ("prior", weights("prior", field__channels=BIG), ["channels"]),
    "planes of 4e11 numbers": ("prior", weights("prior", field__channels=512, field__depth=64, field__resolution=1024), ["planes of up to"]),
    "axes of a dict": ("prior", weights("prior", field__plane_axes={"xy": 1}), ["three pairs of axes"]),
    "axes of lists": ("prior", weights("prior", field__plane_axes=[["x", "y"], ["x"], [[]]]), ["three pairs of axes"]),
    "box of a word": ("prior", weights("prior", field__box_side="1"), ["box_side"]),
    "coarse 1e5": ("prior", weights("prior", render__coarse=10**5), ["RenderConfig: expected coarse", "100000"]),
    "fine 1e9": ("prior", weights("prior", render__fine=BIG), ["RenderConfig: expected fine"]),
    "chunks of 16 GiB": ("prior", weights("prior", render__chunk_bytes=2**34), ["chunks of rays"]),
    "near in a list": ("prior", weights("prior", render__near=[1], render__far=2), ["near"]),
    "all as large as may be": ("prior", weights("prior", **WIDE), ["missing"]),
    "large and with all parts": ("prior", weights("prior", **WIDE, background=True, camera_offset=True, raw_rgb=True), ["missing"]),
    # heads
    "head whose decoder is 1e9 wide": ("head", head({"hidden": BIG}), ["FieldConfig: expected hidden"]),
    "head whose decoder is 4096 wide": ("head", head({"hidden": 4096}, {"field__hidden": 4096}), ["another shape"]),
    "head of 1e9 layers": ("head", head(None, {"mapping_layers": BIG}), ["mapping_layers"]),
    "head of 1e5 samples": ("head", head(None, {"render__coarse": 10**5}), ["coarse"]),
    "head with a large generator": ("head", head(None, WIDE), ["missing"]),
    "generator that is a list": ("head", lambda path: head_with(path, generator="[]"), ["of this version"]),
    "generator that is null": ("head", lambda path: head_with(path, generator="null"), ["of this version"]),
    "generator of lists in lists": ("head", lambda path: head_with(path, generator=DEEP), ["no readable generator"]),
    "head's config is null": ("head", lambda path: head_with(path, config="null"), ["lacks or garbles"]),
    "head's config of lists in lists": ("head", lambda path: head_with(path, config=DEEP), ["no readable config"]),
    "head without config": ("head", lambda path: head_with(path, config=None), ["no readable config"]),
    "head of a very long version": ("head", head(format_version="9" * 10**6), ["has version 9"]),
    "head of other channels than its generator": (
        "head",
        head({"channels": 5}, None, {"planes": torch.zeros(1, 3, 5, 2, 16, 16)}),
        ["channels", "the generator"],
    ),
    "head of whole planes": ("head", head(tensors={"planes": torch.zeros(1, 3, 4, 2, 16, 16, dtype=torch.int64)}), ["planes", "floats"]),
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
    "image": [torch.zeros(1, 32, 32), torch.zeros(3, 32, 16), torch.zeros(3), torch.tensor(1.0), torch.zeros(3, 0, 0), None, torch.zeros(1, 3, 32, 32)],
    "mask": [torch.zeros(3, 32, 32), torch.zeros(1, 16, 16), torch.zeros(1, 32, 32, dtype=torch.uint8), None],
    "cam2world": [torch.zeros(3, 3), torch.zeros(1, 4, 4), torch.zeros(4), None],
    "intrinsics": [torch.zeros(4, 4), torch.zeros(1, 3, 3), None],
    "crop_to_photo": [torch.zeros(3, 3), torch.zeros(2), torch.zeros(0, 3), None],
}.items():
    for i, value in enumerate(wrong):
        CASES[f"reference's {part}, wrong in way {i}"] = ("head", head(tensors={f"reference.{part}": value}), ["head file: expected", "save the head again"])
for i, value in enumerate([torch.zeros(1), torch.zeros(1, 6, 9), torch.zeros(2, 6, 8), torch.zeros(1, 0, 8), torch.zeros(1, 6, 8, dtype=torch.int32)]):
    CASES[f"latents, wrong in way {i}"] = ("head", head(tensors={"latents": value}), ["latents", "save the head again"])


def head_with(path: Path, **entries: str | None) -> None:
    """The small head with whole entries of its metadata replaced."""
    from portrait_diffusion.models.checkpoint import read_tensors

    head()(path)
    tensors, metadata = read_tensors(path, "head")
    kept = {key: value for key, value in (metadata | entries).items() if value is not None}
    save_file({key: value.clone() for key, value in tensors.items()}, path, kept)


def first_version(path: Path) -> None:
    """A head of version 1 whose decoder is no matrix."""
    head(format_version="1")(path)
    from portrait_diffusion.models.checkpoint import read_tensors

    tensors, metadata = read_tensors(path, "head")
    wrong = {f"decoder.{key}.{part}": torch.zeros(3) for key in ("hidden", "out") for part in ("weight", "bias")}
    save_file({key: value.clone() for key, value in tensors.items()} | wrong, path, metadata)


def many_layers(path: Path) -> None:
    """A BrushNet of 900 ResNets."""
    state = {f"down_blocks.0.resnets.{i}.conv2.weight": torch.zeros(32, 1, 1, 1) for i in range(900)}
    save_file(state | {"conv_in_condition.weight": torch.zeros(32, 9, 1, 1)}, path)


CASES |= {
    "head of version 1 with a strange decoder": ("head", first_version, ["another shape"]),
    # branches
    "branches of 3000 layers": ("hpdm", weights("hpdm", branch__layers=3000), ["BranchConfig: expected layers", "3000"]),
    "branches of 1e9 layers": ("hpdm", weights("hpdm", branch__layers=BIG), ["layers"]),
    "branches of a million levels": ("hpdm", weights("hpdm", branch__channels=[8] * 10**5), ["channels"]),
    "branches 1e9 wide": ("hpdm", weights("hpdm", branch__channels=[BIG]), ["channels"]),
    "branches in no groups": ("hpdm", weights("hpdm", branch__groups=0), ["groups"]),
    "branches that are a list": ("hpdm", weights("hpdm", branch=[]), ["of this version"]),
    "branches that are null": ("hpdm", weights("hpdm", branch=None), ["of this version"]),
    "branches with hidden 1e9": ("hpdm", weights("hpdm", hidden=BIG), ["HpdmConfig: expected hidden"]),
    "branches of words": ("hpdm", weights("hpdm", branch__channels=["8"], kernel="3"), ["channels"]),
    "branches as large as may be": ("hpdm", weights("hpdm", branch__channels=[4096] * 6, branch__layers=4, branch__groups=32), ["missing"]),
    "BrushNet 16384 wide": ("hpdm", brushnet(16384), ["channels", "16384"]),
    "BrushNet 4096 wide": ("hpdm", brushnet(4096), ["missing"]),
    "BrushNet of no width": ("hpdm", brushnet(conv_in_condition__weight=torch.zeros(1, 9, 1, 1), **{"down_blocks__0__resnets__0__conv2__weight": torch.zeros(0, 1, 1, 1)}), ["channels"]),
    "BrushNet of a level x": ("hpdm", brushnet(level="x"), ["BrushNet's weights"]),
    "BrushNet of a level -1": ("hpdm", brushnet(level="-1"), ["BrushNet's weights"]),
    "BrushNet of a level of digits": ("hpdm", brushnet(level="9" * 200), ["BrushNet's weights"]),
    "BrushNet of a level of other digits": ("hpdm", brushnet(level="\u0663"), ["BrushNet's weights"]),
    "BrushNet with a flat input": ("hpdm", brushnet(conv_in_condition__weight=torch.zeros(9)), ["BrushNet's weights"]),
    "BrushNet with one number": ("hpdm", brushnet(**{"down_blocks__0__resnets__0__conv2__weight": torch.tensor(1.0)}), ["BrushNet's weights"]),
    "BrushNet with a flat embedding": ("hpdm", brushnet(**{"add_embedding__linear_1__weight": torch.zeros(4)}), ["BrushNet's weights"]),
    "BrushNet with a small embedding": ("hpdm", brushnet(**{"add_embedding__linear_1__weight": torch.zeros(4, 4)}), ["added_text"]),
    "BrushNet of 900 ResNets": ("hpdm", many_layers, ["layers", "900"]),
    # refiners and Zero-123
    "refiner without bases": ("turbo", metadata_of("turbo", bases=None), ["no readable bases"]),
    "refiner whose bases are null": ("turbo", metadata_of("turbo", bases="null"), ["a base's layout"]),
    "refiner whose bases are words": ("turbo", metadata_of("turbo", bases='{"unet": ["a", "b"], "vae": 3}'), ["a base's layout"]),
    "refiner whose bases are huge": ("turbo", metadata_of("turbo", bases=json.dumps({"unet": ["a", [10**400]]})), ["a base's layout"]),
    "refiner whose bases are long": ("turbo", metadata_of("turbo", bases=json.dumps({key: ["a", [1.0] * 10**4] for key in ("unet", "vae")})), ["another base"]),
    "refiner of lists in lists": ("turbo", metadata_of("turbo", bases=DEEP), ["no readable bases"]),
    "refiner without scales": ("turbo", metadata_of("turbo", scales="{}"), ["a scale for"]),
    "refiner whose scales are a list": ("turbo", metadata_of("turbo", scales="[]"), ["a scale for"]),
    "refiner whose gamma is a word": ("turbo", metadata_of("turbo", gamma='"1"'), ["gamma"]),
    "refiner whose gamma is 1e999": ("turbo", metadata_of("turbo", gamma="1e999"), ["gamma"]),
    "refiner without tokens": ("turbo", tensors_of("turbo", tokens=None), ["tokens"]),
    "refiner of other tokens": ("turbo", tensors_of("turbo", tokens=torch.zeros(1, 4, 7)), ["tokens", "[1, 4, 7]"]),
    "refiner of a million tokens": ("turbo", tensors_of("turbo", tokens=torch.zeros(1, 10**5, 48).half()), ["tokens"]),
    "refiner of one factor": ("turbo", tensors_of("turbo", lora_A__weight=torch.tensor(1.0)), ["factors"]),
    "refiner of no rank": ("turbo", tensors_of("turbo", lora_A__weight=lambda old: old[:0]), ["factors"]),
    "refiner whose factors would be huge": (
        "turbo",
        tensors_of("turbo", lora_A__weight=torch.zeros(1, 10**5), lora_B__weight=torch.zeros(10**5, 1)),
        ["LoRA: expected"],
    ),
    "refiner of another rank": ("turbo", tensors_of("turbo", lora_B__weight=lambda old: old[:, :-1].contiguous()), ["factors"]),
    "refiner of NaN": ("turbo", tensors_of("turbo", lora_A__weight=lambda old: old * float("nan")), ["finite"]),
    "Zero-123 without a base": ("zero123", metadata_of("zero123", base=None), ["no readable base"]),
    "Zero-123 whose base is null": ("zero123", metadata_of("zero123", base="null"), ["a base's layout"]),
    "Zero-123 whose base is a word": ("zero123", metadata_of("zero123", base='"ab"'), ["a base's layout"]),
    "Zero-123 without scales": ("zero123", metadata_of("zero123", scales=None), ["no readable scales"]),
    # the other networks
    "autoencoder of 1e9 layers": ("autoencoder", weights("autoencoder", layers=BIG), ["AutoencoderConfig: expected layers"]),
    "autoencoder in no groups": ("autoencoder", weights("autoencoder", groups=0), ["groups"]),
    "autoencoder 4096 wide": ("autoencoder", weights("autoencoder", channels=[4096] * 6, layers=4, groups=32), ["missing"]),
    "autoencoder of a huge scale": ("autoencoder", weights("autoencoder", '{"scaling_factor": 1e999}'), ["scaling_factor"]),
    "UNet of 1e9 layers": ("diffusion", weights("diffusion", layers=BIG), ["UNetConfig: expected layers"]),
    "UNet of no heads": ("diffusion", weights("diffusion", heads=[0, 0, 0]), ["heads"]),
    "UNet of one level": ("diffusion", weights("diffusion", channels=[8], heads=[1]), ["channels"]),
    "UNet of 1e9 tokens": ("diffusion", weights("diffusion", tokens=BIG), ["tokens"]),
    "UNet 4096 wide": ("diffusion", weights("diffusion", channels=[4096] * 6, heads=[8] * 6, layers=4, groups=32), ["missing"]),
    "block of 1e9": ("restoration", weights("restoration", hidden=BIG), ["hidden"]),
    "block of a grid of 1e6": ("restoration", weights("restoration", grid=10**6), ["grid"]),
    "block of one wide grid": ("restoration", weights("restoration", wide=[8]), ["wide"]),
    "block as large as may be": ("restoration", weights("restoration", channels=98304, grid=1024, hidden=4096, wide=[4096, 4096], stride=64), ["missing"]),
    "encoder of 1e9": ("encoder", weights("encoder", hidden=BIG), ["hidden"]),
    "encoder of 1e9 pixels": ("encoder", weights("encoder", size=2**30), ["size"]),
    "encoder of channels that are no eights": ("encoder", weights("encoder", channels=[3]), ["eights"]),
    "encoder as large as may be": ("encoder", weights("encoder", channels=[4096], size=1024, hidden=8192), ["missing"]),
    "discriminator of 1e9": ("discriminator", weights("discriminator", embedding=BIG), ["embedding"]),
    "discriminator of no widths": ("discriminator", weights("discriminator", widths=[]), ["widths"]),
    "alignment of 1e9 landmarks": ("alignment", weights("alignment", landmarks=BIG), ["landmarks"]),
    "alignment of a picture of 1e6": ("alignment", weights("alignment", size=2**20), ["size"]),
    "perceptual network of 1e9": ("perceptual", weights("perceptual", stem=BIG), ["stem"]),
    "perceptual network of no channels": ("perceptual", weights("perceptual", channels=[]), ["3 to 5 levels"]),
    "identity network of 1e9": ("identity", weights("identity", dimensions=BIG), ["dimensions"]),
    "identity network of a word": ("identity", weights("identity", channels="abc"), ["channels"]),
    # judges and views
    "statistics of patches of 1e9": ("niqe", niqe(patch=BIG), ["patches"]),
    "statistics of patches of words": ("niqe", niqe(patch="32"), ["patches"]),
    "statistics of no config": ("niqe", lambda path: save_file({"mean": torch.zeros(36), "covariance": torch.eye(36)}, path, {"config": "[]"}), ["patches"]),
    "statistics that unpack to 640 MiB": ("niqe", packed, ["niqe statistics", "cannot be read"]),
    "VGG16 of one number seen often": ("vgg", expanded, ["another kind"]),
    "VGG16 that unpacks to 640 MiB": ("vgg", unpacking, ["damaged or holds more"]),
    "ArcFace of one number seen often": ("arcface", expanded, ["another kind"]),
    "views whose config is a list": ("views", views("[]"), ["names and values"]),
    "views of lists in lists": ("views", views(DEEP), ["no readable"]),
    "views whose focal length is a list": ("views", views('{"focal": [1]}'), ["focal"]),
    "views whose focal length is 1e999": ("views", views('{"focal": 1e999}'), ["focal"]),
    "views that look at a word": ("views", views('{"focal": 4, "look_at": "abc"}'), ["look_at"]),
    "views of a strange seed": ("views", views('{"focal": 4, "frame": "canonical", "seed": [1]}'), ["seed"]),
    "views of strange parameters": ("views", views('{"focal": 4, "frame": "canonical", "parameters": {"a": 1}}'), ["parameters"]),
    "views that are complex": ("views", header({"rgb": entry("C64", [1], 0, 8)}, bytes(8)), ["C64"]),
    "views without numbers": ("views", views('{"focal": 4}', mask=torch.zeros(0, 2, 2, dtype=torch.uint8)), ["views are square"]),
}
SUFFIXES = {"statistics that unpack to 640 MiB": ".npz"} | {
    name: ".pth" for name in ("VGG16 of one number seen often", "VGG16 that unpacks to 640 MiB", "ArcFace of one number seen often")
}


def write_all(folder: Path) -> dict[str, tuple[str, Path]]:
    """Every case's file: name -> (loader, path)."""
    files = {}
    for i, (name, (loader, write, _)) in enumerate(CASES.items()):
        files[name] = loader, folder / f"{i}{SUFFIXES.get(name, '.safetensors')}"
        write(files[name][1])
    return files
