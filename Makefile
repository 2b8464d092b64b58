# Two commands do everything: `make quickstart` and `make test`. Both make their own environment.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
DATA ?=
OUT ?= runs/quickstart

.PHONY: quickstart test test-faults lint types check slow bench clean

quickstart: $(VENV)/.installed-user  ## speech -> trained VQ-VAE -> codes -> report, in minutes
	$(BIN)/python recipes/quickstart.py DATA="$(DATA)" OUT="$(OUT)"

test: $(VENV)/.installed-dev lint types  ## lint, types, and every test that takes no minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --quiet

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

slow: $(VENV)/.installed-dev  ## the tests that take minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet -m slow

test-faults: $(VENV)/.installed-dev  ## kills, hanging ranks, restarts, many times over; minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet -m faults

bench: $(VENV)/.installed-dev  ## measured comparisons, results on stdout
	$(BIN)/python benchmarks/quantizer.py
	$(BIN)/python benchmarks/bottlenecks.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/import_time.py
	$(BIN)/python benchmarks/step.py

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,13) and 'audiovq needs Python 3.11 to 3.13, this is ' + sys.version.split()[0] + ': set PYTHON=')"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-user: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable ".[train,metrics,units,synth]"
	touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable ".[dev]"
	touch $@ $(VENV)/.installed-user

clean:  ## forget the environment and everything that was made
	rm -rf $(VENV) runs dist build .pytest_cache .mypy_cache .ruff_cache
