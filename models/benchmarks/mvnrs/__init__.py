"""Whose noise views are denoised from."""
