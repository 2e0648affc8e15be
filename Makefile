# The two commands most people need: `make train` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: train test test-domains test-fast test-ranges test-ttml test-ttml-stale check check-python test-python setup lock generate bench clean help

help:
	@echo "make train   train the smallest model and see proof that it learned"
	@echo "make test    every check and every test"
	@echo "make test-fast   what most changes touch, in minutes"
	@echo "make check   linters and types only"
	@echo "make code    VS Code on a sample folder with the extension loaded"
	@echo "make vsix    package the extension"
	@echo "make test-editors  the language server in Neovim, Helix, Emacs, Vim and Kate"
	@echo "make bench   what things cost on this machine"

train: setup
	@$(BIN)/trickster quickstart

setup: $(STAMP)

# What is installed, and with which sums, stands in requirements/; the build of PyTorch is chosen for this machine.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

$(STAMP): pyproject.toml requirements/training.txt requirements/torch.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Trickster needs Python 3.10 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes --no-deps -r requirements/training.txt
	$(BIN)/python requirements/install_torch.py
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

DEV_STAMP := $(VENV)/.installed-dev
$(DEV_STAMP): $(STAMP) requirements/dev.txt
	$(PIP) --require-hashes --no-deps -r requirements/dev.txt
	@touch $@

check: check-python check-extension

check-python: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	for system in linux darwin win32; do \
		$(BIN)/mypy --platform $$system --cache-dir .mypy_cache/$$system || exit 1; done

test: check test-python test-extension test-workbench test-workbench-oldest

# What tests/device does on a GPU, on this machine's CPU: make test-python TRICKSTER_DEVICE=cuda where there is one.
TRICKSTER_DEVICE ?= cpu

test-python: $(DEV_STAMP)
	TRICKSTER_DEVICE=$(TRICKSTER_DEVICE) $(BIN)/pytest -n 3 --dist loadgroup tests

# What most changes touch, in a few minutes: config, model, data, estimates, and the server without long training.
FAST := tests/engine/config tests/engine/model tests/engine/data tests/engine/estimates tests/engine/test_events.py \
	tests/engine/test_files.py tests/engine/test_runs.py tests/engine/test_sampling.py tests/engine/training/test_loop.py \
	tests/engine/training/test_muon.py tests/server/test_messages.py tests/server/test_editor_features.py \
	tests/server/test_positions.py tests/server/test_trust.py tests/walkthroughs/test_configs.py tests/walkthroughs/test_pages.py
test-fast: $(DEV_STAMP)
	$(BIN)/pytest -n 2 --dist loadgroup -q $(FAST)

# The oldest and the newest packages that pyproject.toml allows, each in an environment of its own. With another Python:
# make test-ranges RANGES="--python python3.13"
test-ranges: $(DEV_STAMP)
	$(BIN)/python -m tests.shipping.ranges $(RANGES)

# The editors of docs/editors.md, for their tests; those that are not there are skipped.
EDITORS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/trickster/editors

.PHONY: setup-editors test-editors record-editors
setup-editors:
	@tests/editors/install.sh $(PYTHON) $(EDITORS)

test-editors: $(DEV_STAMP) setup-editors
	$(BIN)/pytest -q tests/editors

# Writes what they find into docs/editors/clients.json and docs/editors.md.
record-editors: $(DEV_STAMP) setup-editors
	TRICKSTER_RECORD_CLIENTS=1 $(BIN)/pytest -q tests/editors

# Tenstorrent on builds other than the newest: stale views, stored precision, NumPy 1.26 as ttnn asks for, and the real ttnn
# from its wheel (100 MB), which wants Python 3.12.
TTNN := build/ttnn
PYTHON312 := $(shell python3.12 -c 'import sys; print(sys.executable)' 2>/dev/null)
TTML := $(BIN)/pytest -n 3 tests/engine/ttml

# On a build that serves reads from a stale copy.
test-ttml-stale: $(DEV_STAMP)
	TRICKSTER_TTML_BUILD='{"stale_full_view": true}' $(TTML)

test-ttml: test-ttml-stale $(if $(PYTHON312),$(TTNN)/bin/python)
	TRICKSTER_TTML_BUILD='{"native_precision": true, "fused_qkv": true, "fused_gate_up": true}' $(TTML)
	$(PIP) --target build/numpy-1.26 --upgrade numpy==1.26.4
	PYTHONPATH=build/numpy-1.26 $(TTML)
	TRICKSTER_TTNN_PYTHON=$(if $(PYTHON312),$(CURDIR)/$(TTNN)/bin/python) $(BIN)/pytest -rs tests/engine/ttml/test_real_ttnn.py

$(TTNN)/bin/python:
	$(PYTHON312) -m venv $(TTNN)
	$(TTNN)/bin/pip install --quiet --disable-pip-version-check ttnn==0.81.1

# Molecules, chess and tunes with the programs that judge them, which `make test` does without: some 150 MB with the data.
test-domains: $(DEV_STAMP)
	$(PIP) rdkit chess music21
	$(PIP) --no-deps molsets==0.3.1
	$(BIN)/pytest -rs tests/engine/domains

# The newest packages that pyproject.toml allows, with their sums. Needs uv.
lock:
	requirements/lock.sh

# Everything that is made from something else and kept in the repository. Tests fail where it is stale.
generate: $(DEV_STAMP)
	$(BIN)/python -m tools.protocol_types
	$(BIN)/python -m tools.config_reference
	$(BIN)/python -m tools.ttml_names > docs/ttml-names.md
	$(BIN)/python walkthroughs/make_configs.py
	$(BIN)/python -m tools.by_hand
	$(BIN)/python -m tools.recorded_runs render README.md docs/speed.md walkthroughs/*.md
	$(BIN)/python -m tools.bench_page docs/speed.md docs/serving.md
	$(BIN)/python -m tools.domains_page render docs/measures.md
	$(BIN)/python -m tools.agent_transcript render
	$(BIN)/python -m tools.completion_page
	$(BIN)/python -m tools.inside_page

# Pairs of timings, to compare within one run. Wants a quiet machine.
bench: $(DEV_STAMP)
	$(BIN)/trickster bench --preset pico
	$(BIN)/trickster bench --preset nano --updates 2 --repeats 3 --set training_config.compile=never
	$(BIN)/python -m tests.benchmarks.sampling
	$(BIN)/python -m tests.server.latency

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

-include extension/extension.mk
