# Two commands: `make run` starts the agent, `make test` passes the whole suite. Both set up what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run demo test check prove bench dashboards lock clean

run: $(VENV)/installed
	$(BIN)/gpuwatch agent

# The same on a simulated node, for a look without a GPU.
demo: $(VENV)/installed
	$(BIN)/gpuwatch demo

test: check
	./.ci/servers
	$(BIN)/pytest

check: $(VENV)/developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What takes longer: long hangs, and that each fault's test fails once its handling is removed.
prove: $(VENV)/developed
	$(BIN)/pytest -m prove
	$(BIN)/python -m tests.prove

# The figures in docs/figures.md: `make bench`, or one of them by `make bench BENCH=cost`.
BENCH ?= all
bench: $(VENV)/developed
	$(BIN)/pip install -q -e '.[bench]'
	$(BIN)/python -m benchmarks $(BENCH)

# The dashboards in grafana/dashboards, anew from gpuwatch/dashboards.
dashboards: $(VENV)/developed
	$(BIN)/python -m gpuwatch.dashboards grafana/dashboards

# Pin what development installs, within the ranges of pyproject.toml.
lock: $(VENV)/developed
	$(BIN)/pip install -q pip-tools
	$(BIN)/pip-compile -q --upgrade --extra dev --generate-hashes --strip-extras --allow-unsafe \
		--no-emit-find-links --no-emit-index-url --no-emit-trusted-host -o requirements-dev.lock pyproject.toml

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install -q --disable-pip-version-check -e .
	touch $@

$(VENV)/developed: pyproject.toml requirements-dev.lock | $(VENV)/bin/python
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
