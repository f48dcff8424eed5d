# Everything one does with this repository. `make` lists it.
# Needs Python 3.11 or newer with venv and pip, and make; nothing else.

.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ORACLES := --no-deps --no-build-isolation --require-hashes --target $(VENV)/oracles -r requirements-oracles.lock
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate

.PHONY: help setup demo telco dev test check lint format types layers openapi openapi-check \
	migration migration-refresh bench campaign lock upgrade clean

help: ## list what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | \
		while IFS=$$'\t' read -r name what; do printf '  make %-18s %s\n' "$$name" "$$what"; done

setup: $(STAMP) ## make .venv with exactly the locked packages (again only when the lock changes)

# uv is quick; pip stands in where only pip is configured to reach a package index. Compiled once, or
# each process that is started compiles all it imports where nothing may be written beside the code.
$(STAMP): requirements-dev.lock requirements-oracles.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed; $(PYTHON) is not. Try: make setup PYTHON=python3.13"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		echo "Python's venv module is missing (Debian: apt install python3-venv)."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-dev.lock || \
		$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python $(ORACLES) || \
		$(BIN)/python -m pip install --quiet --upgrade $(ORACLES)
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "Ready. Next: make demo"

demo: setup ## start everything, bill a year of invented customers, and look around
	@$(BIN)/python -m bench.demo

telco: setup ## bill a real customer list: make telco TELCO_CSV=path/to/file.csv
	@test -n "$(TELCO_CSV)" || { echo "Say which file: make telco TELCO_CSV=path/to/file.csv"; exit 2; }
	@$(BIN)/python -m bench.telco "$(TELCO_CSV)"

dev: setup ## run the service here, with its own PostgreSQL and Valkey (Ctrl-C stops it)
	@$(BIN)/perennial dev

test: setup ## run the tests, but for the long campaigns
	@$(BIN)/pytest -q -n 3 -m "not campaign and not sandbox"

check: lint types layers openapi-check test ## all that CI runs, in its order

lint: setup ## say what is not in our style
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "Not formatted: run make format."; exit 1; }

format: setup ## bring the code into our style
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

types: setup ## check the types
	@$(BIN)/mypy --no-error-summary

layers: setup ## check that dependencies point inward
	@$(BIN)/lint-imports --no-logo

openapi: setup ## write openapi/ from the code
	@$(BIN)/perennial openapi export

openapi-check: setup ## check that openapi/ is what the code says
	@$(BIN)/perennial openapi export --check >/dev/null

migration: setup ## write the next migration from app/db/tables: make migration NAME=what_it_brings
	@test -n "$(NAME)" || { echo "Say what it brings: make migration NAME=what_it_brings"; exit 2; }
	@$(BIN)/python -m migrations.autogenerate "$(NAME)"

migration-refresh: setup ## write the newest migration anew, as long as no release has it
	@$(BIN)/python -m migrations.autogenerate --refresh

bench: setup ## measure, and print ratios
	@$(BIN)/python -m bench

campaign: setup ## the long tests: kills, outages, years, big tables
	@$(BIN)/pytest -q -m campaign --timeout 3600

lock: setup ## pin what pyproject.toml asks for, changing no more than it must
	@$(LOCK) pyproject.toml -o requirements.lock
	@$(LOCK) --extra embedded --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	@$(LOCK) --no-deps --group pyproject.toml:oracles -o requirements-oracles.lock

upgrade: setup ## pin the newest of everything
	@$(LOCK) --upgrade pyproject.toml -o requirements.lock
	@$(LOCK) --upgrade --extra embedded --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	@$(LOCK) --no-deps --group pyproject.toml:oracles -o requirements-oracles.lock

clean: ## remove what make made: .venv, caches, the embedded servers' data
	@rm -rf $(VENV) .perennial build dist *.egg-info
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
