# Everything starts from `python3` (3.11 or newer) and make; the rest is installed into .venv and the user's cache.
# Another Python: make test PYTHON=/path/to/python3.12

PYTHON ?=
PYTHONS := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)
BIN := .venv/bin
READY := .venv/.ready
CODE := operator tests $(wildcard benchmarks)
# How many seeded runs `make simulate` plays of one region, and of a hub with several; and from which seed on.
RUNS ?= 1000
WORLDS ?= 200
SEED ?= 1

# Test processes read the same code again and again, and so does every operator that a test starts: bytecode is kept, even
# where the environment says otherwise. `make clean` removes it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-regions test test-region test-fast simulate bench lint generate clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo [KEEP=1]   a good and a bad release on a real control plane, here and now'
	@echo 'make demo-regions    a hub and three regions: a good version travels, a bad one is stopped (about four minutes)'
	@echo 'make test            every test, on a real control plane too (about forty-five minutes on two cores)'
	@echo 'make test-region     what is promised of one region, on a real control plane (about nine minutes on two cores)'
	@echo 'make test-fast       those that need no control plane, without long searches for faults (about a minute)'
	@echo 'make simulate        many seeded releases with faults, in a region and from a hub, in memory; RUNS=1000 WORLDS=200 SEED=1'
	@echo 'make bench           requests against targets, CPU and memory, on a real control plane [PEER=binary PEER_CRDS=dir]'
	@echo 'make lint            style, types, import contract, generated files'
	@echo 'make generate        write crds/ and docs/reference.md anew'
	@echo 'make clean           remove .venv and caches from here'

$(READY): pyproject.toml constraints.txt
	@python=$$(for each in $(PYTHONS); do \
		$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$each && break; done); \
	test -n "$$python" || { echo 'Ombak needs Python 3.11 or newer, and $(PYTHONS) is none;' \
		'say where one is: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12' >&2; exit 1; }; \
	test -x $(BIN)/python || $$python -m venv .venv || \
		{ echo 'could not make .venv (on Debian: apt install python3-venv)' >&2; exit 1; }
	@echo 'installing what pyproject.toml asks for into .venv ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)
	@$(BIN)/ombak demo $(if $(filter-out 0 no false,$(KEEP)),--keep)

demo-regions: $(READY)
	@$(BIN)/ombak demo --regions $(if $(filter-out 0 no false,$(KEEP)),--keep)

test: $(READY)
	@$(BIN)/python -c 'from ombak.sandbox import ensure_binaries; ensure_binaries()'
	$(BIN)/python -m pytest -m 'not cluster' -n 2
	$(BIN)/python -m pytest -m cluster -n 3 --dist loadscope

test-region: $(READY)
	@$(BIN)/python -c 'from ombak.sandbox import ensure_binaries; ensure_binaries()'
	$(BIN)/python -m pytest tests/cluster -m proof -n 3 --dist loadscope

test-fast: $(READY)
	$(BIN)/python -m pytest -m 'not cluster and not breadth' --ignore tests/cluster -n 2 --hypothesis-profile=quick

simulate: $(READY)
	$(BIN)/python -m ombak.simulation --runs $(RUNS) --seed $(SEED) --jobs 0
	$(BIN)/python -m ombak.simulation --scenario regions --engine quick --runs $(WORLDS) --seed $(SEED) --jobs 0

bench: $(READY)
	$(BIN)/python -m benchmarks $(if $(PEER),--peer $(PEER) --peer-crds $(PEER_CRDS))

lint: $(READY)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/ombak crds --check crds
	$(BIN)/ombak docs --check docs

generate: $(READY)
	$(BIN)/ombak crds --write crds
	$(BIN)/ombak docs --write docs

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist operator/*.egg-info
	find operator tests -name __pycache__ -prune -exec rm -rf {} +
