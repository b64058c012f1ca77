# One target, one purpose; each sets up what it needs (a virtual environment in .venv).

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# What tests and benchmark need of Debian: a program, and the package that has it.
TOOLS  := bwrap:bubblewrap

.PHONY: help demo serve test lint tools bench clean

help:
	@echo "make demo    run the sample task on a node of its own and show everything"
	@echo "make serve   run a node on http://127.0.0.1:8000 (work directory: ./run)"
	@echo "make test    every check and every test"
	@echo "make tools   install what the tests need of Debian (as root or with sudo)"
	@echo "make bench   measure, write bench/RESULTS.md"

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/installed
	@$(BIN)/python -m task_runner.demo

serve: $(VENV)/installed
	@mkdir -p -m 0700 $(CURDIR)/run
	TASK_RUNNER_WORK_DIR=$${TASK_RUNNER_WORK_DIR:-$(CURDIR)/run} \
	$(BIN)/python -m gunicorn -k uvicorn.workers.UvicornWorker 'task_runner.api.star_app:create_app'

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

tools:
	@missing=; \
	for tool in $(TOOLS); do \
	    PATH=$$PATH:/usr/sbin:/sbin command -v $${tool%%:*} > /dev/null || missing="$$missing $${tool#*:}"; \
	done; \
	if [ -n "$$missing" ]; then \
	    sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	    $$sudo apt-get update -qq && \
	    $$sudo apt-get install -qq --yes --no-install-recommends $$missing; \
	fi

test: lint tools
	$(BIN)/python -W error -m pytest -n 4

bench: $(VENV)/installed tools
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) run
