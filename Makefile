# Every command of the project; `make help` lists them.
PYTHON ?=
PREFIX ?= /opt/cc-slurm-sync
VENV := .venv
DEMO := .venv-demo
BIN := $(VENV)/bin
WHEEL := build/wheel
RESULTS := tests/data/compatibility.jsonl
SHELL_FILES := hooks/* .ci/run .ci/packages deploy/install deploy/uninstall deploy/wheels deploy/find_python deploy/fit_unit \
	deploy/template_unit \
	packaging/build packaging/lock packaging/release packaging/stage packaging/find_python
OUTPUT := dist

.PHONY: help install uninstall wheels demo demo-slurm deb rpm lock release man completion configuration doc-outputs demo-picture test-packages \
	check test test-all test-wheel test-server crash planted soak simulate fuzz compatibility fixtures \
	bench bench-day bench-hook bench-latency bench-replay bench-idle bench-sweep bench-decode \
	bench-nodes bench-nats bench-stops bench-backfill clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | sort

# ---- for a site

install: ## install or upgrade [PREFIX=DIR PYTHON=python3.12 WHEELS=DIR SLURM_USER=NAME SERVICE_USER=NAME]
	@PREFIX='$(PREFIX)' PYTHON='$(PYTHON)' WHEELS='$(WHEELS)' \
		SLURM_USER='$(SLURM_USER)' SERVICE_USER='$(SERVICE_USER)' deploy/install

uninstall: ## remove the installation; PURGE=1: its data too, except undelivered runs [PREFIX=DIR PURGE=1]
	@PREFIX='$(PREFIX)' PURGE='$(PURGE)' deploy/uninstall

wheels: ## collect wheels for hosts without internet, for Python 3.11 and later [WHEELS=DIR]
	@PYTHON='$(PYTHON)' deploy/wheels '$(or $(WHEELS),wheels)'

demo: $(DEMO)/.run ## report some jobs, with a stand-in for Slurm and a stub of cc-backend
	@$(DEMO)/bin/python -B tests/support/demo.py

demo-slurm: $(VENV)/.dev ## the same with real Slurm, if it is installed; needs root
	@$(BIN)/python tests/support/demo.py --slurm

# ---- packages

deb: ## build a Debian package in dist/ [PYTHON=python3.12 VERSION=x.y.z OUTPUT=DIR]
	@PYTHON='$(PYTHON)' VERSION='$(VERSION)' packaging/build '$(OUTPUT)' deb

rpm: ## build an RPM package in dist/ [PYTHON=python3.12 VERSION=x.y.z OUTPUT=DIR]
	@PYTHON='$(PYTHON)' VERSION='$(VERSION)' packaging/build '$(OUTPUT)' rpm

lock: ## pin what the packages contain beside the project: the newest versions, with hashes
	@PYTHON='$(PYTHON)' packaging/lock

release: ## check the tree, set the version, build everything with checksums in dist/ [VERSION=x.y.z]
	@PYTHON='$(PYTHON)' packaging/release '$(VERSION)' '$(OUTPUT)'

man: $(VENV)/.dev ## write the manual pages into build/man
	PYTHONPATH=. $(BIN)/python packaging/manpages.py build/man

completion: $(VENV)/.dev ## write the completions for bash, zsh and fish into build/completion
	PYTHONPATH=. $(BIN)/python packaging/completion.py build/completion

configuration: $(VENV)/.dev ## write the table of all keys into docs/configuration.md
	PYTHONPATH=. $(BIN)/python packaging/configuration_table.py docs/configuration.md

doc-outputs: $(VENV)/.dev ## write what the examples of the documentation print now into docs/*.md
	PYTHONPATH=.:tests:tests/support $(BIN)/python tests/support/doc_outputs.py

demo-picture: $(VENV)/.dev ## run the demo and draw what it prints as docs/images/demo.svg
	$(BIN)/python tests/support/demo_picture.py

# ---- tests

check: $(VENV)/.dev ## formatter, linter, types, layers, shell scripts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy slurm ccbackend spool sweeper tests
	$(BIN)/lint-imports
	@if command -v shellcheck >/dev/null; then shellcheck -x $(SHELL_FILES); else echo "shellcheck is not installed: skipped"; fi

test: check ## everything CI runs
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not slurm and not packages and not prometheus' --cov --cov-report=term --cov-fail-under=100 \
		--ignore-glob='tests/test_chaos_*' --ignore=tests/test_simulation.py tests
	$(BIN)/pytest -n auto tests/test_simulation.py
	$(BIN)/pytest -n 2 --dist loadfile tests/test_chaos_*.py
	$(BIN)/pytest -n 4 --dist loadfile -m slurm tests
	$(BIN)/pytest -n 4 -m prometheus tests
	$(BIN)/pytest -n 2 --dist loadfile -m packages tests

test-all: check ## the same, also on Slurm 24.11 and 26.05 built from Debian's packages; needs root
	SLURM_LAB_BUILD=1 $(BIN)/pytest tests

test-wheel: $(VENV)/.dev ## the tests against the built wheel, without the source folders [TESTS=tests/test_x.py]
	rm -rf $(WHEEL) && mkdir -p $(WHEEL)/tree
	$(BIN)/python tests/support/build_wheels.py $(WHEEL)
	python=$$(deploy/find_python $(PYTHON)) && $$python -m venv $(WHEEL)/venv
	$(WHEEL)/venv/bin/pip install --quiet --upgrade pip
	$(WHEEL)/venv/bin/pip install --quiet --group dev $(WHEEL)/*.whl
	git ls-files -z | grep -zvE '^(slurm|ccbackend|spool|sweeper)/' | xargs -0 cp --parents -t $(WHEEL)/tree
	cd $(WHEEL)/tree && ../venv/bin/pytest $(or $(TESTS),tests)

test-packages: $(VENV)/.dev ## build both packages, install them in Debian 12 and 13 under systemd; needs root
	$(BIN)/pytest -n 2 --dist loadfile -m packages tests/test_package_*.py tests/test_release.py

test-server: $(VENV)/.dev ## the main scenarios against a real cc-backend [CC_BACKEND=FILE CC_BACKEND_NEXT=FILE]
	$(BIN)/pytest tests/test_real_backend.py tests/test_nats_real_backend.py \
		tests/test_real_backend_nodes.py

crash: $(VENV)/.dev ## kill hook, drain and commands at every system call (CI: at every second one)
	CRASH_STEP=1 $(BIN)/pytest tests/test_crash.py tests/test_crash_hooks.py

planted: $(VENV)/.dev ## insert known bugs into a copy, one by one: the tests must fail for each
	$(BIN)/python tests/support/planted.py

soak: $(VENV)/.dev ## the installed commands under every fault at once, ten minutes [SECONDS=90 SEED=1 RATE=15]
	PYTHONPATH=tests $(BIN)/python -m chaos.soak --seconds $(or $(SECONDS),600) \
		--rate $(or $(RATE),15) $(if $(SEED),--seed $(SEED))

simulate: $(VENV)/.dev ## run the drain in a simulated world, an hour of traffic per seed [SEEDS=0..300 | SEED=17]
	PYTHONPATH=.:tests $(BIN)/python -m simulation $(if $(SEED),--seed $(SEED) --story,--seeds $(or $(SEEDS),0..300))

fuzz: $(VENV)/.dev ## feed every parser of Slurm's output 100 000 inputs (CI: 1 000)
	FUZZ_EXAMPLES=100000 $(BIN)/pytest tests/test_slurm_fuzz.py

compatibility: $(VENV)/.dev ## run every Slurm release with every cc-backend version, write docs/compatibility.md
	rm -f $(RESULTS)
	COMPATIBILITY_RESULTS=$(RESULTS) $(BIN)/pytest -q tests/test_matrix.py tests/test_real_slurm.py
	sort -o $(RESULTS) $(RESULTS)
	$(BIN)/python tests/support/compatibility.py $(RESULTS) docs/compatibility.md

fixtures: $(VENV)/.dev ## record the output of a Slurm release in tests/data [SLURM=PREFIX SCENARIOS="array ..." | SNAPSHOT=1]
	cd tests && PYTHONPATH=support SLURM_LAB_PREFIX='$(SLURM)' ../$(BIN)/python -m slurm_recorder \
		$(if $(SNAPSHOT),--snapshot ../build/snapshot,data $(SCENARIOS))

# ---- measurements

bench: $(VENV)/.dev ## one table: figure, baseline of the same run, goal; latencies need root and Slurm
	@PYTHONPATH=.:tests:tests/support:tests/bench $(BIN)/python tests/bench/bench_table.py 2>/dev/null

bench-hook: $(VENV)/.dev ## time a hook's process, compared with an empty script of the same shell
	PYTHONPATH=.:tests:tests/support $(BIN)/python tests/bench/bench_hook.py

bench-latency: $(VENV)/.dev ## time from hook to cc-backend on real Slurm, compared with a plain POST loop; needs root
	@PYTHONPATH=.:tests:tests/support $(BIN)/python tests/bench/bench_latency.py 2>/dev/null

bench-replay: $(VENV)/.dev ## deliver a backlog of 2000 runs, compared with a plain loop of the same library
	PYTHONPATH=.:tests:tests/support $(BIN)/python tests/bench/bench_replay.py

bench-day: $(VENV)/.dev ## an hour of a site with 1 000 000 jobs a day, played in ten minutes
	@PYTHONPATH=.:tests:tests/support:tests/bench $(BIN)/python tests/bench/bench_day.py

bench-idle: $(VENV)/.dev ## measure memory and CPU time of an idle drain
	@PYTHONPATH=.:tests:tests/support $(BIN)/python tests/bench/bench_idle.py

bench-sweep: $(VENV)/.dev ## measure sweeps over up to 100 000 running jobs
	PYTHONPATH=.:tests:tests/support $(BIN)/python tests/bench/bench_sweep.py

bench-backfill: $(VENV)/.dev ## measure rate and memory of a backfill of a month with 1 000 000 jobs
	@PYTHONPATH=.:tests:tests/support:tests/bench $(BIN)/python tests/bench/bench_backfill.py

bench-decode: $(VENV)/.dev ## measure decoding of 10 000 jobs by Slurm series and source
	PYTHONPATH=.:tests:tests/support $(BIN)/python tests/bench/bench_decode.py

bench-nodes: $(VENV)/.dev ## measure a round of node states with 10 000 nodes
	@PYTHONPATH=.:tests:tests/support $(BIN)/python tests/bench/bench_nodes.py

bench-nats: $(VENV)/.dev ## compare delivery by NATS with plain publishing on a real cc-backend [CC_BACKEND=FILE]
	@PYTHONPATH=.:tests:tests/support CC_BACKEND='$(CC_BACKEND)' NATS_JOBS=2000 $(BIN)/python tests/bench/bench_nats.py

bench-stops: $(VENV)/.dev ## measure stops of young runs on a real cc-backend [CC_BACKEND=FILE]
	@PYTHONPATH=.:tests:tests/support:tests/bench CC_BACKEND='$(CC_BACKEND)' $(BIN)/python tests/bench/bench_stops.py

# ---- what the targets above need

$(DEMO)/.run: pyproject.toml
	@echo "Making a Python environment in $(DEMO) ..."
	@python=$$(deploy/find_python $(PYTHON)) && $$python -m venv $(DEMO)
	@$(DEMO)/bin/pip install --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: pyproject.toml
	python=$$(deploy/find_python $(PYTHON)) && $$python -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --group dev -e .
	touch $@

clean: ## remove what the targets above built
	rm -rf $(VENV) $(DEMO) build dist wheels .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
