"""Denoisers of images in a latent space, and what is made of them: one contract, whatever network is behind it."""
