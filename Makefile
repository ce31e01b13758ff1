# Every command of the project; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help check test clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | sort

$(VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --group dev -e .
	touch $@

check: $(VENV)/.dev ## formatter, linter, types, layers, shell scripts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy slurm ccbackend spool sweeper tests
	if ls slurm/*.py ccbackend/*.py spool/*.py >/dev/null 2>&1; then $(BIN)/lint-imports; fi
	if command -v shellcheck >/dev/null; then shellcheck hooks/* .ci/run; else echo "shellcheck is not installed: skipped"; fi

test: check ## everything CI runs
	$(BIN)/pytest tests

clean: ## remove what the targets above have built
	rm -rf $(VENV) build dist wheels .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
