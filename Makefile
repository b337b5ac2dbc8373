# Every target does its own set-up in .venv; all that a machine needs is make and Python 3.11 or newer.

# The first Python that runs and is new enough: a version manager may leave names that only print an error.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: install demo test test-long lint format bench drill drill-quick fidelity simulate mutants mutants-part mutate docs clean

install: $(READY)

$(READY): pyproject.toml wheels/worker/pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --constraint constraints.txt pip
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[worker,sandbox,encryption,console]' --editable 'wheels/worker[history,console]' --group dev
	@touch $@

# With STAY=1 it stays open when it is over, with the console in a browser.
demo: install
	$(BIN)/blnk-relay demo $(if $(STAY),--stay)

# Several processes, each given the next test of the order in tests/conftest.py: what waits long begins first.
PYTEST := $(BIN)/python -m pytest -n 6 --dist loadscope --no-loadscope-reorder

# Each process reads all tests: once they were compiled, here by two processes, that is done in less than half the time.
COLLECTED := $(VENV)/.collected

test test-long $(COLLECTED): export PYTHONDONTWRITEBYTECODE =

$(COLLECTED): $(READY) $(shell find tests -name '*.py')
	@for tier in unit integration; do $(BIN)/python -m pytest --collect-only -qq tests/$$tier >$(VENV)/$$tier.log & done; wait
	@touch $@

test: install $(COLLECTED)
	$(PYTEST) -m "not long"

# What takes long and is shown by shorter siblings in `make test`: the other pool, more seeds, slower ledgers.
test-long: install $(COLLECTED)
	$(PYTEST) -m long

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy tests/typing

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/python -m tests.bench

drill: install
	$(BIN)/python -m tests.drills

# A short set of them in their short forms: workers, the ground, clocks, the ledger.
drill-quick: install
	$(BIN)/python -m tests.drills --quick

# CORE is a running Core for tests, which is written to; VERSION its release; its master key is in BLNK_CORE_KEY.
fidelity: install
	@test -n "$(CORE)" || { echo "Say where a Core for tests runs: make fidelity CORE=http://127.0.0.1:5001" >&2; exit 2; }
	$(BIN)/python -m tests.fidelity --core "$(CORE)" $(if $(VERSION),--version $(VERSION))

# SEEDS of the simulator from START on; with SEEDS=1 that one is told, made small, where it fails.
SEEDS ?= 2000
START ?= 1

simulate: install
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --start $(START)

# Deliberate bugs, one after the other in a copy of the tree: the tests have to notice each of them.
mutants: install
	$(BIN)/python -m tests.mutants

# A twelfth of them, by the commit: within a minute, and all have their turn in time.
mutants-part: install
	$(BIN)/python -m tests.mutants --part commit/12

# Every small change of the rules about the ledger; what no test notices has to be known (tests/mutants/survivors).
mutate: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group mutation
	@failed=0; for package in intents families; do \
	  $(BIN)/python -m tests.mutants.core --package $$package || failed=1; done; exit $$failed

docs: install
	$(BIN)/python -W ignore -m blnk_relay.catalogue.settings_page > docs/settings.md
	$(BIN)/python -W ignore -m worker.metrics.page > docs/metrics.md
	$(BIN)/python -W ignore -m blnk_relay.catalogue.pages docs/kinds
	$(BIN)/ruff format --quiet docs/kinds
	$(BIN)/python -W ignore -m worker.console.settings_page docs/console.md
	$(BIN)/python -W ignore -m blnk_relay.catalogue.logs_page > docs/logs.md

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
