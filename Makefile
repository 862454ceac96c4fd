# `make demo` and `make test` set up everything they need in .venv; the second time they only run.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test heavy lint bench docs clean

demo: .venv/.user
	$(BIN)/nearfar demo -o demo --overwrite

test: .venv/.dev
	$(BIN)/pytest

heavy: .venv/.dev
	$(BIN)/pytest -m heavy

lint: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: .venv/.dev
	$(PIP) -e '.[bench]'
	$(BIN)/python benchmarks/static_training.py
	$(BIN)/python benchmarks/objectives.py
	$(BIN)/python benchmarks/mining.py
	$(BIN)/python benchmarks/analysis.py

docs: .venv/.docs
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/generate_views.py
	$(BIN)/python docs/generate_analysis.py
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv demo site

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nearfar needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv

.venv/.user: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing nearfar into .venv (a minute or two, once)"
	$(PIP) -e .
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing nearfar and its development tools into .venv (a minute or two, once)"
	$(PIP) -e '.[dev]'
	@touch $@ .venv/.user

.venv/.docs: .venv/.dev
	$(PIP) -e '.[docs]'
	@touch $@
