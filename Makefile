# People, hooks and CI call the same targets. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(CURDIR)/$(VENV)/bin
READY  := $(VENV)/.ready
PIP    := python -m pip install --quiet --disable-pip-version-check
export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS := true
export DO_NOT_TRACK := true
export DVC_SITE_CACHE_DIR ?= $(CURDIR)/.tsn/dvc

.DEFAULT_GOAL := help
.PHONY: help setup dvc-config lock repro grid studies test check lint fast-test format ui server serve clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) dvc-config ## the environment: .venv with the pinned versions

$(READY): requirements.lock pyproject.toml
	@# Whatever is downloaded has to have a hash of the lock: what builds a package, too, and pip itself,
	@# whose old versions find no hashes for a package with extras.
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	sed -n -e '/^pip==/,/[^\\]$$/p' -e '/^setuptools==/,/[^\\]$$/p' requirements.lock > $(VENV)/first.lock
	$(PIP) --require-hashes --requirement $(VENV)/first.lock
	@# PyTorch for GPUs comes in files of 400 MB; a connection that is cut is not worth the whole setup.
	for attempt in 1 2 3; do \
	  $(PIP) --require-hashes --no-build-isolation --requirement requirements.lock && exit 0; \
	done; exit 1
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

lock: ## requirements.lock anew, with the newest versions and the hashes of all platforms; needs uv
	uv pip compile pyproject.toml --group dev --extra export --universal --generate-hashes --upgrade \
	  --no-header --no-annotate --output-file requirements.lock

# What only this machine's DVC is told: that there is no .git, as in a zip download (a folder of a
# repository has it above); and where its pickles are, for it would take a folder that all users may
# write to (CVE-2025-69872). In .dvc/config a path would be relative to wherever dvc is called.
dvc-config: $(READY)
	@if test -e .git || git ls-files --error-unmatch dvc.yaml > /dev/null 2>&1; then \
	  if grep -qs no_scm .dvc/config.local; then dvc config --local --unset core.no_scm; fi; \
	else grep -qs no_scm .dvc/config.local || dvc config --local core.no_scm true; fi
	@mkdir -p -m 700 .tsn
	@grep -qsF 'site_cache_dir = $(CURDIR)/.tsn/dvc' .dvc/config.local || \
	  dvc config --local core.site_cache_dir '$(CURDIR)/.tsn/dvc'

repro: setup ## the whole chain, then the fused three-split table
	tsn repro

grid: setup ## the same, cells in parallel, as a Prefect flow (JOBS=2: so many training runs at once)
	tsn grid $(if $(JOBS),--jobs $(JOBS))

STUDIES := training_strategies modalities consensus components segments aggregation modalities_journal backbones \
	state_of_the_art state_of_the_art_hmdb51

studies: setup ## the papers' tables on `synthetic`, one split, in the small setting (docs/studies.md)
	failed=; \
	for study in $(STUDIES); do \
		tsn study $$study --dataset synthetic --splits 1 --small || { \
			test $$? -eq 130 && exit 130; failed="$$failed $$study"; \
		}; \
	done; \
	test -z "$$failed" || { echo "not finished:$$failed"; exit 1; }

test: setup ## every test
	python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

fast-test: setup
	python -m pytest -n 2 --dist loadfile -m "not slow and not gpu" -q

lint: setup ## format, lint, types, import contracts
	ruff format --check .
	ruff check .
	mypy
	lint-imports --no-cache

check: lint fast-test ## lint, and the fast tests

format: setup ## rewrite the code in the house format
	ruff check --fix .
	ruff format .

ui: setup ## the MLflow UI, on http://127.0.0.1:5000 (another port: PORT=5005)
	tsn ui $(if $(PORT),--port $(PORT))

server: setup ## Prefect's server (PORT=4200) and a worker, and MLflow's server (MLFLOW_PORT=5000), until Ctrl-C
	tsn server $(if $(PORT),--port $(PORT)) $(if $(MLFLOW_PORT),--mlflow-port $(MLFLOW_PORT))

serve: setup ## the champion of DATASET as a web service, on http://127.0.0.1:5001 (another port: PORT=5005)
	tsn serve $(DATASET) $(if $(PORT),--port $(PORT))

clean: ## remove data, models and results; DVC's cache, the flow store and MLflow stay
	rm -rf data models scores plots reports recognisers metrics .tsn/progress
