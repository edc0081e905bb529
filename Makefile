# Every target sets up what it needs first; run `make` for the list.
.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
BIN := .venv/bin

.PHONY: help setup npm constraints format demo serve test coverage check bench bench-embedded bench-gateway \
        killpoints killpoints-quick test-aws package-aws test-scale-out clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { printf "  make %-28s %s\n", $$1, $$2 }' Makefile

setup:  ## make ./.venv with the pinned dependencies; instant when nothing changed
	@sh scripts/setup.sh

npm:  ## what the tests run of others (MCP servers, validators, an interpreter), into tests/npm; instant when nothing changed
	@sh scripts/npm.sh

demo: setup  ## propose, approve, execute exactly once, crash, recover, verify: the whole job over HTTP
	@$(BIN)/enactor demo

serve: setup  ## a development server on http://127.0.0.1:8420
	@$(BIN)/enactor serve --dev

test: setup npm  ## all tests
	@$(BIN)/pytest -q -n 2 --dist worksteal

coverage: setup npm  ## all tests, counting the lines of src that they run: takes twice as long, fails under 90 %
	@$(BIN)/pytest -q -n 2 --dist worksteal --cov --cov-report term

check: setup  ## format, lint, types, import rules, docs
	@$(BIN)/ruff format --check --quiet . || { echo "check: format differs; run: make format" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python scripts/check_docs.py
	@$(BIN)/python scripts/aws_template.py

format: setup  ## rewrite the code to the house format, with lint's safe fixes
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

# How many finished executions the large file of bench-embedded holds; filling it takes minutes.
FINISHED ?= 1000000

bench: bench-embedded bench-gateway  ## every benchmark

bench-embedded: setup  ## the embedded default against its peers and against bare SQLite commits
	@sh scripts/peers.sh benchmarks .bench-venv
	@$(BIN)/python -m benchmarks.embedded
	@$(BIN)/python -m benchmarks.growth --finished $(FINISHED)
	@$(BIN)/python -m benchmarks.http_api
	@$(BIN)/python -m benchmarks.profile
	@$(BIN)/python -m benchmarks.replay
	@$(BIN)/python -m benchmarks.http_profile

bench-gateway: setup  ## what a call through the gateway costs, against the bare MCP client
	@$(BIN)/python -m benchmarks.gateway

killpoints: setup  ## the proof: killed and paused at every point of a run, with its peers beside it (under 30 minutes)
	@sh scripts/peers.sh killpoints .killpoints-venv
	@$(BIN)/python -m killpoints

killpoints-quick: setup  ## a sample of it, in seconds
	@$(BIN)/python -m killpoints --quick

test-aws: setup npm  ## the AWS part of the tests alone: the stack on an emulator, every scenario through the state machine
	@$(BIN)/pytest -q tests/aws tests/engines/test_stepfunctions.py

package-aws: setup  ## dist/enactor-aws.zip, the package of the AWS functions, from the pinned wheels
	@$(BIN)/python scripts/package_aws.py

test-scale-out:  ## the PostgreSQL and Restate part of the tests alone (not built yet)
	@echo "$@: the PostgreSQL store and the Restate engine are not built yet." >&2; exit 1

constraints:  ## resolve the newest versions in a fresh environment and write constraints.txt
	@sh scripts/constraints.sh

clean:  ## remove what make made: environments, caches, reports, the demo's files
	@rm -rf .venv .bench-venv .killpoints-venv killpoints/npm/node_modules .demo .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist htmlcov
	@rm -f .coverage .coverage.*
	@find src tests scripts benchmarks killpoints -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
