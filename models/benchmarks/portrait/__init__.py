"""The whole of Portrait Diffusion, stage by stage."""
