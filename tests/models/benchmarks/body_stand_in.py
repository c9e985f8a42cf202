"""A body model in anny's stead: a ball for a head on a column, two balls for eyes, behind sockets of one ring each."""

from types import SimpleNamespace

import torch
from portrait_diffusion.models.benchmarks.anny.subdivision import sphere
from portrait_diffusion.models.benchmarks.anny.template import make_template

EYE, APART = 0.0155, 0.06  # metres


def stand_in():
    """A template of it."""
    return make_template(body_model(), parts)


def body_model():
    """What of anny's model is used: metres, +z up, the face along -y."""
    ball, faces = sphere(18, 24)
    head = torch.stack([0.075 * ball[:, 0], 0.098 * ball[:, 1], 0.115 * ball[:, 2]], 1)
    torso = head * torch.tensor([2.4, 1.2, 1.6]) - torch.tensor([0.0, 0.0, 0.34])
    eyes = [ball * EYE + torch.tensor([side * APART / 2, -0.075, 0.0]) for side in (1, -1)]
    parts = [head, torso, *eyes]
    starts = torch.tensor([0] + [len(part) for part in parts]).cumsum(0).tolist()
    labels = ("head", "body", "eye_front.L", "eye_front.R")
    owner = [label for label in labels for _ in range(len(faces))]
    near = torch.cat(parts)
    every = torch.cat([faces + start for start in starts[:-1]])
    socket = ((near[every].mean(1)[:, [0, 2]].abs() - torch.tensor([APART / 2, 0.0])).norm(dim=1) < 0.02) & (
        near[every].mean(1)[:, 1] < -0.06
    )
    model = _Body(near, every)
    model.owner = [
        f"eye_cavity.{'L' if float(near[face].mean(0)[0]) > 0 else 'R'}"
        if name == "head" and inside
        else name
        for name, face, inside in zip(owner, every, socket.tolist(), strict=True)
    ]
    return model


def parts(model, names):
    """[F] bool: faces of the named parts."""
    return torch.tensor([name in names for name in model.owner])


class _Body(SimpleNamespace):
    """Grows wider with weight; its nose with one local change."""

    def __init__(self, vertices, faces):
        super().__init__(
            vertices=vertices,
            faces=faces,
            owner=[],
            bone_count=1,
            phenotype_labels=["weight"],
            local_change_labels=["nose-hump-incr"],
        )

    def __call__(self, pose_parameters, phenotype_kwargs, local_changes_kwargs, facial_actions):
        wider = 1 + 0.1 * (phenotype_kwargs["weight"] - 0.5)
        return {"vertices": (self.vertices * torch.tensor([wider, 1.0, 1.0]))[None]}
