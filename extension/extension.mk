# The extension's part of the Makefile: building, packaging, testing in a real VS Code, opening one.
NODE := build/node
NPM := PATH="$(CURDIR)/$(NODE)/bin:$$PATH" npm
RUN_NODE := PATH="$(CURDIR)/$(NODE)/bin:$$PATH" node
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/trickster
WORKBENCH := $(CACHE)/workbench
# The oldest VS Code that package.json promises under "engines": code-server 4.100.0 is VS Code 1.100.
WORKBENCH_OLDEST := $(CACHE)/workbench-oldest
OLDEST := 4.100.0
VSIX := build/trickster.vsix
EXTENSION_SOURCES := $(shell find extension/src extension/media server/trickster_server trickster_engine walkthroughs -type f \
	-not -name '*.pyc' 2>/dev/null) extension/esbuild.mjs extension/scripts/vendor.py extension/scripts/sbom.py \
	requirements/server.txt requirements/torch.txt package-lock.json extension/README.md \
	extension/CHANGELOG.md package.json .vscodeignore pyproject.toml

.PHONY: setup-node extension vsix code screenshots check-extension test-extension test-workbench test-workbench-oldest setup-workbench

setup-node: node_modules/.package-lock.json

$(NODE)/.version: extension/scripts/node.sh | $(STAMP)
	@extension/scripts/node.sh $(BIN)/python $(NODE)
	@touch $@

node_modules/.package-lock.json: package-lock.json $(NODE)/.version
	@$(NPM) ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

extension: dist/.built

dist/.built: $(EXTENSION_SOURCES) node_modules/.package-lock.json
	@$(BIN)/python extension/scripts/vendor.py
	@$(RUN_NODE) extension/esbuild.mjs --production
	@$(BIN)/python extension/scripts/sbom.py
	@touch $@

# The package for `code --install-extension` and the marketplace, and the bill of what it carries.
vsix: $(VSIX)
	@ls -l $(VSIX) build/sbom.cdx.json

$(VSIX): dist/.built
	@mkdir -p build
	@$(RUN_NODE) node_modules/@vscode/vsce/vsce package --no-dependencies --allow-missing-repository --no-rewrite-relative-links \
		--readme-path extension/README.md --changelog-path extension/CHANGELOG.md --out $(VSIX) > build/vsix.log 2>&1 \
		|| { cat build/vsix.log; exit 1; }
	@cp dist/sbom.cdx.json build/

check-extension: setup-node
	@$(NPM) run --silent check

setup-workbench: node_modules/.package-lock.json
	@tests/workbench/install.sh $(NODE) $(WORKBENCH)

# Inside the extension host, with the vscode API.
test-extension: $(VSIX) setup-workbench
	$(BIN)/pytest -q tests/shipping
	CHROMIUM="$$(tests/workbench/browser.sh)" WORKBENCH=$(WORKBENCH) VSIX=$(VSIX) PYTHON=$(BIN)/python \
		$(RUN_NODE) tests/extension/run.mts

# The journeys of a person, in the whole workbench.
test-workbench: $(VSIX) setup-workbench
	CHROMIUM="$$(tests/workbench/browser.sh)" WORKBENCH=$(WORKBENCH) VSIX=$(VSIX) PYTHON=$(BIN)/python \
		$(RUN_NODE) tests/workbench/run.mts

# Once on the oldest promised VS Code.
test-workbench-oldest: $(VSIX) node_modules/.package-lock.json
	@tests/workbench/install.sh $(NODE) $(WORKBENCH_OLDEST) $(OLDEST)
	CHROMIUM="$$(tests/workbench/browser.sh)" WORKBENCH=$(WORKBENCH_OLDEST) VSIX=$(VSIX) PYTHON=$(BIN)/python \
		$(RUN_NODE) tests/workbench/run.mts first-minute

# The pictures of the README, taken in a real workbench from a real run.
screenshots: $(VSIX) setup-workbench
	CHROMIUM="$$(tests/workbench/browser.sh)" WORKBENCH=$(WORKBENCH) VSIX=$(VSIX) PYTHON=$(BIN)/python \
		$(RUN_NODE) tests/workbench/screenshots.mts

# A real VS Code on a sample folder with the extension in it: the desktop's where there is one, else in the browser.
code: $(VSIX)
	@command -v code >/dev/null || tests/workbench/install.sh $(NODE) $(WORKBENCH)
	@WORKBENCH=$(WORKBENCH) VSIX=$(VSIX) PYTHON=$(BIN)/python $(RUN_NODE) extension/scripts/code.mjs

# The extension's figures: activation, first step, memory, speed. Wants a quiet machine.
.PHONY: measure-extension
measure-extension: $(VSIX) setup-workbench
	CHROMIUM="$$(tests/workbench/browser.sh)" WORKBENCH=$(WORKBENCH) VSIX=$(VSIX) PYTHON=$(BIN)/python \
		$(RUN_NODE) tests/workbench/measure.mts
