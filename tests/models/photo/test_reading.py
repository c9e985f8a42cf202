"""Photos of every kind, and what bad files are told."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from portrait_diffusion.models.photo.reading import MAX_SIDE, read_photo

from ..mesh.hostile import EPS

HEIGHT, WIDTH = 24, 36
BOXES = {"red": (0.8, 0.2, 0.2), "green": (0.2, 0.7, 0.3), "blue": (0.2, 0.3, 0.9), "grey": (0.5, 0.5, 0.5)}


def quarters() -> np.ndarray:
    """[24, 36, 3] uint8: one colour in each quarter, so that every turn shows."""
    picture = np.empty((HEIGHT, WIDTH, 3), np.float32)
    h, w = HEIGHT // 2, WIDTH // 2
    picture[:h, :w], picture[:h, w:], picture[h:, :w], picture[h:, w:] = BOXES.values()
    return (picture * 255).round().astype(np.uint8)


def expected() -> torch.Tensor:
    return torch.from_numpy(quarters()).permute(2, 0, 1).float() / 255


def grey() -> np.ndarray:
    return quarters()[..., 1]


def with_orientation(orientation: int) -> tuple[Image.Image, Image.Exif]:
    """A camera's file: pixels as the sensor saw them, and the tag that sets the picture upright."""
    undo = {
        2: 0,
        3: 3,
        4: 1,
        5: 5,
        6: 2,
        7: 6,
        8: 4,
    }  # the inverse of what a reader must do, as Image.Transpose
    exif = Image.Exif()
    exif[0x0112] = orientation
    return Image.fromarray(quarters()).transpose(Image.Transpose(undo[orientation])), exif


@pytest.mark.parametrize(
    "name, picture, options, tolerance",
    [
        ("rgb.png", lambda: Image.fromarray(quarters()), {}, 0.001),
        ("rgb.bmp", lambda: Image.fromarray(quarters()), {}, 0.001),
        ("rgb.tiff", lambda: Image.fromarray(quarters()), {"compression": "tiff_lzw"}, 0.001),
        ("rgb.webp", lambda: Image.fromarray(quarters()), {"lossless": True}, 0.001),
        ("rgb.jpg", lambda: Image.fromarray(quarters()), {"quality": 98, "subsampling": 0}, 0.05),
        ("cmyk.jpg", lambda: Image.fromarray(quarters()).convert("CMYK"), {"quality": 98}, 0.06),
        ("cmyk.tiff", lambda: Image.fromarray(quarters()).convert("CMYK"), {}, 0.01),
        ("palette.png", lambda: Image.fromarray(quarters()).quantize(8), {}, 0.02),
        ("palette.gif", lambda: Image.fromarray(quarters()).quantize(8), {}, 0.02),
        ("no suffix", lambda: Image.fromarray(quarters()), {"format": "PNG"}, 0.001),
        ("Größe 写真.png", lambda: Image.fromarray(quarters()), {}, 0.001),
    ],
)
def test_colour_files_read_alike(tmp_path, name, picture, options, tolerance):
    picture().save(tmp_path / name, **options)
    rgb, alpha = read_photo(tmp_path / name)
    assert rgb.shape == (3, HEIGHT, WIDTH) and rgb.dtype == torch.float32 and alpha is None
    inner = (rgb - expected()).abs()[:, 2::9, 2::9]  # away from the edges, where JPEG rings
    assert float(inner.max()) <= tolerance


@pytest.mark.parametrize(
    "name, picture",
    [
        ("grey.png", lambda: Image.fromarray(grey())),
        ("grey.jpg", lambda: Image.fromarray(grey())),
        ("sixteen.png", lambda: Image.fromarray(grey().astype(np.uint16) * 257)),
        ("sixteen.tiff", lambda: Image.fromarray(grey().astype(np.uint16) * 257)),
        ("float.tiff", lambda: Image.fromarray(grey().astype(np.float32) / 255)),
    ],
)
def test_grey_of_any_depth_becomes_rgb(tmp_path, name, picture):
    picture().save(tmp_path / name)
    rgb, alpha = read_photo(tmp_path / name)
    assert alpha is None and torch.equal(rgb[0], rgb[1]) and torch.equal(rgb[0], rgb[2])
    assert float((rgb[:1] - expected()[1:2]).abs()[:, 2::9, 2::9].max()) < 0.03


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, rows: bytes) -> bytes:
    """An RGB PNG that claims a size and holds `rows`."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_sixteen_bit_colour(tmp_path):
    deep = quarters().astype(np.uint16) * 257  # Pillow reads such files, but writes none
    (tmp_path / "deep.png").write_bytes(
        png(WIDTH, HEIGHT, 16, b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep))
    )
    rgb, _ = read_photo(tmp_path / "deep.png")
    assert float((rgb - expected()).abs().max()) < 0.005


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_exif_sets_the_picture_upright(tmp_path, suffix, orientation):
    picture, exif = with_orientation(orientation)
    picture.save(
        tmp_path / f"turned.{suffix}", exif=exif, **({"quality": 98} if suffix in ("jpg", "webp") else {})
    )
    rgb, _ = read_photo(tmp_path / f"turned.{suffix}")
    assert rgb.shape == (3, HEIGHT, WIDTH)
    assert float((rgb - expected()).abs()[:, 4::16, 4::24].max()) < 0.1


def test_alpha_comes_along(tmp_path):
    half = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    half[:, WIDTH // 2 :] = 255
    rgba = Image.fromarray(np.concatenate([quarters(), half], -1))
    rgba.save(tmp_path / "rgba.png")
    rgba.convert("LA").save(tmp_path / "la.png")
    rgba.save(tmp_path / "rgba.webp", lossless=True)
    for name in ("rgba.png", "la.png", "rgba.webp"):
        rgb, alpha = read_photo(tmp_path / name)
        assert alpha.shape == (1, HEIGHT, WIDTH) and rgb.shape == (3, HEIGHT, WIDTH)
        assert torch.equal(alpha[0], torch.from_numpy(half[..., 0]).float() / 255), name


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_transparent_palette_entry_is_alpha(tmp_path, suffix):
    indices = np.zeros((HEIGHT, WIDTH), np.uint8)
    indices[:, 18:] = 1
    picture = Image.frombytes("P", (WIDTH, HEIGHT), indices.tobytes())
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.save(tmp_path / f"p.{suffix}", transparency=0)
    rgb, alpha = read_photo(tmp_path / f"p.{suffix}")
    assert float(alpha[0, :, :18].max()) == 0 and float(alpha[0, :, 18:].min()) == 1
    assert torch.allclose(rgb[:, 3, 30], torch.tensor([200.0, 100.0, 50.0]) / 255)


def test_opaque_alpha_says_nothing(tmp_path):
    Image.fromarray(quarters()).convert("RGBA").save(tmp_path / "opaque.png")
    assert read_photo(tmp_path / "opaque.png")[1] is None


def test_the_first_frame_of_an_animation(tmp_path):
    first, second = (Image.new("RGB", (40, 40), colour) for colour in ((255, 0, 0), (0, 0, 255)))
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second], duration=50)
    assert torch.equal(read_photo(tmp_path / "moving.gif")[0][:, 20, 20], torch.tensor([1.0, 0.0, 0.0]))


def test_a_huge_photo_is_scaled_down_without_complaint(tmp_path, recwarn):
    Image.new("L", (12_000, 9_000), 128).save(tmp_path / "huge.jpg")
    rgb, _ = read_photo(tmp_path / "huge.jpg")
    assert rgb.shape == (3, MAX_SIDE * 3 // 4, MAX_SIDE)
    assert not [w for w in recwarn if issubclass(w.category, Image.DecompressionBombWarning)]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "I;16"])
def test_scaling_keeps_the_average(tmp_path, mode):
    wide = Image.new("L", (3000, 300), 0)
    wide.paste(255, (0, 0, 1500, 300))
    wide = Image.fromarray(np.asarray(wide).astype(np.uint16) * 257) if mode == "I;16" else wide.convert(mode)
    wide.save(tmp_path / "wide.png")
    rgb, _ = read_photo(tmp_path / "wide.png")
    assert rgb.shape == (3, 205, 2048)
    assert (
        abs(float(rgb.mean()) - 0.5) < 0.01
        and float(rgb[:, :, :1000].min()) > 0.99
        and float(rgb[:, :, 1050:].max()) < 0.01
    )


def encoded(format_: str, size: int = 200) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format_)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("nothing.png", b"", "is empty"),
        ("half.jpg", lambda: encoded("JPEG")[:9000], "cut off or damaged"),
        ("half.png", lambda: encoded("PNG")[:9000], "cut off or damaged"),
        ("half.webp", lambda: encoded("WEBP")[:9000], "cut off or damaged"),
        ("half.gif", lambda: encoded("GIF")[:2000], "cut off or damaged"),
        ("half.tiff", lambda: encoded("TIFF")[:9000], "cut off or damaged"),
        ("head.jpg", lambda: encoded("JPEG")[:20], "cut off or damaged"),
        ("film.mp4", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(100), "is a video"),
        ("film.png", b"\0\0\0\x20ftypqt  \0\0\2\0" + bytes(100), "is a video"),
        ("film.webm", b"\x1aE\xdf\xa3" + bytes(100), "is a video"),
        ("film.avi", b"RIFF\x10\0\0\0AVI LIST" + bytes(100), "is a video"),
        ("film.mpg", b"\0\0\x01\xb3\x10\0\x10\x13" + bytes(100), "is a video"),
        ("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "HEIC or AVIF"),
        ("words.png", b"this is no picture at all", "is none"),
        ("program.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "is none"),
        ("large.png", lambda: png(11_000, 10_000, 8, b""), "at most 108 million pixels"),
        ("bomb.png", lambda: png(100_000, 100_000, 8, b""), "at most 108 million pixels"),
    ],
)
def test_bad_files_are_told_in_one_sentence(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content() if callable(content) else content)
    with pytest.raises(ValueError, match=says) as caught:
        read_photo(tmp_path / name)
    assert (
        str(caught.value).startswith("photo: expected")
        and name in str(caught.value)
        and ";" in str(caught.value)
    )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["photo.eps", "photo.png", "photo.jpg", "photo.webp"])
def test_postscript_starts_no_program(tmp_path, monkeypatch, stand_in, name):
    monkeypatch.setenv("PATH", stand_in.environment["PATH"])
    (tmp_path / name).write_bytes(EPS)
    with pytest.raises(ValueError, match="is none"):
        read_photo(tmp_path / name)
    assert not stand_in.mark.exists()


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_photo(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match="is a folder"):
        read_photo(tmp_path)
    with pytest.raises(ValueError, match="does not exist"):
        read_photo(str(tmp_path / "nowhere.png"))
