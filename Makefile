PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo test test-field screenshots test-loki test-vllm lint lint-browser format bench docs audit soak clean

help: ## List the targets
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

$(BIN)/tracetail: pyproject.toml hatch_build.py tracetail/contract/_needles.pyx tracetail/agent/parsing/_scan.pyx tracetail/loki/_entries.pyx tracetail/store/disk/_text_filter.pyx tracetail/store/http/_streams_json.pyx tracetail/store/ingest/_pushed_entries.pyx
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tracetail needs Python 3.11 or newer; this is " + sys.version.split()[0] + ": make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(BIN)/tracetail
	$(BIN)/pip install --quiet --editable '.[dev,vrl]'
	@touch $@

install: $(BIN)/tracetail ## Set up .venv with tracetail in it

demo: $(BIN)/tracetail ## Run the whole chain on this machine (ONCE=1: check it, stop all, exit)
	$(BIN)/tracetail demo $(if $(ONCE),--once)

# Where this is set (container images do), each of thousands of processes of the tests would compile its modules anew.
unexport PYTHONDONTWRITEBYTECODE

# The tests mostly wait for processes, so more of them than there are cores run at a time.
TEST_WORKERS ?= 6

test: $(VENV)/.dev ## Run the tests (ARGS="-n0 -k name": those alone, one after the other)
	$(BIN)/pytest -n $(TEST_WORKERS) --dist worksteal $(ARGS)

test-field: $(VENV)/.dev ## Stage failures of real installations: starts, files, containers, users
	$(BIN)/pytest -m field -n 6 --dist worksteal $(ARGS)

screenshots: $(VENV)/.dev ## Make the pictures of the panel in docs/images anew (needs Chromium)
	PYTHONPATH=tests $(BIN)/python -m support.screenshots docs/images

test-loki: $(VENV)/.dev ## Run the agent and the readers against a real Loki (LOKI_BIN=/path/of/loki)
	$(BIN)/pytest -m loki -rs $(ARGS)

test-vllm: $(VENV)/.dev ## Start, crash and stop a real vLLM on the CPU (installs it outside the tree)
	TRACETAIL_TEST_VLLM=1 $(BIN)/pytest -m vllm --timeout 1800 -s $(ARGS)

lint: $(VENV)/.dev ## Check style, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory lint-browser; \
	elif [ -n "$$CI$$TRACETAIL_TEST_REQUIRE_PROGRAMS" ]; then echo "npm is missing: apt-get install nodejs npm" >&2; exit 1; \
	else echo "npm is missing: the browser code (panel/static) is not checked"; fi

lint-browser: node_modules/.installed ## Check types and style of the browser code (needs npm)
	npm run --silent lint

node_modules/.installed: package-lock.json
	npm ci --silent
	@touch $@

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

BENCHES := agent store panel launcher metrics fleet

bench: $(BENCHES:%=bench-%) ## Run every benchmark

bench-%: $(VENV)/.dev ## Run one: bench-agent, bench-store, bench-panel, bench-launcher, bench-metrics, bench-fleet
	$(BIN)/python bench/$*.py $(ARGS)

docs: $(VENV)/.docs ## Build the documentation, warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

$(VENV)/.docs: $(VENV)/.dev
	$(BIN)/pip install --quiet --editable '.[docs]'
	@touch $@

constraints.txt: pyproject.toml ## Write the versions of the dependencies, as they resolve today
	@rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install --quiet '.[eddsa,kafka,otlp]'
	@{ echo "# The dependencies of a release, and of the container image: pip install --constraint constraints.txt tracetail"; \
	   build/constraints/bin/pip freeze --exclude tracetail --exclude pip --exclude setuptools; } > $@
	@rm -rf build/constraints

audit: ## Look for known vulnerabilities in the versions of constraints.txt (asks PyPI)
	@test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && build/audit/bin/pip install --quiet pip-audit; }
	build/audit/bin/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip

soak: $(VENV)/.dev ## Repeat the fault tests many times over
	TRACETAIL_TEST_EXPLORE=1 $(BIN)/pytest -m soak --timeout 7200 $(ARGS)

clean: ## Remove what the other targets made
	rm -rf $(VENV) node_modules dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	rm -f tracetail/agent/parsing/_scan.c tracetail/agent/parsing/*.so tracetail/loki/_entries.c tracetail/loki/*.so \
	  tracetail/contract/_needles.c tracetail/contract/*.so tracetail/store/ingest/_pushed_entries.c \
	  tracetail/store/ingest/*.so tracetail/store/disk/_text_filter.c tracetail/store/disk/*.so \
	  tracetail/store/http/_streams_json.c tracetail/store/http/*.so
