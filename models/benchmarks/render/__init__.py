"""Renderers: their speed, and that they agree."""
