# make demo: a VM from red to green, then ten serial ports.  make test: everything that is promised.
# Both do their own set-up (scripts/setup); set-up and test guests are cached, the second run is quick.

.DEFAULT_GOAL := help
.PHONY: help demo test test-full bench lint format pictures pins clean
MAKEFLAGS += --no-print-directory

# Bytecode is kept whatever the environment says: without it a start takes half as long again.
export PYTHONDONTWRITEBYTECODE :=

PYTHON_DEV := .venv/bin/python
PYTEST := $(PYTHON_DEV) -m pytest
# Tests side by side; tests/abreast.py says how many, and what stays together.
WORKERS := auto
ABREAST := -p abreast -n $(WORKERS)

help:
	@sed -n '/^[a-z-]*:.*##/s/:.*##/\t/p' Makefile | expand -t 12

demo: ## a VM that does not start: named, shown, mended, proven; then ten ports and hot-plug
	@scripts/setup runtime
	@.venv/bin/python scripts/demo

test: ## unit, golden, fake and mutant tests, linters and types, live tests on both architectures
	@scripts/setup dev
	@$(PYTEST) $(ABREAST) $(PYTEST_ARGS)

test-full: ## the same and the long matrix: releases, QEMU versions, 240 virtio and 60 usb ports
	@scripts/setup dev
	@scripts/system-packages full
	@$(PYTEST) -m "full or not full" $(ABREAST) $(PYTEST_ARGS)

bench: ## the figures, each measured beside its peer or an earlier build, in one table
	@scripts/setup dev
	@$(PYTHON_DEV) benchmarks/table.py $(BENCHMARKS)

lint: ## style, types and layers alone
	@scripts/setup dev
	@$(PYTEST) tests/unit/test_lint.py $(PYTEST_ARGS)

format: ## put the sources in order
	@scripts/setup dev
	@$(PYTHON_DEV) -m ruff check --fix --quiet .
	@$(PYTHON_DEV) -m ruff format .

pictures: ## the README's pictures, from real runs
	@scripts/setup dev
	@$(PYTHON_DEV) scripts/make-pictures

pins: ## write requirements/*.txt anew (needs pip-compile)
	@scripts/pin

clean: ## remove what was made here; caches under XDG_CACHE_HOME stay
	@rm -rf .venv out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
