"""Fields and how they become images."""
