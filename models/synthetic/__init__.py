"""Procedural heads with exact colour, mask, distance and normals: the data everything here is trained and measured on."""
