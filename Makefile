# Everything bootstraps itself: Python >= 3.11 and make are all that a machine needs.
PYTHON ?= python3
VENV   ?= .venv
PINS   ?= .ci/pins.txt
RUN     = $(VENV)/bin/python -m
ARGS   ?=
READY   = $(VENV)/.ready
STRICT  = JAX_NUMPY_RANK_PROMOTION=raise JAX_NUMPY_DTYPE_PROMOTION=strict JAX_DEBUG_NANS=1

.PHONY: figures figures-all test test-all test-strict lint types bench bench-peers docs clean
figures: $(READY)      ## the figures of the main paper, with the claims that they must pass
	$(RUN) paper_repro --paper karakida-osawa-2020 $(ARGS)

figures-all: $(READY)  ## those of the companion papers too
	$(RUN) paper_repro $(ARGS)

# programs that both workers, or two runs, need are compiled once
KEPT    = JAX_COMPILATION_CACHE_DIR=$(CURDIR)/out/cache/tests JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0.3
test: $(READY)     ## the fast tests
	$(KEPT) $(RUN) pytest -n 2 -m "not slow and not gpu" $(ARGS)

test-all: $(READY) ## also the slow statistical ones
	$(RUN) pytest -n 2 -m "not gpu" $(ARGS)

test-strict: $(READY) ## the fast tests of the engine under JAX's strictest settings
	$(STRICT) $(RUN) pytest -n 2 -m "not slow and not gpu" $(addprefix tests/,spine damping cross_entropy ensemble architectures unit_wise mini_batch) $(ARGS)

lint: $(READY)
	$(RUN) ruff check .
	$(RUN) ruff format --check .

types: $(READY)
	$(RUN) pyright

bench: $(READY)    ## timings as ratios in one run, see benchmarks/
	$(RUN) benchmarks $(ARGS)

bench-peers: $(READY)  ## the same steps by other libraries, each in an environment of its own under out/peers
	$(RUN) benchmarks.peers $(ARGS)

docs: $(READY)
	$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --constraint $(PINS) --group docs
	$(RUN) mkdocs build --strict --config-file docs/mkdocs.yml

$(READY): pyproject.toml $(PINS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ntkng needs Python >= 3.11, got " + sys.version)'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(RUN) pip install --quiet uv
	$(VENV)/bin/uv pip install --quiet --python $(VENV)/bin/python --constraint $(PINS) --editable . --group dev
	touch $(READY)

clean:
	rm -rf $(VENV) out site
