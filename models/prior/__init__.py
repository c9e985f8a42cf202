"""Generators, and what turns a photo into a tri-grid."""
