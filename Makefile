# Every target sets up what it needs in .venv and is quick when nothing changed. Start with: make help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
REPORTS ?= reports

.DEFAULT_GOAL := help
.PHONY: help env system run test serve check bench lab lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

env: $(STAMP) ## set up .venv from requirements.lock, nothing else

$(STAMP): requirements.lock bootstrap.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11, 5) else f"Python 3.11.5 or newer is needed, got {sys.version.split()[0]}; say which one with: make PYTHON=/path/to/python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r bootstrap.lock
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

system: ## Chromium (browser tests) and CJK fonts (pictures), where this machine lets us
	@bash tools/system_packages.sh

run: env system ## the main job: one whole iteration on the embedded simulated district, report at the end
	@$(BIN)/workbench run --resume --out $(REPORTS)

test: env system ## the whole test suite
	@$(BIN)/python -m pytest -q

serve: env ## the apps, on http://127.0.0.1:5006
	@$(BIN)/workbench serve --reports $(REPORTS)

check: env ## lint, format, types and the rules of the house
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/architecture tests/contract

bench: env ## every benchmark, beside its peers; writes benchmarks/RESULTS.md
	@$(BIN)/workbench bench

lab: env ## JupyterLab on notebooks/, with the kernel ready
	@$(BIN)/jupyter lab --notebook-dir=.

lock: env ## make requirements.lock, bootstrap.lock and environment.yml anew from pyproject.toml
	@$(BIN)/python tools/lock.py

clean: ## remove what can be made again, but no report
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache catalogs/.generated
