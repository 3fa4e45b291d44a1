# `make help` lists what there is to do.

.DEFAULT_GOAL := help
.PHONY: help demo quick test soak fuzz mutants bench-polling bench-speed lint check format docs lock sbom services clean

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check -q
UV := .cache/uv/bin/uv
CYCLONEDX := .cache/sbom/bin/cyclonedx-py
EXPORT = $(UV) export -q --frozen --no-header --no-emit-project --format requirements-txt
SOURCES := worker tests migrations

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: .venv/.demo-stamp  ## Turn a photo into a 3D model, on this machine alone: no key, no server.
	@$(BIN)/sam3d demo

quick: lint services  ## What to run while writing: lint, the unit tests, and one job through each service; under a minute.
	$(BIN)/pytest tests/unit tests/project
	$(BIN)/pytest tests/integration -m quick

test: .venv/.dev-stamp services  ## Run all tests, against a RabbitMQ and a PostgreSQL of their own.
	$(BIN)/pytest -n 2 --dist worksteal

soak: .venv/.dev-stamp services  ## Break everything at random under load: `make soak MINUTES=20 SEED=7`, both optional.
	$(BIN)/python -m tests.faults.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

fuzz: .venv/.dev-stamp  ## Send nearly good bytes to whatever reads a stranger's: `make fuzz MINUTES=10 SEED=7`, both optional.
	$(BIN)/python -m tests.fuzz $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

mutants: .venv/.dev-stamp services  ## Show that the tests can fail: put faults into a copy of the code, one by one.
	$(BIN)/python -m tests.faults.mutants

bench-polling: .venv/.dev-stamp services  ## Measure what requests jobs take, and draw the figure (15 minutes).
	$(BIN)/python -m tests.benchmarks.polling --figure docs/polling.svg
	$(BIN)/python -m tests.benchmarks.budget
	$(BIN)/python -m tests.benchmarks.budget --bulk
	$(BIN)/python -m tests.benchmarks.waiting

bench-speed: .venv/.dev-stamp services  ## Measure how many jobs two cores carry and what they cost, beside a bare Celery loop and the SDK (15 minutes).
	$(BIN)/python -m tests.benchmarks.speed
	$(BIN)/python -m tests.benchmarks.latency
	$(BIN)/python -m tests.benchmarks.burst
	$(BIN)/python -m tests.benchmarks.growth

check: lint test  ## Everything that continuous integration checks: lint, then test.

lint: .venv/.dev-stamp  ## Check format, style, types and the direction of imports.
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.dev-stamp  ## Format the code and repair what the linter can.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/.dev-stamp  ## Renew the parts of the documents that are made from the code.
	$(BIN)/python -m tests.documents

lock: $(UV)  ## Resolve the newest versions that pyproject.toml allows into the lock files.
	$(UV) lock -q --upgrade
	$(EXPORT) --no-dev --extra store --extra files --extra receipt -o requirements.lock > /dev/null
	$(EXPORT) --only-group build -o requirements-build.lock > /dev/null
	$(EXPORT) --no-dev --extra demo --group build -o requirements-demo.lock > /dev/null
	$(EXPORT) --all-extras --group dev -o requirements-dev.lock > /dev/null

sbom: $(CYCLONEDX)  ## List all that an installation has, as sbom.cdx.json (CycloneDX), from requirements.lock.
	$(CYCLONEDX) requirements --pyproject pyproject.toml --output-reproducible --of JSON -o sbom.cdx.json requirements.lock

services:  ## Install the broker that the tests start, if it is missing.
	@tests/support/services/install-rabbitmq

clean:  ## Remove everything that was installed or generated.
	rm -rf .venv .cache .*_cache .hypothesis build dist demo-output sbom.cdx.json
	find $(SOURCES) -name __pycache__ -prune -exec rm -r {} +

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { echo "Python 3.11 or later is needed, and $(PYTHON) is not: set another, as in make demo PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Run: apt-get install -y python3-venv"; exit 1; }

# The stamps remember which lock is installed. The lock of the tests contains the demo's.
.venv/.demo-stamp .venv/.dev-stamp: .venv/.%-stamp: requirements-%.lock pyproject.toml | .venv/bin/pip
	@echo "Installing $<"
	@$(PIP) install --no-compile --require-hashes -r $<
	@$(PIP) install --no-compile --no-deps --no-build-isolation -e .
	@touch $@

$(UV):
	$(PYTHON) -m venv .cache/uv
	.cache/uv/bin/pip --disable-pip-version-check -q install uv

$(CYCLONEDX):
	$(PYTHON) -m venv .cache/sbom
	.cache/sbom/bin/pip --disable-pip-version-check -q install cyclonedx-bom
