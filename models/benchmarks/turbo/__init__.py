"""One-step refinement of views."""
