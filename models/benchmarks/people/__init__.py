"""The factory of people: its speed, and pictures of it."""
