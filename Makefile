# The two commands most people need: `make train` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: train test check check-python test-python setup generate bench clean help

help:
	@echo "make train   train the smallest model and see proof that it learned"
	@echo "make test    every check and every test"
	@echo "make check   linters and types only"
	@echo "make code    VS Code on a sample folder with the extension loaded"
	@echo "make vsix    package the extension"

train: setup
	@$(BIN)/trickster quickstart

setup: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Trickster needs Python 3.10 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[server]"
	@touch $@

DEV_STAMP := $(VENV)/.installed-dev
$(DEV_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[server,dev]"
	@touch $@

check: check-python

check-python: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check test-python

test-python: $(DEV_STAMP)
	$(BIN)/pytest -n 2 tests

generate: $(DEV_STAMP)
	$(BIN)/python -m trickster_server.typescript

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

-include extension/extension.mk
