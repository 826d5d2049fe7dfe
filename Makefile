# `make demo` and `make test` are all that a newcomer needs; each installs what it needs into .venv by itself.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STATE ?= .local/up

.PHONY: help demo up test standins lint format bench simulate chaos mutate cluster gateways contract runtime lock package clean

SEEDS ?= 10000
WORKERS ?= auto

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/ready: pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Mergekey needs Python 3.11 or newer: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/ready ## push requests, watch keys arrive, change a limit, withdraw a team, call a model: on this machine, in a minute; with CLUSTER=real on a real API server
	@$(RUN) -m $(if $(filter real,$(CLUSTER)),tests.cluster.demo,standins.demo)

up: $(VENV)/ready ## keep everything running, to edit, commit and push yourself; the state stays in .local/up
	@$(RUN) -m standins.demo --up $(STATE)

# The tests of what is pure, one folder a room.
PURE := $(addprefix tests/,basics documents messaging catalog requests policies resources inventory branch api adapters)

# A process more than there are cores; standins/tests/plugin.py says so, and tests/conftest.py in which order files are handed out.
SHARED := --numprocesses=$(WORKERS) --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

# Compiled files are kept, whatever the environment says: else every process compiles all tests, and every host the app.
test standins: export PYTHONDONTWRITEBYTECODE =

# The hosts and judges of chaos take long, and belong to `make chaos`.
test: $(VENV)/ready ## the tests of the product, on all cores: WORKERS=n for another number of processes
	$(RUN) -m pytest $(SHARED) --ignore=tests/chaos

standins: $(VENV)/ready ## the tests of the stand-ins themselves
	$(RUN) -m pytest $(SHARED) standins/tests

lint: $(VENV)/ready ## style, types, layers
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/ready ## format the code
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: $(VENV)/ready ## from push to key; operators with 2,000 dead letters; how much the gateway stand-in takes
	$(RUN) -m bench.push_to_key
	$(RUN) -m bench.dead_letters 2000
	$(RUN) -m bench.gateway

simulate: $(VENV)/ready ## the app over fakes, in virtual time, with everything failing: SEEDS=10000, then without each safeguard, then every kill, 500 examples and 10,000 teams; or one with SEED=n
	@$(RUN) -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))
	$(if $(SEED),,@$(RUN) -m tests.simulation --ablation)
	$(if $(SEED),,@MERGEKEY_THOROUGH=1 $(RUN) -m pytest -q tests/stages/test_half_states.py tests/stages/test_odd_objects.py tests/stages/test_scale.py tests/simulation/test_memory.py tests/settlement $(PURE))

chaos: $(VENV)/ready ## kills, outages, throttling and wild webhooks against real processes: the tests of the judge, then all, or ONLY="host bus", SEED=n
	$(if $(SEED)$(ONLY),,@$(RUN) -m pytest -q tests/chaos)
	@$(RUN) -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

$(VENV)/mutate-ready: $(VENV)/ready
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev,mutate]'
	@touch $@

mutate: $(VENV)/mutate-ready ## which small changes of the code no test notices (takes long; a second time only what changed): ONLY='shared.stages.apply.*'
	@$(RUN) -m tests.mutation $(ONLY)

.contract-venv/ready: $(VENV)/ready
	$(PYTHON) -m venv .contract-venv
	.contract-venv/bin/python -m pip install --quiet --disable-pip-version-check 'azure-cli>=2.80,<3' 'python-qpid-proton>=0.40,<1' 'schemathesis>=4,<5'
	@touch $@

# An environment of their own: the Azure command line pins what they need in newer versions.
.contract-venv/models/ready: .contract-venv/ready
	$(PYTHON) -m venv .contract-venv/models
	@if .contract-venv/models/bin/python -m pip install --quiet --disable-pip-version-check 'langchain-openai>=1,<2' 'litellm>=1.80,<2' 'pydantic-ai-slim[openai]>=2,<3'; \
	then touch $@; else echo "LangChain, LiteLLM and pydantic-ai could not be installed: their tests are skipped"; fi

# Only where npm is: without it the tests of this client are skipped, and say so.
.contract-venv/node_modules/clients-ready: .contract-venv/ready
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
		npm install --silent --no-audit --no-fund --ignore-scripts --no-save --prefix .contract-venv '@azure/service-bus@^7.9.5' 'openai@>=5' && touch $@; \
	else echo "npm or node is missing here: the tests with @azure/service-bus and openai are skipped"; fi

# Only where Go is: without it the tests with a real API server are skipped, and say so.
cluster: $(VENV)/ready ## build a real Kubernetes API server for the tests, into the user's cache folder (needs Go 1.25; the first time a quarter of an hour and 6 GB)
	@$(RUN) -m tests.cluster.build

gateways: $(VENV)/ready ## build the real Gateway controllers that MERGEKEY_GATEWAYS=istio,envoy names (needs Go 1.26; the first time a quarter of an hour each)
	@$(RUN) -m tests.gateways.build

contract: .contract-venv/ready .contract-venv/models/ready .contract-venv/node_modules/clients-ready cluster gateways ## how far the stand-ins can be trusted: official descriptions, clients by others, a real API server, real services, our own API (takes long)
	@MERGEKEY_CONTRACT_PYTHON=$(CURDIR)/.contract-venv/bin/python MERGEKEY_CONTRACT_MODELS=$(CURDIR)/.contract-venv/models/bin/python MERGEKEY_CONTRACT_NODE=$(CURDIR)/.contract-venv $(RUN) -m tests.contract_run

runtime: $(VENV)/ready ## the app inside Microsoft's own worker runtime (needs a Python 3.13 or newer)
	$(RUN) -m tests.runtime.venv
	$(RUN) -m pytest tests/runtime

# For what runs in Azure: Python 3.12 on Linux.
lock: $(VENV)/ready ## write requirements.lock anew from requirements.txt: the newest versions within its bounds, with their hashes
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[lock]'
	$(VENV)/bin/uv pip compile requirements.txt --quiet --upgrade --output-file requirements.lock --generate-hashes --no-annotate \
	  --custom-compile-command 'make lock' --python-version 3.12 --python-platform x86_64-manylinux_2_28

package: ## make build/package, which is published to Azure; with Python 3.12 its compiled code is used there
	$(PYTHON) infra/package.py build/package

clean: ## remove what was installed and all local state
	rm -rf $(VENV) .contract-venv .runtime-venv .local build mutants *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
