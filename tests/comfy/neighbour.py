"""A pack of another author, copied into the test server's custom_nodes: sources of what core's nodes never make, good and bad."""

import sys
import types

import torch

from comfy_api.latest import ComfyExtension, Types, io


def box():
    """A box of 0.2 x 0.3 x 0.2 metres as MESH."""
    vertices = torch.tensor([[x, y, z] for x in (-0.1, 0.1) for y in (-0.15, 0.15) for z in (-0.1, 0.1)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = torch.tensor([triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))])
    return vertices, faces


class Encoder:
    """What stands in a CLIP_VISION's place: mean colours as embeddings."""

    def encode_image(self, image, crop=True):
        return {"image_embeds": image.mean((1, 2))}


def things() -> dict:
    """Name -> what a careless node might put on a wire."""
    vertices, faces = box()
    return {
        "nan image": torch.full((1, 64, 64, 3), float("nan")),
        "empty image": torch.zeros(0, 64, 64, 3),
        "nan mask": torch.full((1, 64, 64), float("nan")),
        "box": Types.MESH(vertices[None], faces[None]),
        "plain box": types.SimpleNamespace(vertices=vertices[None], faces=faces[None].float()),  # as other packs' look-alikes
        "empty mesh": Types.MESH(torch.zeros(1, 0, 3), torch.zeros(1, 0, 3, dtype=torch.long)),
        "wild mesh": Types.MESH(vertices[None], faces[None] + 100),
        "nan mesh": Types.MESH(vertices[None] * float("nan"), faces[None]),
        "camera on its target": {"position": dict.fromkeys("xyz", 0.0), "target": dict.fromkeys("xyz", 0.0), "zoom": 1},
        "camera without position": {"zoom": 1},
        "clip vision": Encoder(),
        "no face": {"frames": [[]]},
        "two frames": {"frames": [[], []]},
        "strange face": {"frames": [[{"landmarks_xy": [[1.0, 2.0]]}]]},
    }


class Source(io.ComfyNode):
    """Anything, on any wire."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NeighbourSource",
            display_name="Source",
            category="neighbour",
            inputs=[io.Combo.Input("what", options=list(things()))],
            outputs=[io.AnyType.Output()],
        )

    @classmethod
    def execute(cls, what):
        return io.NodeOutput(things()[what])


class SaveOften(io.ComfyNode):
    """Hands an image on, and lets the pack save resume states after every step."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NeighbourSaveOften",
            display_name="Save often",
            category="neighbour",
            inputs=[io.Image.Input("image")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image):
        for name, module in list(sys.modules.items()):
            if name.endswith(".nodes.optimising"):
                module.SAVE_EVERY = 0.0
        return io.NodeOutput(image)


class NeighbourExtension(ComfyExtension):
    async def get_node_list(self):
        return [Source, SaveOften]


async def comfy_entrypoint():
    return NeighbourExtension()
