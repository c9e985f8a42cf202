# Two commands: `make demo` (PHOTO=path of a portrait, or the one that ships) and `make test`.
# Nothing here depends on the folder's name; the environment lies outside it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
# Waiting OpenMP threads that spin make everything several times slower where cores are shared.
export OMP_WAIT_POLICY ?= passive
.PHONY: demo test unit screenshot python

PHOTO ?=
export PHOTO
PYTHON = "$$(python3 .ci/environment.py)"

demo:
	@python=$(PYTHON); exec "$$python" -m portrait_diffusion.workflows.demo $${PHOTO:+--photo "$$PHOTO"}

test:
	@python=$(PYTHON); exec "$${python%/*}/pytest" -q

unit:
	@python=$(PYTHON); exec "$${python%/*}/pytest" -q -m "not comfy"

screenshot:
	@python=$(PYTHON); exec "$$python" -m portrait_diffusion.workflows.screenshot

python:
	@exec python3 .ci/environment.py
