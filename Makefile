# Every command of the project; `make help` lists them.
PYTHON ?=
PREFIX ?= /opt/cc-slurm-sync
VENV := .venv
BIN := $(VENV)/bin
RUN := .venv-demo

.PHONY: help test-server install uninstall wheels check test crash planted clean bench-hook bench-replay bench-sweep

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | sort

install: ## install, or upgrade [PREFIX=DIR PYTHON=python3.12 WHEELS=DIR SLURM_USER=NAME SERVICE_USER=NAME]
	@PREFIX='$(PREFIX)' PYTHON='$(PYTHON)' WHEELS='$(WHEELS)' \
		SLURM_USER='$(SLURM_USER)' SERVICE_USER='$(SERVICE_USER)' deploy/install

uninstall: ## remove what install has put in place [PREFIX=DIR]
	@PREFIX='$(PREFIX)' deploy/uninstall

wheels: ## collect wheels for hosts without internet, for any Python of 3.11 or later [WHEELS=DIR]
	@PYTHON='$(PYTHON)' deploy/wheels '$(or $(WHEELS),wheels)'

.PHONY: demo demo-slurm
demo: $(RUN)/.run ## the life of some jobs, with a stand-in for Slurm and a stub of cc-backend
	@$(RUN)/bin/python -B tests/demo.py

demo-slurm: $(VENV)/.dev ## the same with real Slurm, where it is installed; needs root
	@$(BIN)/python tests/demo.py --slurm

WHEEL := build/wheel
.PHONY: test-wheel
test-wheel: $(VENV)/.dev ## the tests against the built wheel, without the source folders [TESTS=tests/test_x.py]
	rm -rf $(WHEEL) && mkdir -p $(WHEEL)/tree
	$(BIN)/python tests/wheel_house.py $(WHEEL)
	python=$$(deploy/find_python $(PYTHON)) && $$python -m venv $(WHEEL)/venv
	$(WHEEL)/venv/bin/pip install --quiet --upgrade pip
	$(WHEEL)/venv/bin/pip install --quiet --group dev $(WHEEL)/*.whl
	git ls-files -z | grep -zvE '^(slurm|ccbackend|spool|sweeper)/' | xargs -0 cp --parents -t $(WHEEL)/tree
	cd $(WHEEL)/tree && ../venv/bin/pytest $(or $(TESTS),tests)

RESULTS := tests/data/compatibility.jsonl
.PHONY: compatibility
compatibility: $(VENV)/.dev ## run every Slurm with every cc-backend, write the README's table
	rm -f $(RESULTS)
	COMPATIBILITY_RESULTS=$(RESULTS) $(BIN)/pytest -q tests/test_matrix.py tests/test_real_slurm.py
	sort -o $(RESULTS) $(RESULTS)
	$(BIN)/python tests/compatibility.py $(RESULTS) README.md

$(RUN)/.run: pyproject.toml
	python=$$(deploy/find_python $(PYTHON)) && $$python -m venv $(RUN)
	$(RUN)/bin/pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.dev: pyproject.toml
	python=$$(deploy/find_python $(PYTHON)) && $$python -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --group dev -e .
	touch $@

check: $(VENV)/.dev ## formatter, linter, types, layers, shell scripts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy slurm ccbackend spool sweeper tests
	if ls slurm/*.py ccbackend/*.py spool/*.py >/dev/null 2>&1; then $(BIN)/lint-imports; fi
	if command -v shellcheck >/dev/null; then shellcheck -x hooks/* .ci/run deploy/install deploy/uninstall deploy/wheels deploy/find_python; else echo "shellcheck is not installed: skipped"; fi

test: check ## everything CI runs
	$(BIN)/pytest -n auto --dist loadfile -m 'not slurm' --cov --cov-report=term --cov-fail-under=100 tests
	$(BIN)/pytest -m slurm tests

.PHONY: bench-latency bench-idle
bench-latency: $(VENV)/.dev ## from hook to cc-backend on real Slurm, beside an empty POST loop; needs root
	@$(BIN)/python tests/bench_latency.py 2>/dev/null

bench-idle: $(VENV)/.dev ## memory and CPU time of a drain that has nothing to do
	@$(BIN)/python tests/bench_idle.py

.PHONY: test-all
test-all: check ## the same on Slurm 24.11 and 26.05 too, built from Debian's packages; needs root
	SLURM_LAB_BUILD=1 $(BIN)/pytest tests

crash: $(VENV)/.dev ## kill hook, drain and commands at every single call (CI takes every other one)
	CRASH_STEP=1 $(BIN)/pytest tests/test_crash.py tests/test_crash_hooks.py

planted: $(VENV)/.dev ## plant known bugs one by one in a copy: the suite must catch each
	$(BIN)/python tests/planted.py

bench-hook: $(VENV)/.dev ## time a hook's whole process against an empty script of the same shell
	$(BIN)/python tests/bench_hook.py

bench-replay: $(VENV)/.dev ## tell a backlog of 2000 runs, against a bare loop of the same library
	PYTHONPATH=.:tests $(BIN)/python tests/bench_replay.py

test-server: $(VENV)/.dev ## the main scenarios against a real cc-backend [CC_BACKEND=FILE CC_BACKEND_NEXT=FILE]
	$(BIN)/pytest tests/test_real_backend.py

bench-sweep: $(VENV)/.dev ## measure sweeps over up to 100 000 running jobs
	$(BIN)/python tests/bench_sweep.py

.PHONY: bench-decode fuzz
bench-decode: $(VENV)/.dev ## measure decoding of 10 000 jobs by Slurm series and source
	PYTHONPATH=tests:. $(BIN)/python tests/bench_decode.py

fuzz: $(VENV)/.dev ## feed every parser of Slurm's output 100 000 inputs (CI takes 1 000)
	FUZZ_EXAMPLES=100000 $(BIN)/pytest tests/test_slurm_fuzz.py

clean: ## remove what the targets above have built
	rm -rf $(VENV) $(RUN) build dist wheels .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
