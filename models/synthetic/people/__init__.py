"""Factory 3: people of light-stage scan shapes, with skin, hair, clothes and light, seen exactly from any camera."""
