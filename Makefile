# `make run` and `make test` need Python 3.11 or newer and make, and set up the rest by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install run test check lint types format schema classification constraints bench bench-compare

help:
	@echo "make run     set up, make a small bank, serve it and say where"
	@echo "make test    set up and run the tests, with coverage"
	@echo "make check   what has to pass before a change lands: style, imports, types, tests"
	@echo "make schema  write the GraphQL schema down again, after changing it on purpose"
	@echo "make classification  write down again what kind of data each stored field is"
	@echo "make format  put the code into the project's style"
	@echo "make bench   measure it beside what people would use instead (ARGS=--quick: three minutes)"

install: $(INSTALLED)

# The stamp is written last, so an install cut short is simply done again. Hashes are checked for every
# package; the project itself is then linked in without resolving or downloading anything.
$(INSTALLED): constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "Ledgertwin needs Python 3.11 or newer, and there is no $(PYTHON) here." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Ledgertwin needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "Ledgertwin needs Python's venv module (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo "Making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing the pinned dependencies into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: install
	@$(BIN)/ledgertwin demo

test: install
	@$(BIN)/python -m pytest --cov --numprocesses 2 --dist loadfile

lint: install
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports

types: install
	@$(BIN)/mypy

check: lint types test

format: install
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# The schema is a contract: look at the difference before you commit it. One that would break clients
# is only written with `make schema ARGS=--breaking`.
schema: install
	@$(BIN)/python -m interfaces.graphql_api $(ARGS) --scopes tests/contracts/scopes.txt \
	  tests/contracts/schema.graphql
	@$(BIN)/ledgertwin privacy xsd --to interfaces/privacy/export.xsd

# What is stored, and of which kind it is: look at the difference before you commit it.
classification: install
	@$(BIN)/ledgertwin privacy classification --to docs/data-classification.md

# `make bench ARGS=--quick`, or only some parts: `make bench ARGS="transfers verify"`.
bench: install
	@$(BIN)/python -m bench $(ARGS)

# `make bench-compare A=bench/results/one.json B=bench/results/other.json`
bench-compare: install
	@$(BIN)/python -m bench.comparison $(A) $(B)

# For every platform at once, and without a header, an index or a path of the machine that compiled it.
constraints: install
	@$(BIN)/uv --no-config pip compile pyproject.toml --group dev --extra lab --extra hsm --extra otel --universal --python-version 3.11 \
	  --generate-hashes --no-header --quiet --output-file constraints.txt
