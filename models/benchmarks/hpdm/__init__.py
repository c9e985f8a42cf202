"""New views drawn by branches of an HPDM."""
