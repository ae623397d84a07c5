.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Most of a test's time is waiting for servers and for Helm; the tests of one file stay together.
SIDE_BY_SIDE := -n 3 --dist loadfile

.PHONY: help setup serve test lint format check bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(VENV)/.done: pyproject.toml helm-client/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 setup"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade -c constraints.txt pip
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q -c constraints.txt -e '.[postgres]' -e ./helm-client --group dev
	@touch $@

setup: $(VENV)/.done ## make .venv with both packages and the tools

serve: setup ## serve on 127.0.0.1:8080, charts in ./data
	@exec $(BIN)/chartroom serve

test: setup ## run the tests; what this machine lacks is skipped and named
	$(BIN)/pytest -rs $(SIDE_BY_SIDE)

lint: setup ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## rewrite the code in its form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: lint ## lint, then tests with coverage: what CI runs
	$(BIN)/pytest -rs $(SIDE_BY_SIDE) --cov --cov-report=term-missing:skip-covered

bench: setup ## measure speed against peers, or AGAINST=PATH, another checkout; writes tests/load/RESULTS.md
	$(BIN)/python -m tests.load $(if $(AGAINST),--against '$(AGAINST)' $(if $(STORES),--stores '$(STORES)') $(ROWS))

clean: ## remove what setup and the tests made
	rm -rf $(VENV) .coverage* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
