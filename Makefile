# Each target is a line or two that can be run by hand; the set-up is scripts/setup.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: serve test stress check bench docs setup-serve setup-dev setup-bench

setup-serve:
	@scripts/setup serve

setup-dev:
	@scripts/setup dev

setup-bench:
	@scripts/setup bench

serve: setup-serve        ## the whole server on http://127.0.0.1:8000
	$(BIN)/hubbub serve

test: setup-dev           ## every ring of tests; installs what they need or says what to install
	@scripts/install-chromium
	@scripts/install-redis
	@scripts/install-postgres
	@scripts/install-node-peers
	$(BIN)/pytest -n 2 --dist loadfile tests/unit tests/integration tests/acceptance
	$(BIN)/pytest tests/stress

stress: setup-dev         ## a thousand processes killed, of those that publish in transactions and of those that run jobs; an hour
	@scripts/install-redis
	@scripts/install-postgres
	HUBBUB_STRESS_KILLS=$${HUBBUB_STRESS_KILLS:-1000} $(BIN)/pytest -s tests/integration/test_outbox_kills.py tests/integration/test_job_kills.py

check: setup-dev          ## lint, format, types, layers, module sizes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/module_sizes.py

bench: setup-bench        ## beside the peers, in one run of an hour; writes docs/benchmarks.md
	@scripts/install-peers
	@scripts/install-redis
	@scripts/install-postgres
	$(BIN)/python benchmarks/run.py --write
	for each in nodes storm jitter jobs watched_jobs; do $(BIN)/python benchmarks/$$each.py --write || exit 1; done

docs: setup-dev           ## the tables in docs/ that are generated from the code
	$(BIN)/python scripts/generate_docs.py
