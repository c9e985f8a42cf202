"""Frames -> an MP4 file that every browser plays."""

from __future__ import annotations

from fractions import Fraction
from os import PathLike

import torch
from torch import Tensor

ENCODERS = ("libx264", "libopenh264", "h264", "mpeg4")  # best first; all but the last write H.264


def write_mp4(frames: Tensor, path: str | PathLike[str], fps: float = 24.0, *, quality: int = 18) -> None:
    """Write H.264, yuv420p.

    Args:
        frames: [F, 3, H, W] sRGB in 0..1; H and W even.
        fps: frames a second.
        quality: x264's rate factor, 0 (lossless) to 51; 18 looks lossless.

    Raises:
        ValueError: no frames or another shape, an odd or empty size, or fps that are not positive.
    """
    import av

    if frames.ndim != 4 or frames.shape[1] != 3 or len(frames) < 1:
        raise ValueError(
            f"write_mp4: expected frames [F, 3, H, W] with F >= 1, got {list(frames.shape)}; render some first"
        )
    height, width = frames.shape[2:]
    if height % 2 or width % 2 or not height or not width:
        raise ValueError(
            f"write_mp4: H.264 expects an even width and height, got {width}x{height}; choose an even size"
        )
    if not fps > 0:
        raise ValueError(f"write_mp4: expected a positive number of frames a second, got {fps}; try 24")
    with av.open(str(path), "w", format="mp4") as container:
        stream = _stream(container, Fraction(fps).limit_denominator(1001), width, height, quality)
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(_bytes(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def _stream(container, rate: Fraction, width: int, height: int, quality: int):
    """A stream of the best encoder that this build of av has."""
    import av

    name = next((name for name in ENCODERS if name in av.codecs_available and _encodes(name)), None)
    if name is None:
        raise ValueError(
            f"write_mp4: expected av with one of the encoders {', '.join(ENCODERS)}, got none; reinstall the package av"
        )
    stream = container.add_stream(name, rate=rate, options={"crf": str(quality)} if name == "libx264" else {})
    stream.width, stream.height = width, height
    stream.pix_fmt = "yuv420p"
    if name != "libx264":
        stream.bit_rate = width * height * 24  # about 1 bit a pixel at 24 frames a second
    return stream


def _encodes(name: str) -> bool:
    from av.codec.codec import Codec, UnknownCodecError

    try:
        return Codec(name, "w").is_encoder
    except UnknownCodecError:
        return False


def _bytes(frame: Tensor):
    """[3, H, W] in 0..1 to uint8 [H, W, 3]."""
    return (
        (frame.detach().permute(1, 2, 0).float().clamp(0, 1) * 255)
        .round()
        .to(torch.uint8)
        .contiguous()
        .cpu()
        .numpy()
    )
