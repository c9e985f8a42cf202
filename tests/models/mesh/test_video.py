import av
import numpy as np
import pytest
import torch
from portrait_diffusion.models.mesh import video


def test_what_is_written_decodes_to_the_same_frames(tmp_path):
    ramp = torch.linspace(0.1, 0.9, 32).expand(32, 32)
    frames = torch.stack([torch.stack([ramp, ramp.T, torch.full_like(ramp, i / 10)]) for i in range(10)])
    path = tmp_path / "kopf ü.mp4"
    video.write_mp4(frames, path, 24)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate) == 24
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(decoded) == 10
    for frame, again in zip(frames, decoded, strict=True):
        # smooth colours survive halved chroma
        assert np.abs(frame.permute(1, 2, 0).numpy() - again / 255).mean() < 0.02


def test_a_rate_that_is_no_whole_number(tmp_path):
    video.write_mp4(torch.zeros(3, 3, 16, 16), tmp_path / "a.mp4", 29.97)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert abs(float(container.streams.video[0].average_rate) - 29.97) < 0.01


@pytest.mark.parametrize(
    ("frames", "fps", "words"),
    [
        (torch.zeros(2, 3, 15, 16), 24, "even width and height, got 16x15"),
        (torch.zeros(2, 3, 16, 0), 24, "even width and height, got 0x16"),
        (torch.zeros(0, 3, 16, 16), 24, "F >= 1"),
        (torch.zeros(2, 16, 16, 3), 24, r"frames \[F, 3, H, W\]"),
        (torch.zeros(2, 3, 16, 16), 0, "positive number of frames a second"),
    ],
)
def test_what_cannot_be_encoded_says_so_and_leaves_no_file(tmp_path, frames, fps, words):
    with pytest.raises(ValueError, match=words):
        video.write_mp4(frames, tmp_path / "a.mp4", fps)
    assert not list(tmp_path.iterdir())
