# Each target does all set-up itself in .venv, with nothing but Python >= 3.11 and pip; uv is used when it is there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
EXTRAS := postgresql clickhouse nats kafka redis embedded embedded-clickhouse workspace migrations rules contracts telemetry demo

.PHONY: setup demo test check lint types docs wheel lock bench

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed: make PYTHON=python3.12"; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --seed --python $(PYTHON) $(VENV) && \
	  uv pip install --quiet --python $(BIN)/python --require-hashes --requirements requirements.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --editable . ; \
	else \
	  $(PYTHON) -m venv $(VENV) && \
	  $(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock && \
	  $(BIN)/python -m pip install --quiet --no-deps --editable . ; \
	fi
	@touch $(READY)

demo: $(READY)
	@$(BIN)/mcp-backend demo

# Hundreds of servers start: without compiled modules each compiles the same ones again. A worker more than the two
# cores of CI, because tests also wait for other processes. Files in their own order: the number of tests, by which they
# would be sorted, puts the long ones of a single test last.
test: $(READY)
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

check: lint types docs wheel

lint: $(READY)
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && echo "lint: clean"

types: $(READY)
	@$(BIN)/pyright

docs: $(READY)
	@$(BIN)/python docs/check.py

wheel: $(READY)
	@$(BIN)/python tests/wheel_check.py

bench: $(READY)
	@$(BIN)/python -m benchmarks

lock:
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  $(addprefix --extra ,$(EXTRAS)) --group dev pyproject.toml --output-file requirements.lock
