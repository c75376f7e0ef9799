.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
DISTRIBUTIONS := libs/parley-events libs/parley-core libs/parley-contracts libs/parley-testing services/session services/inference services/history services/gateway cli

.PHONY: help install run test test-faults format check bench clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/installed ## Make .venv with the pinned dependencies and every distribution

.venv/installed: constraints.txt $(DISTRIBUTIONS:%=%/pyproject.toml) requirements-dev.txt
	@echo "Installing the pinned packages into .venv (once, about a minute) …"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-dev.txt $(DISTRIBUTIONS:%=-e %)
	@touch $@

run: install ## Run the whole stack on this machine until Ctrl-C (PARLEY_PORT, PARLEY_DATA)
	@exec $(BIN)/parley up

test: install ## Run every test, on real engines (about 8 minutes on two cores)
	$(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder

test-faults: install ## Kill everything again and again under load, then count (up to 10 minutes)
	$(BIN)/pytest tests/faults

format: install ## Format the code, mend what the linter can, write the documents of the events
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python -m parley_events.asyncapi

check: install ## Check format, lint, types, the walls between the packages, the documents of the events
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m parley_events.asyncapi --check

bench: install ## Measure every speed claim (NAMES="append outbox" for some of them)
	$(BIN)/python -m benchmarks $(NAMES)

clean: ## Remove the virtual environment and the local data
	rm -rf .venv .parley
