# Everything a contributor runs. Each target sets up what it needs in .venv first; `make demo` needs only Python.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
TEST_JOBS ?= 2

.PHONY: help demo cluster-demo test test-fast test-long lint bench petascale lock docs wheel clean
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.runtime ## make and load a sky of 1M objects and 10M sources, and ask it four questions
	@PATH="$(abspath $(BIN)):$$PATH" sh examples/demo.sh

cluster-demo: packages $(VENV)/.dev ## the same on a cluster of three workers, one of which is killed
	@PATH="$(abspath $(BIN)):$$PATH" sh examples/demo.sh
	@$(BIN)/python examples/cluster_demo.py "$${QSKY_DEMO_FOLDER:-qsky-demo}/root"

test: packages $(VENV)/.dev ## everything CI runs, with coverage (at most 20 minutes)
	@$(BIN)/pytest -n $(TEST_JOBS) --dist loadgroup -o faulthandler_timeout=600 -m "not long" --cov --cov-report=term:skip-covered

test-fast: $(VENV)/.dev ## what needs no server and no patience (at most 3 minutes)
	@$(BIN)/pytest -n $(TEST_JOBS) --dist loadgroup -o faulthandler_timeout=120 -m "not long and not slow"

test-long: packages $(VENV)/.dev ## the fault matrix, soak, peers, large random runs
	@$(BIN)/pytest -n $(TEST_JOBS) --dist loadgroup

lint: $(VENV)/.dev ## ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

petascale: $(VENV)/.dev ## planner, dispatcher and keeper at LSST scale, by simulation (BENCH_ARGS=--help)
	@$(BIN)/python -m benchmarks.petascale $(BENCH_ARGS)

bench: $(VENV)/.dev ## measure everything beside its peers (10 minutes; OBJECTS=20e6, BENCH_ARGS=--help)
	@PYTHON="$(PYTHON)" scripts/debian-packages bench || echo "Goes on without the peers that are missing." >&2
	@$(BIN)/python -m benchmarks $(OBJECTS) $(BENCH_ARGS)

lock: $(VENV)/.dev ## write the lock files again (UV_ARGS=--upgrade for newer versions)
	@UV="$${UV:-$(BIN)/uv}" scripts/lock $(UV_ARGS)

docs: $(VENV)/.dev ## write the reference pages that are made from the code
	@$(BIN)/python scripts/reference_pages.py

wheel: $(VENV)/.dev ## build the wheel into dist/
	@$(BIN)/python -m hatchling build -t wheel

clean: ## remove what make made
	rm -rf $(VENV) dist build qsky-demo .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: packages
packages:
	@PYTHON="$(PYTHON)" scripts/debian-packages

# A Debian without python3-venv cannot make one; then the packages come first.
$(BIN)/python:
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { PYTHON="$(PYTHON)" scripts/debian-packages && $(PYTHON) -m venv --clear $(VENV); }

$(VENV)/.runtime: requirements/lock.txt pyproject.toml | $(BIN)/python
	@echo "Installing Qsky into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/lock.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/lock-dev.txt $(VENV)/.runtime
	@echo "Installing what the tests need into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/lock-dev.txt
	@touch $@
