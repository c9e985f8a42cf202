"""Small files of every network but the generators and those of avatars that ask for much, and of judges and views."""

from __future__ import annotations

import json

import torch
from safetensors.torch import save_file

from .hostile_files import (
    BIG,
    DEEP,
    Case,
    brushnet,
    entry,
    expanded,
    header,
    many_layers,
    metadata_of,
    niqe,
    packed,
    tensors_of,
    unpacking,
    views,
    weights,
)

NETWORKS: dict[str, Case] = {
    # branches
    "branches of 3000 layers": (
        "hpdm",
        weights("hpdm", branch__layers=3000),
        ["BranchConfig: expected layers", "3000"],
    ),
    "branches of 1e9 layers": ("hpdm", weights("hpdm", branch__layers=BIG), ["layers"]),
    "branches of a million levels": ("hpdm", weights("hpdm", branch__channels=[8] * 10**5), ["channels"]),
    "branches 1e9 wide": ("hpdm", weights("hpdm", branch__channels=[BIG]), ["channels"]),
    "branches in no groups": ("hpdm", weights("hpdm", branch__groups=0), ["groups"]),
    "branches that are a list": ("hpdm", weights("hpdm", branch=[]), ["of this version"]),
    "branches that are null": ("hpdm", weights("hpdm", branch=None), ["of this version"]),
    "branches with hidden 1e9": ("hpdm", weights("hpdm", hidden=BIG), ["HpdmConfig: expected hidden"]),
    "branches of words": ("hpdm", weights("hpdm", branch__channels=["8"], kernel="3"), ["channels"]),
    "branches as large as may be": (
        "hpdm",
        weights("hpdm", branch__channels=[4096] * 6, branch__layers=4, branch__groups=32),
        ["missing"],
    ),
    "BrushNet 16384 wide": ("hpdm", brushnet(16384), ["channels", "16384"]),
    "BrushNet 4096 wide": ("hpdm", brushnet(4096), ["missing"]),
    "BrushNet of no width": (
        "hpdm",
        brushnet(
            conv_in_condition__weight=torch.zeros(1, 9, 1, 1),
            down_blocks__0__resnets__0__conv2__weight=torch.zeros(0, 1, 1, 1),
        ),
        ["channels"],
    ),
    "BrushNet of a level x": ("hpdm", brushnet(level="x"), ["BrushNet's weights"]),
    "BrushNet of a level -1": ("hpdm", brushnet(level="-1"), ["BrushNet's weights"]),
    "BrushNet of a level of digits": ("hpdm", brushnet(level="9" * 200), ["BrushNet's weights"]),
    "BrushNet of a level of other digits": ("hpdm", brushnet(level="\u0663"), ["BrushNet's weights"]),
    "BrushNet with a flat input": (
        "hpdm",
        brushnet(conv_in_condition__weight=torch.zeros(9)),
        ["BrushNet's weights"],
    ),
    "BrushNet with one number": (
        "hpdm",
        brushnet(down_blocks__0__resnets__0__conv2__weight=torch.tensor(1.0)),
        ["BrushNet's weights"],
    ),
    "BrushNet with a flat embedding": (
        "hpdm",
        brushnet(add_embedding__linear_1__weight=torch.zeros(4)),
        ["BrushNet's weights"],
    ),
    "BrushNet with a small embedding": (
        "hpdm",
        brushnet(add_embedding__linear_1__weight=torch.zeros(4, 4)),
        ["added_text"],
    ),
    "BrushNet of 900 ResNets": ("hpdm", many_layers, ["layers", "900"]),
    # refiners and Zero-123
    "refiner without bases": ("turbo", metadata_of("turbo", bases=None), ["no readable bases"]),
    "refiner whose bases are null": ("turbo", metadata_of("turbo", bases="null"), ["a base's layout"]),
    "refiner whose bases are words": (
        "turbo",
        metadata_of("turbo", bases='{"unet": ["a", "b"], "vae": 3}'),
        ["a base's layout"],
    ),
    "refiner whose bases are huge": (
        "turbo",
        metadata_of("turbo", bases=json.dumps({"unet": ["a", [10**400]]})),
        ["a base's layout"],
    ),
    "refiner whose bases are long": (
        "turbo",
        metadata_of("turbo", bases=json.dumps({key: ["a", [1.0] * 10**4] for key in ("unet", "vae")})),
        ["another base"],
    ),
    "refiner of lists in lists": ("turbo", metadata_of("turbo", bases=DEEP), ["no readable bases"]),
    "refiner without scales": ("turbo", metadata_of("turbo", scales="{}"), ["a scale for"]),
    "refiner whose scales are a list": ("turbo", metadata_of("turbo", scales="[]"), ["a scale for"]),
    "refiner whose gamma is a word": ("turbo", metadata_of("turbo", gamma='"1"'), ["gamma"]),
    "refiner whose gamma is 1e999": ("turbo", metadata_of("turbo", gamma="1e999"), ["gamma"]),
    "refiner without tokens": ("turbo", tensors_of("turbo", tokens=None), ["tokens"]),
    "refiner of other tokens": (
        "turbo",
        tensors_of("turbo", tokens=torch.zeros(1, 4, 7)),
        ["tokens", "[1, 4, 7]"],
    ),
    "refiner of a million tokens": (
        "turbo",
        tensors_of("turbo", tokens=torch.zeros(1, 10**5, 48).half()),
        ["tokens"],
    ),
    "refiner of one factor": ("turbo", tensors_of("turbo", lora_A__weight=torch.tensor(1.0)), ["factors"]),
    "refiner of no rank": ("turbo", tensors_of("turbo", lora_A__weight=lambda old: old[:0]), ["factors"]),
    "refiner whose factors would be huge": (
        "turbo",
        tensors_of("turbo", lora_A__weight=torch.zeros(1, 10**5), lora_B__weight=torch.zeros(10**5, 1)),
        ["LoRA: expected"],
    ),
    "refiner of another rank": (
        "turbo",
        tensors_of("turbo", lora_B__weight=lambda old: old[:, :-1].contiguous()),
        ["factors"],
    ),
    "refiner of NaN": (
        "turbo",
        tensors_of("turbo", lora_A__weight=lambda old: old * float("nan")),
        ["finite"],
    ),
    "Zero-123 without a base": ("zero123", metadata_of("zero123", base=None), ["no readable base"]),
    "Zero-123 whose base is null": ("zero123", metadata_of("zero123", base="null"), ["a base's layout"]),
    "Zero-123 whose base is a word": ("zero123", metadata_of("zero123", base='"ab"'), ["a base's layout"]),
    "Zero-123 without scales": ("zero123", metadata_of("zero123", scales=None), ["no readable scales"]),
    # the other networks
    "autoencoder of 1e9 layers": (
        "autoencoder",
        weights("autoencoder", layers=BIG),
        ["AutoencoderConfig: expected layers"],
    ),
    "autoencoder in no groups": ("autoencoder", weights("autoencoder", groups=0), ["groups"]),
    "autoencoder 4096 wide": (
        "autoencoder",
        weights("autoencoder", channels=[4096] * 6, layers=4, groups=32),
        ["missing"],
    ),
    "autoencoder of a huge scale": (
        "autoencoder",
        weights("autoencoder", '{"scaling_factor": 1e999}'),
        ["scaling_factor"],
    ),
    "UNet of 1e9 layers": ("diffusion", weights("diffusion", layers=BIG), ["UNetConfig: expected layers"]),
    "UNet of no heads": ("diffusion", weights("diffusion", heads=[0, 0, 0]), ["heads"]),
    "UNet of one level": ("diffusion", weights("diffusion", channels=[8], heads=[1]), ["channels"]),
    "UNet of 1e9 tokens": ("diffusion", weights("diffusion", tokens=BIG), ["tokens"]),
    "UNet 4096 wide": (
        "diffusion",
        weights("diffusion", channels=[4096] * 6, heads=[8] * 6, layers=4, groups=32),
        ["missing"],
    ),
    "block of 1e9": ("restoration", weights("restoration", hidden=BIG), ["hidden"]),
    "block of a grid of 1e6": ("restoration", weights("restoration", grid=10**6), ["grid"]),
    "block of one wide grid": ("restoration", weights("restoration", wide=[8]), ["wide"]),
    "block as large as may be": (
        "restoration",
        weights("restoration", channels=98304, grid=1024, hidden=4096, wide=[4096, 4096], stride=64),
        ["missing"],
    ),
    "encoder of 1e9": ("encoder", weights("encoder", hidden=BIG), ["hidden"]),
    "encoder of 1e9 pixels": ("encoder", weights("encoder", size=2**30), ["size"]),
    "encoder of channels that are no eights": ("encoder", weights("encoder", channels=[3]), ["eights"]),
    "encoder as large as may be": (
        "encoder",
        weights("encoder", channels=[4096], size=1024, hidden=8192),
        ["missing"],
    ),
    "discriminator of 1e9": ("discriminator", weights("discriminator", embedding=BIG), ["embedding"]),
    "discriminator of no widths": ("discriminator", weights("discriminator", widths=[]), ["widths"]),
    "alignment of 1e9 landmarks": ("alignment", weights("alignment", landmarks=BIG), ["landmarks"]),
    "alignment of a picture of 1e6": ("alignment", weights("alignment", size=2**20), ["size"]),
    "perceptual network of 1e9": ("perceptual", weights("perceptual", stem=BIG), ["stem"]),
    "perceptual network of no channels": (
        "perceptual",
        weights("perceptual", channels=[]),
        ["3 to 5 levels"],
    ),
    "identity network of 1e9": ("identity", weights("identity", dimensions=BIG), ["dimensions"]),
    "identity network of a word": ("identity", weights("identity", channels="abc"), ["channels"]),
    # judges and views
    "statistics of patches of 1e9": ("niqe", niqe(patch=BIG), ["patches"]),
    "statistics of patches of words": ("niqe", niqe(patch="32"), ["patches"]),
    "statistics of no config": (
        "niqe",
        lambda path: save_file(
            {"mean": torch.zeros(36), "covariance": torch.eye(36)}, path, {"config": "[]"}
        ),
        ["patches"],
    ),
    "statistics that unpack to 640 MiB": ("niqe", packed, ["niqe statistics", "cannot be read"]),
    "VGG16 of one number seen often": ("vgg", expanded, ["more numbers than the 1 that"]),
    "VGG16 that unpacks to 640 MiB": ("vgg", unpacking, ["packing 8"]),
    "ArcFace of one number seen often": ("arcface", expanded, ["more numbers than the 1 that"]),
    "views whose config is a list": ("views", views("[]"), ["names and values"]),
    "views of lists in lists": ("views", views(DEEP), ["no readable"]),
    "views whose focal length is a list": ("views", views('{"focal": [1]}'), ["focal"]),
    "views whose focal length is 1e999": ("views", views('{"focal": 1e999}'), ["focal"]),
    "views that look at a word": ("views", views('{"focal": 4, "look_at": "abc"}'), ["look_at"]),
    "views of a strange seed": ("views", views('{"focal": 4, "frame": "canonical", "seed": [1]}'), ["seed"]),
    "views of strange parameters": (
        "views",
        views('{"focal": 4, "frame": "canonical", "parameters": {"a": 1}}'),
        ["parameters"],
    ),
    "views that are complex": ("views", header({"rgb": entry("C64", [1], 0, 8)}, bytes(8)), ["C64"]),
    "views without numbers": (
        "views",
        views('{"focal": 4}', mask=torch.zeros(0, 2, 2, dtype=torch.uint8)),
        ["views are square"],
    ),
}
