"""What fits a head: to a photo, or to views of it."""
