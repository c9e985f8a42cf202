"""Triangle meshes: from a density to a textured GLB, pictures and a turntable. World frame and units: `models/__init__.py`."""
