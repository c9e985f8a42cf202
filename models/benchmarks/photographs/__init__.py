"""Photographs, of which no exact views exist."""
