# Two commands after a clone: `make run` shows the whole thing at work, `make test` proves it.
# Each sets up what it needs (a virtual environment, and once the servers that it compiles) and is fast the second time.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
TESTS  ?=
WORKERS ?= 2

.PHONY: run test check format lock drivers-table clean

run: $(STAMP) ## Bring up a control plane, the operator and the gateway, and walk through the quick start.
	@$(BIN)/stow dev --quickstart

test: check ## Everything: checks, unit tests, and the suites on real servers.
	@$(BIN)/stow dev --prepare
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

drivers-table: $(STAMP) ## Run the promises over every kind and write what was seen to docs/drivers.md.
	$(BIN)/python -m pytest -q tests/conformance/test_promises.py --write-drivers-table

check: $(STAMP) ## Format, lint, types, import contracts.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Bring the code into shape.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## Renew both lock files from pyproject.toml (needs uv).
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

$(STAMP): requirements-dev.lock pyproject.toml
	@echo "Setting up $(VENV) (once for each lock file)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean: ## Remove what the commands above made in this folder.
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
