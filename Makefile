# `make` says what there is. Every target makes .venv with pip when it is missing or older than pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup train test check torture bench gpu-check docs dashboard clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,joblib,onnx]'
	@touch $@

setup: $(STAMP)  ## make .venv with everything in it (a few minutes, once)

train: $(STAMP)  ## train on the embedded images: about two minutes on two cores
	$(BIN)/sota-exp train

# The tests and the programs that they start compile each module once, also where Python is told to keep nothing.
test check torture: export PYTHONDONTWRITEBYTECODE :=
# Material's note on a second edition of MkDocs, which is no concern of these pages.
docs check: export NO_MKDOCS_2_WARNING := 1

# Three at a time on two cores: a third of their time they wait for servers, clocks and other processes.
test: $(STAMP)  ## the whole test suite, with a share of the torture
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not torture"

check: $(STAMP)  ## format, lint, types, pages, fast tests: what to run before a commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mkdocs build --strict --quiet
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow and not torture"

torture: $(STAMP)  ## damage, kills, full disks, bad servers, strangers, random configurations: at most 40 minutes
	$(BIN)/python -m tests.torture
	$(BIN)/python -m pytest -n 2 --dist worksteal -m torture --ignore tests/torture/test_hostile.py

bench: $(STAMP)  ## speed, as ratios measured in one run
	$(BIN)/python -m benchmarks

gpu-check: $(STAMP)  ## what a GPU shows, in at most ten minutes: gpu-check.md
	$(BIN)/python -m benchmarks.gpu_check

docs: $(STAMP)  ## the documentation, as a site: build/site/index.html (.venv/bin/mkdocs serve: with its search)
	$(BIN)/mkdocs build --strict --quiet

dashboard: $(STAMP)  ## MLflow's pages on the runs so far
	$(BIN)/sota-exp dashboard

clean:  ## remove .venv and caches; runs stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
