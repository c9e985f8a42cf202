"""Graphs that a user opens (*.json), the same for headless use (api/), and a small client that drives them through a real server."""
