# What CI runs is what a person runs: .ci/run calls these same targets.
#   PYTHON=/path/to/python3.12   use this Python instead of the newest one that is found
#   VENV=somewhere               another place for the virtual environment
#   BENCH=--quick                for `make bench`: a look, not a measurement
#   SEED=2 KILLS=20 MINUTES=2    for `make faults`; also SCHEME=additive, WORKERS=2

.SHELLFLAGS := -euc
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
PYTHON ?=
BENCH ?=
SEED ?= 1
KILLS ?= 100
MINUTES ?=
SCHEME ?= replicated
WORKERS ?= 1
IN := $(VENV)/bin/python
# Built here and not in pip's isolation, which would fetch whatever version is the latest that day.
PIP := $(IN) -m pip --disable-pip-version-check install --quiet -c constraints.txt
SOURCES := pyproject.toml constraints.txt

.PHONY: help
help:  ## say what there is
	@echo 'make TARGET, where TARGET is one of'
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Versions of Python that are not selected leave commands that only print an error (pyenv's do), and Debian's has no
# venv until it is installed: so each one is asked.
$(IN):
	@usable='import sys; sys.exit(sys.version_info < (3, 11))'; \
	for python in $(if $(PYTHON),'$(PYTHON)',python3.13 python3.12 python3.11 python3); do \
	    "$$python" -c "$$usable" >/dev/null 2>&1 || continue; \
	    if ! "$$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then without="$$python"; continue; fi; \
	    echo "setting up $(VENV) with $$("$$python" --version)"; \
	    exec "$$python" -m venv --clear '$(VENV)'; \
	done; \
	if [ -n "$${without:-}" ]; then \
	    echo "error: $$without has no venv, which sets up the environment that Sotto runs in" >&2; \
	    echo '    On Debian and Ubuntu: apt-get install python3-venv' >&2; \
	else \
	    echo 'error: no Python that is new enough$(if $(PYTHON), at $(PYTHON)): Sotto needs 3.11, 3.12 or 3.13' >&2; \
	    echo '    Looked for: $(or $(PYTHON),python3.13 python3.12 python3.11 python3) (in $$PATH; a command that only prints an error does not count)' >&2; \
	    echo '    On Debian 12 and Ubuntu 24.04: apt-get install python3 python3-venv. Or name one: make PYTHON=/path/to/python3.12 ...' >&2; \
	fi; exit 1

$(VENV)/.demo: $(SOURCES) | $(IN)
	@echo 'installing what the demo needs (about half a minute)'
	@$(PIP) hatchling editables
	@$(PIP) --no-build-isolation --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(SOURCES) | $(IN)
	@echo 'installing what the tests need (about half a minute)'
	@$(PIP) hatchling editables
	@$(PIP) --no-build-isolation --editable '.[dev]'
	@touch $@ $(VENV)/.demo

.PHONY: venv
venv: $(VENV)/.dev  ## set up .venv with everything that development needs

.PHONY: demo
demo: $(VENV)/.demo  ## two days of real air readings from four organisations, through all roles, checked
	@$(VENV)/bin/sotto demo

.PHONY: test
test: $(VENV)/.dev  ## run all tests; those on real servers run where `make servers` has put them
	@$(IN) -m pytest -p tests.spread -n logical --maxprocesses 4

.PHONY: check
check: $(VENV)/.dev  ## lint, format, types, layers
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy -p tests.servers
	@$(VENV)/bin/mypy -p tests.simulation
	@$(VENV)/bin/mypy -p tests.faults
	@$(VENV)/bin/mypy -p benchmarks
	@$(VENV)/bin/mypy -p examples
	@$(VENV)/bin/lint-imports

.PHONY: bench
bench: $(VENV)/.dev  ## what the secrecy costs: gateway and party against plaintext, joint computation against MPyC
	@$(IN) -m benchmarks $(BENCH)

.PHONY: faults
faults: $(VENV)/.dev  ## break everything at random on the servers of `make servers`, and account for every reading
	@$(IN) -m tests.faults --seed $(SEED) --kills $(KILLS) --scheme $(SCHEME) --workers $(WORKERS) \
	    $(if $(MINUTES),--minutes $(MINUTES))

.PHONY: vectors
vectors: $(VENV)/.dev  ## write the test vectors again, from the code
	@$(IN) -m tests.vectors.make

.PHONY: servers
servers: | $(IN)  ## install mosquitto, Kafka, InfluxDB and toxiproxy for the tests, without Docker
	@$(IN) tests/servers/install.py

.PHONY: constraints
constraints: | $(IN)  ## write constraints.txt again, with the newest versions that pyproject.toml allows
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(IN) -m venv "$$fresh"; \
	"$$fresh/bin/pip" install --quiet hatchling editables; \
	"$$fresh/bin/pip" install --quiet --no-build-isolation --editable '.[dev]'; \
	{ sed -n '/^#/p' constraints.txt; "$$fresh/bin/pip" freeze --exclude-editable; } > "$$fresh/constraints.txt"; \
	cp "$$fresh/constraints.txt" constraints.txt; \
	git diff --stat constraints.txt

.PHONY: clean
clean:  ## remove what was set up and built here; not the servers that are cached for this user
	rm -rf $(VENV) .servers dist sotto-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
