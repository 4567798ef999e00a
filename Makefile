# Two commands matter: `make up` and `make test`; each installs what it needs into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: up test test-all check bench docs fmt

up: $(STAMP)
	$(BIN)/mlgate up

test: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 -m "not e2e and not heavy" --ignore tests/e2e
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not heavy" tests/e2e tests/attacks

test-all: test
	$(BIN)/python -m pytest -q -m heavy

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[bench]"
	$(BIN)/python bench/overhead.py --markdown docs/overhead.md

docs: $(STAMP)
	PYTHONPATH=. $(BIN)/python tests/catalogue/routes_doc.py

fmt: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(STAMP): pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.12 up')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[mlflow,dev]"
	touch $(STAMP)
