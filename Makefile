# `make demo` and `make test` are the two commands of the README. Each makes .venv if it is not there.
# The first Python of at least 3.11 that runs.
PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13 python3.14; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
EXTRAS ?= dev
BIN = $(VENV)/bin

# The tests start hundreds of processes: what one has compiled the others need not.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test docs bench clean

demo: $(VENV)/.base
	$(BIN)/hbsim compare --variant stopping --variant promotion --variant hyperband --variant fifo \
	  --vary brackets=1,3,5 --surrogate digits --workers 16 --trials 500 --max-time 4 --out demo-results --force
	@$(BIN)/hbsim report demo-results --out demo-results/report.html --force > /dev/null
	@echo "Open demo-results/report.html. Next: $(BIN)/hbsim compare --help"

test: $(VENV)/.$(EXTRAS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 4 --dist worksteal

docs: $(VENV)/.docs
	$(BIN)/python docs/build.py

bench: $(VENV)/.dev
	$(BIN)/python -m pytest benchmarks --benchmark-only

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "hbsim needs Python 3.11 or newer: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.docs: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	touch $@

$(VENV)/.$(EXTRAS): pyproject.toml $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(EXTRAS)]"
	touch $@ $(VENV)/.base

clean:
	rm -rf $(VENV) build site .cache *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
