# One target, one purpose; each sets up what it needs (a virtual environment in .venv).

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# Programs that the tests run, by the Debian packages that have them.
DEBIAN := bubblewrap busybox-static chromium e2fsprogs munge podman runc slurm-wlm user-mode-linux

.PHONY: help demo serve test lint bench load chaos debian pictures clean

help:
	@echo "make demo    run the sample task on a node of its own and show everything"
	@echo "make serve   run a node on http://127.0.0.1:8000 (work directory: ./run)"
	@echo "make test    every check and every test"
	@echo "make debian  install the Debian packages that the tests need, where they are missing"
	@echo "make pictures   take the pictures of the documentation again"
	@echo "make bench   measure, write bench/RESULTS.md"
	@echo "make load    2,000 tasks and 1,000 clients at once, more than there are files, 5 GB of log"
	@echo "make chaos   ten minutes in which everything breaks, then an audit; as root"

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

debian:
	@dpkg-query --show $(DEBIAN) >/dev/null 2>&1 || { $(SUDO) apt-get update && \
	DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install --yes --no-install-recommends $(DEBIAN); }

test: lint debian
	$(BIN)/python -W error -m pytest -n 4

bench: $(VENV)/installed debian
	$(BIN)/python -m bench

load: $(VENV)/installed
	$(BIN)/python -m bench load large_log

chaos: $(VENV)/installed
	$(BIN)/python -m tests.faults.chaos

pictures: $(VENV)/installed debian
	$(BIN)/python -m tests.browser.pictures

clean:
	rm -rf $(VENV) build run
