# `make run` and `make test` do everything from a bare python3; the other targets are the parts of them.
PYTHON ?= python3
PY := .venv/bin/python
SIZE ?= small
PORT ?= 8000
HOST ?= 127.0.0.1
# The demo company lives in its own folder below WEIR_HOME; DEMO=0 starts on your own, empty one.
DEMO ?= 1
WEIR_HOME ?= $(CURDIR)/var
export WEIR_HOME

.PHONY: install install-dev run test test-fast lint format bench clean lock browser $(addprefix bench-,attribution ingest forecast anomalies control kills push)

install:
	@$(PYTHON) tools/bootstrap.py runtime

install-dev:
	@$(PYTHON) tools/bootstrap.py dev

run: install
	@WEIR_DEMO=$(DEMO) exec $(PY) manage.py up --host $(HOST) --port $(PORT)

# The browser comes from the machine, or from its package manager where we may use it; the browser tests fail without one.
browser: install-dev
	@$(PY) tools/browser.py

test: install-dev browser
	@$(MAKE) --no-print-directory lint
	@$(PY) -m pytest -q $(TESTS)

test-fast: install-dev
	@$(PY) -m pytest -q -m "not browser and not crash and not slow" $(TESTS)

lint: install-dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@.venv/bin/lint-imports --no-cache
	@$(PY) -m mypy attribution routing governance manage.py
	@$(PY) manage.py makemigrations --check --dry-run

format: install-dev
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench: bench-attribution bench-ingest bench-forecast bench-anomalies bench-control bench-kills bench-push

bench-attribution bench-ingest bench-anomalies bench-control bench-kills bench-push: bench-%: install-dev
	@SIZE=$(SIZE) $(PY) -m tests.benchmarks.bench_$*

# Series that packages ship are read in an environment of their own: requirements-bench.txt is no part of the dev lock.
bench-forecast: install-dev
	@$(PY) tools/bench_environment.py
	@SIZE=$(SIZE) $(PY) -m tests.benchmarks.bench_forecast

# The real LiteLLM proxy, in an environment of its own (700 MB): not part of `make test`.
.PHONY: contract-litellm
contract-litellm: install-dev
	@PYTHONPATH=. $(PY) tests/contract/litellm/contract.py "$$($(PYTHON) tools/side_environment.py litellm tests/contract/litellm/requirements.txt)"

lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements-bootstrap.in -o requirements-bootstrap.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements.in -o requirements.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements-dev.in -o requirements-dev.txt -c requirements.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header requirements-bench.in -o requirements-bench.txt

clean:
	rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis
