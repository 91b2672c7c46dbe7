# Two commands set everything up on a machine with Python 3.11+ and make: `make demo` and `make test`.
# `make help` lists all.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
# Nothing that we start reports to anybody.
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Tests of one file stay in one process, for what they share, and all that need the Prefect server do (tests/scheduling.py);
# the long ones come first. Four processes keep two cores busy: some tests wait (for a lease, for a server to start).
PARALLEL ?= -n 4 --dist loadfile --no-loadscope-reorder
# Hundreds of our modules are imported by dozens of processes: compiled once, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test test-full lint types imports unit crash bench lock clean

help: ## Show this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

demo: $(VENV)/.runtime ## A lead becomes a signed, won deal, on stand-ins (KEEP=1 leaves it running, DEMO_JSON=path writes the summary)
	@$(RUN) -m flows demo $(if $(filter-out 0,$(KEEP)),--keep) $(if $(DEMO_JSON),--json-file "$(DEMO_JSON)")

test: $(VENV)/.dev ## Lint, types, import contracts and all tests
	@$(MAKE) --no-print-directory -j2 --output-sync=target lint types imports
	@$(MAKE) --no-print-directory unit

test-full: $(VENV)/.dev ## What `make test` samples, all of it: examples, faults, more crashes, every example process
	@$(BIN)/pytest $(PARALLEL) --full $(PYTEST_ARGS)

lint: $(VENV)/.dev ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.dev ## mypy --strict on our packages
	@$(BIN)/mypy

imports: $(VENV)/.dev ## Who may import whom
	@$(BIN)/lint-imports --no-cache

unit: $(VENV)/.dev ## All tests (PYTEST_ARGS adds arguments, PARALLEL= runs them one after another)
	@$(BIN)/pytest $(PARALLEL) $(PYTEST_ARGS)

crash: $(VENV)/.dev ## The worker killed at every point, every fault, many orders: an hour and a half (needs PostgreSQL)
	@$(RUN) -m tests.proof $(CRASH_ARGS)

bench: $(VENV)/.dev ## Measure: one JSON line a benchmark (quiet machine, please)
	@for file in tests/bench/*.py; do PYTHONPATH=. $(RUN) $$file || exit 1; done

lock: ## Renew the hash-checked locks (needs uv)
	@for lock in "--group build -o requirements.lock" "--group dev -c requirements.lock -o requirements-dev.lock"; do \
	  uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --universal \
	    --python-version 3.11 --custom-compile-command 'make lock' pyproject.toml $$lock; done

clean: ## Remove the environment and what runs left behind
	rm -rf $(VENV) .dealflow .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info build dist

# The environment. uv installs faster where it is present; pip does where it is not. Both check every hash.
# The lock is complete, so nothing is resolved again (pip would look at newer versions, which have no hash here).
INSTALL = if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(RUN) --no-deps --require-hashes -r $(1); \
	else $(RUN) -m pip install --quiet --no-deps --require-hashes -r $(1); fi; $(RUN) -m pip check >/dev/null
OURSELVES = $(RUN) -m pip install --quiet --no-deps --no-build-isolation --editable .

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "dealflow needs Python 3.11 or newer: set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(RUN)
	@test -e $(VENV)/.dev -a $(VENV)/.dev -nt requirements.lock || { echo "installing (hash-checked, about a minute)"; $(call INSTALL,requirements.lock); }
	@$(OURSELVES)
	@touch $@

$(VENV)/.dev: requirements-dev.lock requirements.lock pyproject.toml | $(RUN)
	@echo "installing with test tools (hash-checked, about a minute)"
	@$(call INSTALL,requirements-dev.lock)
	@$(OURSELVES)
	@touch $@ $(VENV)/.runtime
