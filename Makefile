# Everything runs in a virtual environment of its own, .venv; a second call finds it made.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
PYTEST_ARGS ?=
SAMPLES := sample_images
# The pairs of broken and mended apps below sample_images/causes are for the tests.
DEMO := $(wildcard $(SAMPLES)/*/llamakey.toml)

# Without its cache of bytecode each pytest that a test or a benchmark starts compiles every plugin anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo samples test retest lint docs bench dist installs accuracy generations images torture scale clean

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

demo: $(VENV)/.ready ## run the sample apps: as processes, and in containers where an engine answers
	@failed=; \
	(set -x; $(PYTEST) --llamakey $(DEMO) --llamakey-runtime process $(PYTEST_ARGS)) || failed="$$failed processes"; \
	if image="$$(tools/engine --check)"; then \
	  (set -x; $(PYTEST) --llamakey $(DEMO) --llamakey-runtime docker --llamakey-build-arg "$$image" $(PYTEST_ARGS)) || \
	    failed="$$failed containers"; \
	else \
	  echo "demo: the same in containers was left out: see the line above."; \
	fi; \
	if [ -n "$$failed" ]; then echo "demo: not all samples did as they should; see above, as:$$failed"; exit 1; fi

samples: $(VENV)/.ready-samples ## every sample in all runtimes that are here, each held against what it is to show: RUNTIME=process
	@mkdir -p build; failed=; tools/redis || echo "samples: Celery's are left out as processes: see the line above."; \
	image="$$(tools/engine --check)" || { echo "samples: containers are left out: see the line above."; \
	  $(if $(RUNTIME),,failed="$${CI:+ docker}"; )}; \
	for runtime in $(or $(RUNTIME),process $${image:+docker}); do \
	  report="build/samples-$$runtime.json"; rm -f "$$report"; \
	  (set -x; $(PYTEST) --llamakey $(SAMPLES) --llamakey-runtime $$runtime $${image:+--llamakey-build-arg "$$image"} \
	    --llamakey-report $$report $(PYTEST_ARGS) && $(BIN)/python -m tools.samples $$report $$runtime) || failed="$$failed $$runtime"; \
	done; \
	if [ -n "$$failed" ]; then echo "samples: not all did as they should; see above, as:$$failed"; exit 1; fi

test: lint docs ## lint, type check, documentation and all tests; engine tests need a container engine (see tools/engine): JOBS=3
	@tools/redis || echo "test: the tests with Celery are left out: see the line above."
	@tools/chromium || echo "test: the tests of the HTML report in a browser are left out: see the line above."
	@image="$$(tools/engine)" && export LLAMAKEY_TEST_PYTHON_IMAGE="$${image#PYTHON_IMAGE=}"; \
	set -x; $(PYTEST) -n $(or $(JOBS),3) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

retest: $(VENV)/.ready-dev ## only the tests that failed last
	@image="$$(tools/engine)" && export LLAMAKEY_TEST_PYTHON_IMAGE="$${image#PYTHON_IMAGE=}"; \
	set -x; $(PYTEST) --last-failed --last-failed-no-failures none $(PYTEST_ARGS)

lint: $(VENV)/.ready-dev ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: $(VENV)/.ready-docs ## the documentation as a site, in build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

dist: $(VENV)/.ready-dev ## sdist and wheel for a release, in dist/: built twice and compared, and looked through
	$(BIN)/python tools/dist.py

installs: $(VENV)/.ready-dev ## the wheel in clean environments: oldest and newest dependencies, other Pythons (docs/compatibility.md)
	$(BIN)/python tools/installs.py $(ONLY)

bench: $(VENV)/.ready-dev ## measure how fast it is, beside its peers (docs/performance.md): QUICK=1 LINES="endpoint verdict" RESUME=1
	@image="$$(tools/engine)" || echo "bench: the lines with containers are not measured: see the line above."; \
	export LLAMAKEY_TEST_PYTHON_IMAGE="$${image#PYTHON_IMAGE=}"; \
	set -x; $(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(RESUME),--resume) $(LINES)

accuracy: $(VENV)/.ready-accuracy ## measure the diagnosis on generated apps: SEED=… COUNT=400 ONLY=17,23 JOBS=2
	nice -n 10 $(BIN)/python -m tools.accuracy $(if $(SEED),--seed $(SEED)) $(if $(COUNT),--count $(COUNT)) \
	  $(if $(ONLY),--only $(ONLY)) $(if $(JOBS),--jobs $(JOBS))

generations: $(VENV)/.ready ## run the pairs on older and newer clients, each in an environment of its own (docs/compatibility.md)
	$(BIN)/python -m tools.generations $(ONLY)

images: $(VENV)/.ready-dev ## run a sample and pairs in containers with Python 3.9 to 3.14, and with musl (docs/compatibility.md)
	$(BIN)/python -m tools.images $(ONLY)

torture: $(VENV)/.ready-dev ## kills, planted keys, hostile input, faults (docs/torture.md): SUITE=leak ONLY=… RUNS=20 WRITE=1
	@image="$$(tools/engine)" && export LLAMAKEY_TEST_PYTHON_IMAGE="$${image#PYTHON_IMAGE=}"; \
	set -x; $(BIN)/python -m tools.torture $(SUITE) $(if $(ONLY),--only '$(ONLY)') $(if $(RUNS),--runs $(RUNS)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(WRITE),--write)

scale: $(VENV)/.ready-dev ## 20 pods of 2 workers on the cluster of KUBECONFIG
	@image="$$(tools/engine)" && export LLAMAKEY_TEST_PYTHON_IMAGE="$${image#PYTHON_IMAGE=}"; \
	set -x; LLAMAKEY_SCALE=1 LLAMAKEY_REQUIRE_CLUSTER=1 $(PYTEST) -s tests/e2e/test_kubernetes_scale.py $(PYTEST_ARGS)

clean: ## remove the virtual environment and all caches
	rm -rf $(VENV) .venv-bench .venv-generations .pytest_cache .mypy_cache .ruff_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The samples' packages belong to it: the process runtime starts the samples with this environment's programs.
$(VENV)/.ready: pyproject.toml $(SAMPLES)/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "$(PYTHON) is older than Python 3.10; name a newer one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable . --requirement $(SAMPLES)/requirements.txt
	@touch $@

# What only some samples need: front ends, servers, Celery, a cluster, Compose.
NEEDED := $(wildcard $(SAMPLES)/frontends/*/requirements.txt $(SAMPLES)/servers/*/requirements-server.txt \
  $(SAMPLES)/runtimes/celery/right/requirements-worker.txt)
$(VENV)/.ready-samples: $(VENV)/.ready $(NEEDED)
	$(BIN)/python -m pip install --quiet --editable '.[kubernetes,compose]' $(addprefix --requirement ,$(NEEDED))
	@touch $@

# Libraries that the generated apps load their key with; newer environs need marshmallow 4, LlamaIndex's packages 3.
$(VENV)/.ready-accuracy: $(VENV)/.ready-dev
	$(BIN)/python -m pip install --quiet pydantic-settings dynaconf python-decouple 'environs<12'
	@touch $@

$(VENV)/.ready-docs: $(VENV)/.ready-dev
	$(BIN)/python -m pip install --quiet --group docs
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@
