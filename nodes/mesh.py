"""Mesh nodes: head -> MESH and GLB, MESH <-> FILE_3D, turntable."""

from __future__ import annotations

import math

import comfy.model_management as mm
import torch
from comfy_api.latest import Types, io

from ..models.head import Head
from ..models.mesh import turntable
from ..models.mesh.gltf import from_glb, to_glb
from ..models.mesh.mesh import Mesh
from ..models.portrait import DELIVERED, MeshConfig, head_to_mesh
from . import convert, loading
from .optimising import Progress
from .types import CATEGORY, HeadWire, video


class HeadToMesh(io.ComfyNode):
    """Surface, texture, GLB."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionHeadToMesh",
            display_name="Head to Mesh",
            category=CATEGORY,
            description="Takes the surface out of a head and bakes its colours: a MESH, a self-contained GLB in metres, and the texture.",
            search_aliases=["marching cubes", "glb", "texture bake", "uv", "export 3d head"],
            inputs=[
                HeadWire.Input("head", tooltip="From Invert Portrait or Load Head."),
                io.Int.Input(
                    "resolution",
                    default=120,
                    min=32,
                    max=512,
                    step=8,
                    tooltip="Cells of the sampling grid along the head's box; faces grow with its square.",
                ),
                io.Combo.Input(
                    "colours",
                    options=["texture", "vertex colours"],
                    default="texture",
                    tooltip="A UV-mapped texture, or the lighter vertex colours.",
                ),
                io.Int.Input(
                    "texture_size",
                    default=DELIVERED.texture_size,
                    min=64,
                    max=4096,
                    step=64,
                    tooltip="Pixels of the square texture.",
                ),
                io.Int.Input(
                    "target_faces",
                    default=0,
                    min=0,
                    max=2_000_000,
                    step=1000,
                    tooltip="At most this many faces; 0 for as many as the resolution gives.",
                ),
                io.Float.Input(
                    "surface_density",
                    default=0.0,
                    min=0.0,
                    max=1_000_000.0,
                    step=1.0,
                    advanced=True,
                    tooltip="Density, per scene unit, at which the surface lies; 0 takes the prior's own.",
                ),
                io.Boolean.Input(
                    "photo",
                    default=DELIVERED.photo,
                    optional=True,  # graphs of before have none
                    tooltip="Takes detail from the photo itself where the surface faces it; elsewhere, and when off, the head's own colours. Textures only.",
                ),
            ],
            outputs=[
                io.Mesh.Output(display_name="mesh", tooltip="In metres, y up, face along +z."),
                io.File3DGLB.Output(display_name="glb", tooltip="For Save 3D Model and Preview 3D."),
                io.Image.Output(
                    display_name="texture",
                    tooltip="The base-colour texture; one white pixel for vertex colours.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        head,
        resolution: int,
        colours: str,
        texture_size: int,
        target_faces: int,
        surface_density: float = 0.0,
        photo: bool = DELIVERED.photo,
    ) -> io.NodeOutput:
        config = MeshConfig(
            resolution=resolution,
            texture_size=texture_size if colours == "texture" else 0,
            target_faces=target_faces or None,
            surface_density=surface_density or None,
            photo=photo,
        )
        progress = Progress(100)
        ready = loading.ready(head, memory=512 * 2**20)
        mesh = head_to_mesh(ready, config, callback=lambda share: progress.update(int(100 * share))).to("cpu")
        progress.update(100)
        texture = torch.ones(1, 3, 1, 1) if mesh.texture is None else mesh.texture[None]
        words = f"{len(mesh.faces)} faces, {len(mesh.vertices)} vertices, {colouring(mesh, ready, photo)}"
        glb = convert.glb_file(to_glb(mesh, metres_per_unit=convert.METRES_PER_UNIT, synthetic=True))
        return io.NodeOutput(convert.to_mesh(mesh), glb, convert.to_image(texture), ui={"text": [words]})


def colouring(mesh: Mesh, head: Head, photo: bool) -> str:
    """Where a mesh's colours are from, in words."""
    if mesh.texture is None:
        return "vertex colours"
    words = f"{mesh.texture.shape[-1]} pixel texture"
    if not photo:
        return words
    return f"{words} with the photo" if head.reference is not None else f"{words}, the head has no photo"


class MeshToFile3D(io.ComfyNode):
    """MESH -> FILE_3D_GLB, which core lacks."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionMeshToFile3D",
            display_name="Mesh to GLB File",
            category=CATEGORY,
            description="Writes a MESH as a self-contained GLB with normals, for core's 3D viewers and savers. Takes the first of a batch.",
            search_aliases=["mesh to file", "glb", "file 3d", "convert mesh"],
            inputs=[io.Mesh.Input("mesh", tooltip="In metres.")],
            outputs=[io.File3DGLB.Output(display_name="glb")],
        )

    @classmethod
    def execute(cls, mesh) -> io.NodeOutput:
        first = convert.from_mesh(mesh)[0]
        return io.NodeOutput(convert.glb_file(to_glb(first, metres_per_unit=convert.METRES_PER_UNIT)))


class File3DToMesh(io.ComfyNode):
    """FILE_3D -> MESH, which core lacks."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionFile3DToMesh",
            display_name="GLB File to Mesh",
            category=CATEGORY,
            description="Reads a GLB into a MESH: geometry, UVs, base-colour texture or vertex colours.",
            search_aliases=["file to mesh", "load glb", "file 3d", "convert mesh"],
            inputs=[
                io.MultiType.Input(
                    "file", [io.File3DGLB, io.File3DAny], tooltip="A GLB, as from Load 3D or Head to Mesh."
                )
            ],
            outputs=[io.Mesh.Output(display_name="mesh", tooltip="In metres.")],
        )

    @classmethod
    def execute(cls, file: Types.File3D) -> io.NodeOutput:
        if file.format not in ("glb", ""):
            raise ValueError(
                f"file: expected a GLB, got {file.format or 'an unnamed format'}; export the model as .glb"
            )
        return io.NodeOutput(
            convert.to_mesh(from_glb(file.get_bytes(), metres_per_unit=convert.METRES_PER_UNIT))
        )


class Turntable(io.ComfyNode):
    """MESH -> frames of a full turn."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PortraitDiffusionTurntable",
            display_name="Turntable",
            category=CATEGORY,
            description="Turns a mesh once around and shows its own colours, unlit: frames and a video.",
            search_aliases=["spin", "360 video", "orbit video", "render mesh"],
            inputs=[
                io.Mesh.Input("mesh", tooltip="In metres, y up, as from Head to Mesh."),
                io.Int.Input("frames", default=48, min=2, max=720, tooltip="Frames of one full turn."),
                io.Int.Input(
                    "size", default=256, min=32, max=2048, step=32, tooltip="Pixels of the square frames."
                ),
                io.Float.Input(
                    "fps",
                    default=24.0,
                    min=1.0,
                    max=120.0,
                    step=1.0,
                    tooltip="Frames per second of the video.",
                ),
                io.Float.Input(
                    "pitch_degrees",
                    default=0.0,
                    min=-89.0,
                    max=89.0,
                    step=1.0,
                    tooltip="Elevation of the camera, degrees.",
                ),
                io.Color.Input("background", default="#ffffff", tooltip="Colour behind the mesh."),
            ],
            outputs=[
                io.Image.Output(
                    display_name="frames", tooltip="One picture per frame, the first from the front."
                ),
                io.Video.Output(display_name="video", tooltip="For Save Video."),
            ],
        )

    @classmethod
    def execute(
        cls, mesh, frames: int, size: int, fps: float, pitch_degrees: float, background: str
    ) -> io.NodeOutput:
        first = convert.from_mesh(mesh)[0].to(mm.get_torch_device())
        progress = Progress(frames)
        pictures = turntable.frames(
            first,
            count=frames,
            size=size,
            pitch=math.radians(pitch_degrees),
            background=convert.color(background),
            callback=lambda done, _, frame: progress.update(
                done, convert.to_pil(frame) if done % 6 == 0 else None
            ),
        )
        images = convert.to_image(pictures)
        return io.NodeOutput(images, video(images, fps))
