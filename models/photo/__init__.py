"""A photo file -> an aligned crop, its mask and camera."""
