.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# Three, as tests wait for processes for much of their time. Those of one file, or stack, stay in one (conftest.py).
PARALLEL_PYTEST := $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
PACKAGES = -c constraints.txt -r requirements-dev.txt $(patsubst %,-e %,$(DISTRIBUTIONS:cli=cli[up,analysis]))
DOCKER ?= docker
BASE_IMAGE ?= python:3.13-slim
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' libs/parley-core/pyproject.toml)
IMAGE_OPTIONS = -f deploy/image/Dockerfile --build-arg BASE_IMAGE=$(BASE_IMAGE) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(shell git rev-parse HEAD)
DISTRIBUTIONS := libs/parley-events libs/parley-core libs/parley-contracts libs/parley-testing services/session services/inference services/history services/gateway cli

# Where it is set, each process would compile all of these packages again.
export PYTHONDONTWRITEBYTECODE =

.PHONY: help install run test-unit test test-faults test-k8s test-web web-dev format check check-python check-page check-deployment lock image bench clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/installed ## Create .venv with the pinned dependencies and every package, editable

# uv takes a quarter of pip's time, but does not read pip's configuration: where only that names the
# index, pip installs.
.venv/installed: constraints.txt $(DISTRIBUTIONS:%=%/pyproject.toml) requirements-dev.txt
	@echo "Installing the pinned packages into .venv (half a minute, the first time only) …"
	$(PYTHON) -m venv .venv
	$(PIP) -c constraints.txt uv
	$(BIN)/uv pip install --quiet --native-tls --compile-bytecode --python $(BIN)/python $(PACKAGES) || $(PIP) $(PACKAGES)
	$(BIN)/python -m compileall -q -j 0 $(DISTRIBUTIONS:%=%/src)
	@touch $@

run: install ## Run the whole stack on this machine until Ctrl-C (PARLEY_PORT, PARLEY_DATA)
	@exec $(BIN)/parley up --build-page

test-unit: install ## Run the tests that need neither an engine nor a service (under 30 seconds on two cores)
	$(PARALLEL_PYTEST) -m unit libs services cli tests/test_*.py

test: install ## Run all tests except fault injection, on real engines (about 8 minutes on two cores)
	$(BIN)/python -m tools.kafka_start_cache
	$(PARALLEL_PYTEST)

test-faults: install ## Kill every process under load, then account for each event (up to 10 minutes)
	$(BIN)/pytest tests/faults

test-k8s: image ## Run the trial overlay in a Kubernetes cluster, with rollouts and outages (25 min)
	$(BIN)/pytest tests/k8s

format: install ## Format the code, apply lint fixes, regenerate the event and configuration documents
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python -m parley_events.asyncapi
	$(BIN)/python -m tools.configuration_page
	$(BIN)/python -m tools.openapi_document
	$(BIN)/python -m tools.monitoring
	$(BIN)/python -m tools.licences
	$(BIN)/python -m tools.web format

check: install ## Check format, lint, types, import boundaries, generated files, licences, secrets, the chat page, manifests and alerts
	@$(MAKE) --no-print-directory --jobs 2 check-python check-page check-deployment

check-python:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m parley_events.asyncapi --check
	$(BIN)/python -m tools.configuration_page --check
	$(BIN)/python -m tools.openapi_document --check
	$(BIN)/python -m tools.licences --check
	$(BIN)/python -m tools.secret_scan

check-page:
	$(BIN)/python -m tools.web check

check-deployment:
	$(BIN)/hadolint deploy/image/Dockerfile
	$(BIN)/python -m tools.manifests
	$(BIN)/python -m tools.monitoring --check
	$(BIN)/pytest -q tests/test_monitoring.py tests/test_image_lock.py

test-web: install ## Run the tests of the chat page in Chromium, against the whole stack (under 8 minutes)
	$(BIN)/python -m tools.web test

web-dev: install ## Serve the chat page with live reload; it calls the gateway of `make run`
	$(BIN)/python -m tools.web dev

lock: install ## Pin the image's packages again, after a change of constraints.txt or of dependencies
	$(BIN)/python -m tools.image_lock

image: install ## Build the images `parley` and `parley-trial` (DOCKER, BASE_IMAGE)
	$(BIN)/python -m tools.web package
	$(DOCKER) build $(IMAGE_OPTIONS) --target trial -t parley-trial:$(VERSION) .
	$(DOCKER) build $(IMAGE_OPTIONS) --target parley -t parley:$(VERSION) .

bench: install ## Run the benchmarks (NAMES="append outbox" selects some)
	$(BIN)/python -m benchmarks $(NAMES)

clean: ## Delete the virtual environment and the local data
	rm -rf .venv .parley web/node_modules web/tests/node_modules
