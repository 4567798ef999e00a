# Two commands matter: `make up` and `make test`; each installs what it needs into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST := -m pytest -q
# Containers often set it. Without bytecode, MLflow takes twice as long to start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: up test test-all test-heavy test-on-dynamodb check bench bench-store docs fmt

up: $(STAMP)
	$(BIN)/mlgate up

test: $(STAMP)
	$(BIN)/python $(PYTEST) -n 2 --dist worksteal -m "not e2e and not heavy" --ignore tests/e2e
	$(BIN)/python $(PYTEST) -n 2 --dist loadfile -m "not heavy" tests/e2e tests/attacks tests/clients

test-all: test test-heavy test-on-dynamodb

test-heavy: $(STAMP)
	$(BIN)/python $(PYTEST) -m heavy

# The end-to-end tests and attacks again, with MLflow on DynamoDB Local. Those of `mlgate up` start
# an MLflow of their own.
test-on-dynamodb: $(STAMP)
	MLGATE_TEST_BACKEND=dynamodb-local $(BIN)/python $(PYTEST) -n 2 --dist loadfile \
	  -m "not heavy" tests/e2e tests/attacks tests/clients \
	  --ignore tests/e2e/test_up.py --ignore tests/e2e/test_up_dynamodb.py

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[bench]"
	$(BIN)/python bench/overhead.py --markdown docs/overhead.md

bench-store: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[bench]"
	$(BIN)/python bench/store.py --markdown docs/store-performance.md

docs: $(STAMP)
	PYTHONPATH=. $(BIN)/python tests/catalogue/routes_doc.py

fmt: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# --no-compile: what is imported is compiled then, the rest never is.
$(STAMP): pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.12 up')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --disable-pip-version-check -e ".[mlflow,dev]"
	touch $(STAMP)
