"""Several people in one photo: which of them, in words, and where the others are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from ..camera import orbit
from .detection import Detection
from .mean_head import mean_head
from .pose import Pose

TURNS = {1: "a quarter turn counterclockwise", 2: "half a turn", 3: "a quarter turn clockwise"}


def silhouettes(poses: Sequence[Pose], crop_to_photo: Tensor, size: int) -> Tensor | None:
    """Where the mean head stands under any of the poses, in one person's crop: [1, size, size], 0 .. 1; None without poses.

    Args:
        crop_to_photo: [2, 3] float64, pixels of the crop -> photo pixels.
    """
    if not poses:
        return None
    centres = torch.arange(size, dtype=torch.float64) + 0.5
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)
    photo = grid @ crop_to_photo[:, :2].T + crop_to_photo[:, 2]  # [S, S, 2]
    masks = []
    for pose in poses:
        camera = orbit(torch.tensor(pose.yaw), torch.tensor(pose.pitch))
        own = pose.crop_to_photo(1)
        places = torch.linalg.solve(own[:, :2], (photo - own[:, 2])[..., None])[..., 0] * 2 - 1
        silhouette = mean_head().silhouette(camera, 48)
        masks.append(grid_sample(silhouette, places[None].to(silhouette), align_corners=False)[0])
    return torch.stack(masks).amax(0)


def faces_note(faces: Sequence[Detection], shrink: tuple[float, float]) -> str:
    """All faces in words, numbered as `face` counts them; shrink: pixels (x, y) of the photo per one of theirs."""
    places = [person.landmarks.mean(0) * torch.tensor(shrink, dtype=torch.float64) for person in faces]
    words = [
        f"{number} at x {x:.0f}, y {y:.0f} (score {person.score:.2f})"
        for number, (person, (x, y)) in enumerate(
            zip(faces, (place.tolist() for place in places), strict=True), 1
        )
    ]
    return f"faces: {', '.join(words)}"


def turn_note(turns: int) -> str:
    """How a photo was turned before a face was found; turns: quarter turns counterclockwise."""
    return f"the photo lies on its side or head: the face was found after {TURNS[turns]}"
