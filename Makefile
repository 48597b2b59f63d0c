# `make demo` and `make test` set themselves up: a virtual environment in .venv, filled from requirements/*.lock, made again only when
# the lock changes. Needs python3.11 or newer; `make test` also installs Debian's chromium if it may (the browser tests need it).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where this environment stands: stamps carry the lock's hash, so an edited lock re-installs and an unchanged one costs nothing.
DEMO_STAMP := $(VENV)/.demo-$(shell sha256sum requirements/demo.lock pyproject.toml 2>/dev/null | sha256sum | cut -c1-16)
DEV_STAMP := $(VENV)/.dev-$(shell sha256sum requirements/dev.lock pyproject.toml 2>/dev/null | sha256sum | cut -c1-16)

.PHONY: demo test quick lint types contracts check peers lock clean

demo: $(DEMO_STAMP)
	$(BIN)/sampan demo

test: check peers
	tools/browser.sh
	tools/containers.sh
	tools/emulators.sh
	tools/redis.sh
	POLARS_MAX_THREADS=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

quick: $(DEV_STAMP)
	POLARS_MAX_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow and not browser"

check: lint types contracts

peers: $(DEV_STAMP)
	tools/peers.sh

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/hygiene.py

types: $(DEV_STAMP)
	$(BIN)/mypy

contracts: $(DEV_STAMP)
	$(BIN)/lint-imports

lock:
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --all-extras --group dev -o requirements/dev.lock
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --extra demo -c requirements/dev.lock -o requirements/demo.lock
	tools/peers.sh lock

$(BIN)/uv:
	tools/venv.sh $(PYTHON) $(VENV)

$(DEMO_STAMP): $(BIN)/uv
	$(BIN)/uv pip install -q --python $(BIN)/python -r requirements/demo.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $@

$(DEV_STAMP): $(BIN)/uv
	$(BIN)/uv pip install -q --python $(BIN)/python -r requirements/dev.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $@

clean:
	rm -rf $(VENV) .peers build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
