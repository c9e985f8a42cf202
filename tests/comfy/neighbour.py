"""A pack of another author, copied into the test server's custom_nodes: sources of what core's nodes never make, good and bad."""

import sys
import types

import comfy.model_base
import comfy.model_management as mm
import comfy.model_patcher
import comfy.supported_models
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from comfy_api.latest import ComfyExtension, Types, io

WIDTH, TOKENS = 64, 7  # of prompts


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


def small_model(
    linear=False, in_channels=4, model_type=comfy.model_base.ModelType.EPS
) -> comfy.model_patcher.ModelPatcher:
    """Stable Diffusion 1.5 (with `linear` as 2.1) as core's loaders make it, but for its widths; weights by a seed."""
    config = comfy.supported_models.SD15(
        {
            "image_size": 32,
            "in_channels": in_channels,
            "out_channels": 4,
            "model_channels": 32,
            "num_res_blocks": [2, 2, 2, 2],
            "channel_mult": [1, 2, 4, 4],
            "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
            "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
            "transformer_depth_middle": 1,
            "context_dim": WIDTH,
            "use_spatial_transformer": True,
            "use_linear_in_transformer": linear,
            "legacy": False,
            "adm_in_channels": None,
            "dtype": torch.float32,
        }
    )
    model = comfy.model_base.BaseModel(config, model_type, device=torch.device("cpu"))
    seeded(model.diffusion_model)
    device = mm.get_torch_device()
    return comfy.model_patcher.CoreModelPatcher(
        model, load_device=device, offload_device=mm.unet_offload_device()
    )


def small_zero123() -> comfy.model_patcher.ModelPatcher:
    """Stable-Zero123 as core's loaders make it, but for its widths."""
    patcher = small_model(in_channels=8)
    g = torch.Generator().manual_seed(0)
    model = comfy.model_base.Stable_Zero123(
        patcher.model.model_config,
        device=torch.device("cpu"),
        cc_projection_weight=torch.randn(WIDTH, WIDTH + 4, generator=g) * 0.1,
        cc_projection_bias=torch.randn(WIDTH, generator=g),
    )
    model.diffusion_model.load_state_dict(patcher.model.diffusion_model.state_dict())
    return comfy.model_patcher.CoreModelPatcher(
        model, load_device=patcher.load_device, offload_device=patcher.offload_device
    )


class Tower:
    """What of a CLIP_VISION is read, of some width."""

    def __init__(self, width: int = WIDTH) -> None:
        self.width = width

    def encode_image(self, image, crop=True):
        assert image.ndim == 4 and image.shape[-1] == 3
        pooled = torch.nn.functional.adaptive_avg_pool2d(image.movedim(-1, 1), 8).flatten(1)
        return {"image_embeds": pooled[:, : self.width]}


def small_vae() -> types.SimpleNamespace:
    """What of core's VAE is read, but for its widths; weights by a seed."""
    shape = {
        "double_z": True,
        "z_channels": 4,
        "resolution": 32,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 2, 2, 2],
    }
    model = AutoencoderKL(
        ddconfig={**shape, "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0}, embed_dim=4
    )
    return types.SimpleNamespace(first_stage_model=seeded(model).eval().requires_grad_(False))


def seeded(module):
    """Core leaves weights unset."""
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            norm = torch.full_like(parameter, float(name.endswith("weight")))
            parameter.copy_(norm if parameter.ndim == 1 else torch.randn(parameter.shape, generator=g) * 0.05)
    return module


def small_prompt(seed: int) -> list:
    """A CONDITIONING as core makes it."""
    return [[torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed)), {}]]


def things() -> dict:
    """Name -> what a careless node might put on a wire."""
    vertices, faces = box()
    return {
        "nan image": torch.full((1, 64, 64, 3), float("nan")),
        "empty image": torch.zeros(0, 64, 64, 3),
        "nan mask": torch.full((1, 64, 64), float("nan")),
        "box": Types.MESH(vertices[None], faces[None]),
        "plain box": types.SimpleNamespace(
            vertices=vertices[None], faces=faces[None].float()
        ),  # as other packs' look-alikes
        "empty mesh": Types.MESH(torch.zeros(1, 0, 3), torch.zeros(1, 0, 3, dtype=torch.long)),
        "wild mesh": Types.MESH(vertices[None], faces[None] + 100),
        "nan mesh": Types.MESH(vertices[None] * float("nan"), faces[None]),
        "camera on its target": {
            "position": dict.fromkeys("xyz", 0.0),
            "target": dict.fromkeys("xyz", 0.0),
            "zoom": 1,
        },
        "camera without position": {"zoom": 1},
        "clip vision": Encoder(),
        "no face": {"frames": [[]]},
        "two frames": {"frames": [[], []]},
        "strange face": {"frames": [[{"landmarks_xy": [[1.0, 2.0]]}]]},
    }


MODELS = {
    "small model": small_model,
    "small vae": small_vae,
    "small zero123": small_zero123,
    "small tower": Tower,
    "small prompt": lambda: small_prompt(1),
    "small negative": lambda: small_prompt(2),
}


class Source(io.ComfyNode):
    """Anything, on any wire."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="NeighbourSource",
            display_name="Source",
            category="neighbour",
            inputs=[io.Combo.Input("what", options=[*things(), *MODELS])],
            outputs=[io.AnyType.Output()],
        )

    @classmethod
    def execute(cls, what):
        return io.NodeOutput(MODELS[what]() if what in MODELS else things()[what])


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
            if name.endswith((".nodes.optimising", ".models.avatar.many")):
                module.SAVE_EVERY = 0.0
        return io.NodeOutput(image)


class NeighbourExtension(ComfyExtension):
    async def get_node_list(self):
        return [Source, SaveOften]


async def comfy_entrypoint():
    return NeighbourExtension()
