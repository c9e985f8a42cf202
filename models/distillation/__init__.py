"""What is learnt from a diffusion model's views goes into a head here."""
