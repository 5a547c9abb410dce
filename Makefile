# The two commands of a newcomer are `make run` and `make test`; everything else is for whoever works on the code.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-tests

.PHONY: run demo test lint lock apt clean
.DEFAULT_GOAL := run

run: $(STAMP)            ## the appliance beside the reference plant, until Ctrl-C
	$(BIN)/sentinel demo

test: $(TEST_STAMP) apt  ## lint, types, import contracts, every test
	$(BIN)/python -m tests.gate

lint: $(TEST_STAMP)      ## only the checks that read the code
	$(BIN)/python -m tests.gate --static

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is needed (Debian: apt-get install python3.11 python3.11-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	$(BIN)/python -m collectors.capture.warm
	@touch $@

$(TEST_STAMP): tests/requirements.lock $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r tests/requirements.lock
	@touch $@

apt: $(TEST_STAMP)       ## the counterparts that the end-to-end tests talk to (root only; otherwise says what is missing)
	@$(BIN)/python -m tests.counterparts

lock:                    ## compile both lock files again (needs uv)
	uv pip compile -q --upgrade --no-header --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links --extra build pyproject.toml -o requirements.lock
	uv pip compile -q --no-header --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links --extra build --extra test pyproject.toml -c requirements.lock -o tests/requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info tests/node_modules
