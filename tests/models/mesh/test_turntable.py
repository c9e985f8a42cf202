import math

import pytest
import torch
from portrait_diffusion.models import camera as c
from portrait_diffusion.models.mesh import texture, turntable
from portrait_diffusion.models.mesh.rasterize import render_mesh
from torch.testing import assert_close


def test_the_turn_starts_in_front_and_goes_to_the_subject_s_left(sphere):
    mesh = texture.color_vertices(sphere, lambda points, normals: points + 0.5)
    frames = turntable.frames(mesh, count=4, size=24, pitch=0.2)
    for i, frame in enumerate(frames):
        assert_close(frame, render_mesh(mesh, c.orbit(i * math.pi / 2, 0.2), 24, supersampling=2).rgb)
    # camera at +x: the middle of the picture shows the surface's largest x, its reddest place
    assert frames[1][0, 12, 12] > 0.75 > 0.25 > frames[3][0, 12, 12]


def test_open_meshes_show_their_insides(box):
    from dataclasses import replace

    lone = replace(
        box, vertices=box.vertices * 0.1 - 0.05, faces=box.faces[:2]
    )  # the side at x = -0.05, seen from behind
    frames = turntable.frames(lone, count=4, size=16)
    assert (frames[1] < 1).any() and (frames[3] < 1).any()


def test_every_frame_is_told_and_may_interrupt(box):
    told = []
    frames = turntable.frames(
        box, count=3, size=8, background=(0.0, 0.0, 0.0), callback=lambda *news: told.append(news)
    )
    assert [(done, total) for done, total, _ in told] == [(1, 3), (2, 3), (3, 3)]
    assert torch.equal(torch.stack([frame for *_, frame in told]), frames)

    def stop(done, total, frame):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        turntable.frames(box, count=3, size=8, callback=stop)


def test_no_frames_is_an_error(box):
    with pytest.raises(ValueError, match="at least one frame"):
        turntable.frames(box, count=0)
