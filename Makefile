# Two commands: `make demo` (PHOTO=path of a portrait, WORKFLOW=name in workflows/api; or those that ship) and `make test`.
# Nothing here depends on the folder's name; the environment lies outside it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
# Waiting OpenMP threads that spin make everything several times slower where cores are shared.
export OMP_WAIT_POLICY ?= passive
# Empty: bytecode is kept. Else each of the many processes that tests start compiles all of torch and diffusers, 20 s of a slow core.
export PYTHONDONTWRITEBYTECODE :=
.PHONY: demo test unit lint types screenshot python

PHOTO ?=
WORKFLOW ?=
export PHOTO WORKFLOW
PYTHON = "$$(python3 .ci/environment.py)"
# Reference fixtures beside the checkout, where there are any; a few of them are in tests/golden.
GOLDEN = ../shared/golden
UNIT = -q -m "not comfy and not whole" -n 2 --dist worksteal
# A test of these mostly waits for one process that works on one core; by files, for a file's tests share what they wait for.
LONG = -q -m "comfy or whole" -n 2 --dist loadfile
GOLDEN_TESTS = $$(grep -rl --include="test_*.py" golden_fixtures tests/models)

demo:
	@python=$(PYTHON); exec "$$python" -m portrait_diffusion.workflows.demo $${PHOTO:+--photo "$$PHOTO"} $${WORKFLOW:+--workflow "$$WORKFLOW"}

test:
	@python=$(PYTHON); "$${python%/*}/pytest" $(UNIT) && "$${python%/*}/pytest" $(LONG) && \
	if [ -d "$(GOLDEN)" ]; then GOLDEN_DIR="$$(cd "$(GOLDEN)" && pwd)" "$${python%/*}/pytest" -q $(GOLDEN_TESTS); fi

unit:
	@python=$(PYTHON); exec "$${python%/*}/pytest" $(UNIT)

lint:
	@python=$(PYTHON); "$${python%/*}/ruff" check . && "$${python%/*}/ruff" format --check --quiet . && \
	"$${python%/*}/pyright" --pythonpath "$$python" && echo "lint: nothing to say"

# Of lint, what pyright (basic) says. It runs without the network: its extra brings node.
types:
	@python=$(PYTHON); "$${python%/*}/pyright" --pythonpath "$$python"

screenshot:
	@python=$(PYTHON); exec "$$python" -m portrait_diffusion.workflows.screenshot

python:
	@exec python3 .ci/environment.py
