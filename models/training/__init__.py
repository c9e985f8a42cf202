"""One file per thing that is trained; each writes the weights it ships."""
