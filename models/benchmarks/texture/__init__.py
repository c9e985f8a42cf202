"""The photo as texture, with it and without, from aside."""
