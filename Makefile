# make setup   an environment in .venv with the project installed (.venv/bin/ovss)
# make demo    segment and evaluate a few scenes with the model that comes along
# make test    the test suite in two processes, WORKERS=4 in four (test-all: the slow ones too)
# make dist    wheel and source distribution in dist/, built, checked, installed and tried
# make docs    the site, in build/site (open index.html)
# make lint    ruff, mypy and the import contract
# make clean   remove what these made, .venv included

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=
# processes that share the tests, one file at a time; each computes with one thread
WORKERS ?= 2
SHARED_TESTS := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
# the newest versions that were tested; `make setup CONSTRAINTS=` installs the newest of all
CONSTRAINTS ?= constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all dist docs lint format clean

help:
	@sed -n 's/^# //p' Makefile

setup: $(STAMP)

# torch and torchvision are resolved in one go, with everything else, so that they fit together.
# Made anew only when what is installed, or how, has changed.
$(STAMP): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 10) and "error: ovss needs Python 3.10 or newer, %s is %d.%d; name another: make setup PYTHON=python3.12" % (sys.executable, v[0], v[1]))'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'installing into $(VENV): a few minutes the first time'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) --editable '.[test,lint,docs]'
	@touch $@

demo: $(STAMP)
	$(BIN)/ovss demo $(ARGS)

test: $(STAMP)
	$(BIN)/python -m pytest $(SHARED_TESTS) $(ARGS)

test-all: $(STAMP)
	$(BIN)/python -m pytest --slow $(SHARED_TESTS) $(ARGS)

dist: $(STAMP)
	$(BIN)/python tools/build_dist.py
	$(BIN)/python -m pytest --slow tests/release $(ARGS)

# NO_MKDOCS_2_WARNING: mkdocs-material prints that it has a successor, which reads the same file
docs: $(STAMP)
	$(BIN)/python tools/build_site.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo 'open build/site/index.html'

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist outputs *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
