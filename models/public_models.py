"""Models that others publish and users bring: what they are for, where their files go, how large they are, under which licence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PublicModel:
    """One file, or folder, that its authors publish.

    Attributes:
        kind: what this pack uses it as. name: for people. folder: below ComfyUI's models. file: as it is usually called.
        size: in words. licence: as its authors state it. published: by whom and where. url: of their page or, where core's own templates
            and page name it, of the file.
    """

    kind: str
    name: str
    folder: str
    file: str
    size: str
    licence: str
    published: str
    url: str

    def where(self) -> str:
        """One sentence: which file goes where."""
        return (
            f"{self.name}: {self.file} (size: {self.size}; licence: {self.licence}; published by {self.published}) goes into "
            f"models/{self.folder}, or a folder that extra_model_paths.yaml names {self.folder}."
        )


PRIOR, DIFFUSION, BRANCHES, ZERO123, REFINER = "prior", "diffusion", "hpdm", "zero123", "turbo"
PUBLIC = (
    PublicModel(
        kind=PRIOR,
        name="PanoHead",
        folder="portrait_diffusion",
        file="easy-khair-180-gpc0.8-trans10-025000.pkl",
        size="563 MB",
        licence="CC-BY-4.0 by its page, NVIDIA's by its source files",
        published="its authors, on GitHub as SizheAn/PanoHead",
        url="https://github.com/SizheAn/PanoHead",
    ),
    PublicModel(
        kind=PRIOR,
        name="EG3D",
        folder="portrait_diffusion",
        file="ffhqrebalanced512-128.pkl",
        size="378 MB",
        licence="NVIDIA non-commercial",
        published="NVIDIA in its catalogue NGC, research/eg3d",
        url="https://catalog.ngc.nvidia.com/orgs/nvidia/teams/research/models/eg3d",
    ),
    PublicModel(
        kind=PRIOR,
        name="SphereHead",
        folder="portrait_diffusion",
        file="spherehead-ckpt-025000.pkl",
        size="not verified",
        licence="CC-BY-4.0 by its page",
        published="its authors, on GitHub as lhyfst/SphereHead",
        url="https://github.com/lhyfst/SphereHead",
    ),
    PublicModel(
        kind=DIFFUSION,
        name="Stable Diffusion 1.5",
        folder="checkpoints",
        file="v1-5-pruned-emaonly-fp16.safetensors",
        size="2.13 GB",
        licence="CreativeML OpenRAIL-M",
        published="Runway, who removed it, now in Comfy-Org's archive on Hugging Face",
        url="https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/v1-5-pruned-emaonly-fp16.safetensors",
    ),
    PublicModel(
        kind=DIFFUSION,
        name="SD-Turbo",
        folder="checkpoints",
        file="sd_turbo.safetensors",
        size="2.61 GB in half precision",
        licence="Stability AI Community",
        published="Stability AI on Hugging Face, stabilityai/sd-turbo",
        url="https://huggingface.co/stabilityai/sd-turbo",
    ),
    PublicModel(
        kind=BRANCHES,
        name="BrushNet for Stable Diffusion 1.5",
        folder="inpaint",
        file="brushnet_random_mask_fp16.safetensors",
        size="1.24 GB",
        licence="Apache-2.0",
        published="TencentARC, on GitHub as TencentARC/BrushNet",
        url="https://github.com/TencentARC/BrushNet",
    ),
    PublicModel(
        kind=ZERO123,
        name="Stable-Zero123",
        folder="checkpoints",
        file="stable_zero123.ckpt",
        size="8.58 GB",
        licence="Stability AI non-commercial; stable_zero123_c.ckpt: Community",
        published="Stability AI on Hugging Face, stabilityai/stable-zero123",
        url="https://huggingface.co/stabilityai/stable-zero123/resolve/main/stable_zero123.ckpt",
    ),
    PublicModel(
        kind=ZERO123,
        name="Zero123-XL",
        folder="checkpoints",
        file="zero123-xl.ckpt",
        size="15.5 GB",
        licence="MIT",
        published="its authors, on GitHub as cvlab-columbia/zero123",
        url="https://github.com/cvlab-columbia/zero123",
    ),
    PublicModel(
        kind=REFINER,
        name="Difix",
        folder="diffusers",
        file="a folder difix with unet and vae",
        size="3.8 GB",
        licence="NVIDIA non-commercial",
        published="NVIDIA on Hugging Face, nvidia/difix",
        url="https://huggingface.co/nvidia/difix",
    ),
)


def where_to_get(kind: str, file: str = "") -> str:
    """Sentences on the public files of a kind; one of the constants above. Args: file: what is missing; on that one alone where it is one."""
    models = [model for model in PUBLIC if model.kind == kind]
    same = [model for model in models if model.file == file.replace("\\", "/").rsplit("/", 1)[-1]]
    return " ".join(model.where() for model in same or models)
