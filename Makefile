.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
DISTRIBUTIONS := libs/parley-core services/session services/inference services/history services/gateway cli

.PHONY: help install format check test clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/installed ## Make .venv with the pinned dependencies and every distribution

.venv/installed: constraints.txt $(DISTRIBUTIONS:%=%/pyproject.toml) requirements-dev.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -r requirements-dev.txt $(DISTRIBUTIONS:%=-e %)
	@touch $@

format: install ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: install ## Format, lint, types, walls
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: install ## Run every test
	$(BIN)/pytest

clean: ## Remove the virtual environment and the local data
	rm -rf .venv .parley
