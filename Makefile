# What a developer runs, each on a machine that has Python, make and git and nothing else prepared.
# The package itself is bound by no pins: constraints.txt holds only for what is installed here.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
# More arguments for pytest, as in: make test ARGS="-k redaction"
ARGS ?=
# Test processes at a time: three on two cores, as tests wait a lot. A file's tests stay together, they share costly
# fixtures.
JOBS ?= 3
# Rows of the matrix, as in: make matrix ROW=hydra-1.3.2; none means all.
ROW ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := outputs/demo
PICTURES := outputs/pictures/digits-lr
INSTALL := -e '.[loggers,report,example,dev]'

.PHONY: help env demo pictures test lint matrix pythons bench constraints clean check-python

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

env: $(STAMP) ## Make .venv and install the package with all that tests and demo use

demo: env ## Sweep the example app with lit_local, then read the record back from a checkpoint
	rm -rf $(DEMO)
	$(BIN)/python example_app/train.py -m hydra/launcher=lit_local optimizer=adam,sgd model=mlp,cnn hydra.sweep.dir=$(DEMO)
	@$(BIN)/python -c 'import glob, json; \
	  values = [json.load(open(path))["return_value"] for path in glob.glob("$(DEMO)/*/job.json")]; \
	  print(f"demo: {len(values)} jobs, best validation accuracy {100 * max(values):.1f} %"); \
	  assert len(values) == 4 and max(values) >= 0.95, "demo FAILED: fewer jobs, or less than 95 %"'
	@checkpoints=($(DEMO)/0/checkpoints/epoch*.ckpt); set -x; $(BIN)/lit-hydra show "$${checkpoints[0]}"

pictures: env ## Draw docs/ls.svg and docs/report.png, from a sweep of the example app of 24 jobs
	rm -rf $(PICTURES)
	$(BIN)/python example_app/train.py -m hydra/launcher=lit_local optimizer=adam,sgd model=mlp,cnn \
	  optimizer.lr=0.001,0.003,0.01,0.03,0.1,0.3 hydra.sweep.dir=$(PICTURES)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/terminal_picture.py docs/ls.svg \
	  lit-hydra ls $(PICTURES) --sort -value
	$(BIN)/lit-hydra report $(PICTURES)
	$(BIN)/python tools/page_picture.py docs/report.png $(PICTURES)/report.html

test: env ## Run the tests; more pytest arguments through ARGS="..."
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -ra $(ARGS)

lint: env ## Check style (ruff) and types (mypy, strict)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy lit_hydra_bridge hydra_plugins tools

matrix: check-python ## Run the tests marked `matrix` under each supported Hydra and Lightning
	$(PYTHON) tools/matrix.py $(ROW)

pythons: env ## Use the wheel under each Python that setup.py names, with Hydra 1.3 and the newest 1.4
	$(BIN)/python tools/pythons.py

bench: env ## Measure what recording, making runs again, sweeping and listing cost
	status=0; for part in record reload sweep results; do $(BIN)/python bench/$$part.py || status=1; done; exit $$status

constraints: check-python ## Resolve constraints.txt anew; torch stays at the version it names
	rm -rf .venvs/constraints
	$(PYTHON) -m venv .venvs/constraints
	.venvs/constraints/bin/python -m pip install -q "$$(grep '^torch==' constraints.txt)" $(INSTALL)
	@# A build's own mark (+cpu) is dropped, so that the pin holds for every build of that version.
	{ grep '^#' constraints.txt; \
	  .venvs/constraints/bin/python -m pip freeze --all --exclude pip --exclude-editable | sed 's/+.*//'; \
	} > constraints.new
	mv constraints.new constraints.txt

clean: ## Remove all that these targets made
	rm -rf $(VENV) .venvs build dist *.egg-info $(DEMO) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Reinstalls only when what it depends on changed; sources are linked, not copied.
$(STAMP): setup.py pyproject.toml constraints.txt | check-python
	@echo "Installing into $(VENV): minutes the first time, seconds later."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt $(INSTALL)
	@touch $@

# The package runs on Python 3.10, the pinned numpy and scipy don't.
check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed here, and '$(PYTHON)' is not: try make PYTHON=python3.12 ..." >&2; \
	  exit 1; }
