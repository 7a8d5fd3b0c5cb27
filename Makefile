# Targets for users and developers. The first call creates .venv; later calls update it only after a change of
# pyproject.toml or constraints.txt.

PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check -c constraints.txt

.PHONY: help run test check format bench screenshots packages wheel clean chromium

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

run: $(VENV)/.runtime  ## start the lab on 127.0.0.1, port 8000 (PORT=8123 make run: another port)
	@exec $(BIN)/serverlab serve --port $(PORT)

# Three workers, even on two cores, because most tests wait for sockets and clocks. All tests of a file run in one worker,
# and each worker runs its browser tests last.
test: $(VENV)/.dev chromium  ## run the whole test suite, browser tests last
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.dev  ## check formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## format the code and apply automatic fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.runtime  ## measure the protocol engine on this machine
	$(BIN)/python -m benchmarks.protocol

screenshots: $(VENV)/.dev chromium  ## take the screenshots of README and tour from real runs
	$(BIN)/python -m docs.screenshots

packages: $(VENV)/.runtime  ## update the drawing of the packages in docs/design.md
	$(BIN)/python -m docs.package_drawing

wheel: $(VENV)/.dev  ## build dist/serverlab-*.whl
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

clean:  ## remove build products; .venv and the data of your runs stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis test-results
	find benchmarks coreserver webapp tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

# --- prerequisites -------------------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Serverlab needs Python 3.11 or newer and $(PYTHON) is older; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The stamp files are inside .venv, so that they are removed with it.
$(VENV)/.runtime: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.runtime

chromium:
	@if command -v chromium >/dev/null; then :; \
	elif ! command -v apt-get >/dev/null; then \
	  echo "The browser tests need Chromium as the program 'chromium', and there is no apt-get to install it with." >&2; exit 1; \
	elif [ "$$(id -u)" -ne 0 ]; then \
	  echo "The browser tests need Chromium; as root: apt-get update && apt-get install chromium" >&2; exit 1; \
	else \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium </dev/null; \
	fi
