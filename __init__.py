"""Portrait Diffusion for ComfyUI: one portrait photo -> a detailed 3D head."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Called by ComfyUI; nothing is imported before."""
    from .nodes import PortraitDiffusionExtension

    return PortraitDiffusionExtension()
