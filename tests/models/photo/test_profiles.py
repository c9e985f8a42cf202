"""Colour profiles of photos: Display P3 becomes sRGB, sRGB stays as it is, broken ones are ignored with a word."""

import logging
import struct

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from portrait_diffusion.models.photo.reading import read_photo
from torch.testing import assert_close

# Columns: what red, green and blue are in CIE XYZ, adapted to D50 (ICC's white); of Display P3 and of sRGB.
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
CHEEK = (205, 150, 125)


def matrix_profile(matrix: np.ndarray, gamma: float = 2.2) -> bytes:
    """An ICC profile (version 2) of three primaries and one gamma."""

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    name = b"Display P3\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249),
        **{
            letter + b"XYZ": b"XYZ " + bytes(4) + fixed(*column)
            for letter, column in zip((b"r", b"g", b"b"), matrix.T, strict=True)
        },
        **{
            letter + b"TRC": b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
            for letter in (b"r", b"g", b"b")
        },
    }
    offset, table, data = 128 + 4 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for key, value in tags.items():
        value += bytes(-len(value) % 4)
        table += key + struct.pack(">II", offset + len(data), len(value))
        data += value
    header = struct.pack(">I4sI4s4s4s", offset + len(data), b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return header + bytes(128 - len(header)) + table + data


def in_srgb(pixel, matrix: np.ndarray, gamma: float = 2.2) -> torch.Tensor:
    """What an 8-bit pixel of a profile is in sRGB, 0..1."""
    linear = np.linalg.solve(SRGB, matrix @ (np.array(pixel) / 255) ** gamma)
    return torch.from_numpy(
        np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clip(0) ** (1 / 2.4) - 0.055)
    )


@pytest.mark.parametrize("name", ["cheek.png", "cheek.jpg", "cheek.webp", "cheek.tiff"])
def test_a_display_p3_cheek_is_the_same_colour_in_srgb(tmp_path, name):
    options = {"lossless": True} if name.endswith("webp") else {}
    Image.new("RGB", (16, 16), CHEEK).save(tmp_path / name, icc_profile=matrix_profile(P3), **options)
    rgb, alpha = read_photo(tmp_path / name)
    assert alpha is None
    assert_close(rgb[:, 8, 8].double(), in_srgb(CHEEK, P3), atol=1.5 / 255, rtol=0)
    assert float((rgb[:, 8, 8] - torch.tensor(CHEEK) / 255).abs().max()) > 0.03  # and not what the bytes say


def test_alpha_stays_beside_converted_colours(tmp_path):
    picture = Image.new("RGBA", (16, 16), (*CHEEK, 128))
    picture.save(tmp_path / "cheek.png", icc_profile=matrix_profile(P3))
    rgb, alpha = read_photo(tmp_path / "cheek.png")
    assert_close(rgb[:, 8, 8].double(), in_srgb(CHEEK, P3), atol=1.5 / 255, rtol=0)
    assert_close(alpha, torch.full((1, 16, 16), 128 / 255))


def test_srgb_s_own_profile_changes_nothing(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels).save(tmp_path / "with.png", icc_profile=own)
    Image.fromarray(pixels).save(tmp_path / "without.png")
    assert torch.equal(read_photo(tmp_path / "with.png")[0], read_photo(tmp_path / "without.png")[0])


@pytest.mark.parametrize("profile", [b"no profile at all", matrix_profile(P3)[:200], bytes(300)])
def test_a_broken_profile_is_ignored_with_a_word(tmp_path, caplog, profile):
    Image.new("RGB", (16, 16), CHEEK).save(tmp_path / "cheek.png", icc_profile=profile)
    with caplog.at_level(logging.WARNING):
        rgb, _ = read_photo(tmp_path / "cheek.png")
    assert_close(rgb[:, 8, 8], torch.tensor(CHEEK) / 255)
    assert "colour profile is broken and ignored" in caplog.text


def test_a_profile_of_other_colours_than_the_file_is_ignored(tmp_path, caplog):
    Image.new("L", (16, 16), 100).save(tmp_path / "grey.png", icc_profile=matrix_profile(P3))
    with caplog.at_level(logging.WARNING):
        rgb, _ = read_photo(tmp_path / "grey.png")
    assert_close(rgb[:, 8, 8], torch.full((3,), 100 / 255))
