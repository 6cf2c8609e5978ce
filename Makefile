# `make demo` and `make test` do all the set-up; both create the environment in .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow lint types format man docs env clean
.DEFAULT_GOAL := demo

env: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: env
	$(BIN)/derain samples --output samples_derained --compare --overwrite
	@echo
	@echo "Results: samples_derained/*.jpg   before and after side by side: samples_derained/*_compare.jpg"

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: env
	$(BIN)/mypy

test: lint types
	$(BIN)/pytest -n 2 --dist loadfile

test-slow: env
	$(BIN)/pytest -m slow

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

man: env
	$(BIN)/python -m scripts.man_page

docs: env
	$(BIN)/mkdocs build --strict --quiet
	@echo "The site: build/site/index.html"

clean:
	rm -rf $(VENV) build dist samples_derained .pytest_cache .mypy_cache .ruff_cache .hypothesis
