# The same targets serve people, pre-commit and CI. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# What the sources of use cases import.
REQUIREMENTS := $(wildcard usecases/*/requirements.txt)
# pip's own find-links (a folder of wheels, if this machine has one) is handed on to uv.
export UV_FIND_LINKS ?= $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null || true)
export UV_LINK_MODE ?= hardlink
# Nothing we run phones home, and nothing unpickles.
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION := false

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Python 3.11 where it is found; elsewhere uv brings it, which any Python from 3.9 on can install.
$(BIN)/uv:
	@uv="$$(grep '^uv==' constraints.txt)"
	if $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
		$(PYTHON) -m venv $(VENV)
		$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$uv"
	elif $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
		echo "$(PYTHON) is $$($(PYTHON) -V) and Loopline needs Python 3.11: uv finds or installs one"
		$(PYTHON) -m venv $(VENV)-uv
		$(VENV)-uv/bin/python -m pip install --quiet --disable-pip-version-check "$$uv"
		$(VENV)-uv/bin/uv venv --quiet --clear --python 3.11 $(VENV)
		$(VENV)-uv/bin/uv pip install --quiet --python $(BIN)/python "$$uv"
		rm -rf $(VENV)-uv
	else
		echo "Loopline needs Python 3.11, or 3.9 or newer to get it; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name one with: make PYTHON=/path/to/python3.11"
		exit 1
	fi

# torch for the CPU unless there is an NVIDIA GPU: the default build on Linux brings 4.6 GB of CUDA libraries. A wheel in
# find-links wins. uv does not fall back by itself where the index of CPU builds is out of reach, so that is tried first.
$(VENV)/ready: pyproject.toml constraints.txt $(REQUIREMENTS) | $(BIN)/uv
	@echo "setting up $(VENV) from constraints.txt (about a minute, once)"
	install="$(BIN)/uv pip install --quiet --python $(BIN)/python"
	torch="$$(grep '^torch==' constraints.txt)"
	if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null && [ -z "$${UV_TORCH_BACKEND:-}" ] \
		&& ! $$install --dry-run --no-deps --no-index "$$torch" 2>/dev/null; then
		if UV_HTTP_TIMEOUT=10 $$install --dry-run --no-deps --torch-backend cpu "$$torch" 2>/dev/null; then
			export UV_TORCH_BACKEND=cpu
		else
			echo "torch's CPU build is out of reach: taking the default build, which includes CUDA"
		fi
	fi
	$$install --compile-bytecode --constraint constraints.txt --editable '.[laptop,dev]' $(addprefix --requirement ,$(REQUIREMENTS))
	touch $@

.PHONY: setup
setup: $(VENV)/ready ## create the environment from the lock (the other targets do it by themselves)

.PHONY: run
run: setup-serving ## replay the flights use case: train, validate, predict, retrain, release; report in .loopline/report
	@$(BIN)/loopline loop

$(VENV)-triton/ready: src/loopline/local/endpoint/triton.txt $(VENV)/ready
	@echo "setting up $(VENV)-triton (Triton's server, half a minute, once)"
	@rm -rf $(VENV)-triton && mkdir $(VENV)-triton
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target $(VENV)-triton --no-deps --require-hashes --requirement $< && touch $@ \
		|| echo "Triton could not be installed; KServe's ONNX server takes its place"

.PHONY: setup-serving
setup-serving: $(VENV)-triton/ready ## create the environment of Triton's server (`make serve` does it by itself)

.PHONY: serve
serve: setup-serving ## serve the champion: Envoy, transformer and Triton, until Ctrl-C
	@$(BIN)/loopline serve

.PHONY: test
test: $(VENV)/ready ## unit, golden, manifest and local-pipeline tests
	@$(BIN)/pytest --numprocesses 2 --dist loadfile -m "not serving"

.PHONY: test-serving
test-serving: setup-serving ## the endpoint's processes under load: clients, releases, what breaks
	@$(BIN)/pytest -m serving

.PHONY: lint
lint: $(VENV)/ready ## ruff, mypy strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: $(VENV)/ready ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: compile
compile: $(VENV)/ready ## pipelines to KFP IR in build/pipelines, use cases to kustomize bases in manifests/usecases
	@$(BIN)/loopline compile
	@$(BIN)/loopline compile --manifests manifests/usecases

.PHONY: golden
golden: compile ## the same: manifests/usecases is what tests/golden compares

.PHONY: manifests
manifests: $(VENV)/ready ## render each overlay, check it against schemas and policies, print a table
	@$(BIN)/python -m tests.manifests

.PHONY: schemas
schemas: $(VENV)/ready ## renew the schemas of custom resources from the pinned upstream releases, into LOOPLINE_SCHEMAS
	@$(BIN)/python -m tests.manifests.crd_schemas

.PHONY: cluster-up
cluster-up: $(VENV)/ready ## a kind cluster with the platform and the overlay local (needs docker, kind, helm, istioctl)
	@$(BIN)/python -m tests.cluster.kind up

.PHONY: cluster-down
cluster-down: $(VENV)/ready ## delete that cluster
	@$(BIN)/python -m tests.cluster.kind down

.PHONY: test-cluster
test-cluster: $(VENV)/ready ## end to end on the cluster of KUBECONFIG, in a namespace of its own
	@$(BIN)/pytest tests/cluster

.PHONY: bench
bench: $(VENV)/ready ## measure against named peers; prints a table and writes bench.json
	@$(BIN)/python -m tests.bench

.PHONY: images
images: $(VENV)/ready ## build the container images that hold this code (docker, podman or buildah)
	@$(BIN)/loopline images

.PHONY: sbom
sbom: images ## write what is in each image to build/sbom, as CycloneDX
	@$(BIN)/loopline sbom

.PHONY: test-containers
test-containers: $(VENV)/ready ## build the images, run pipelines in them, compare with this environment
	@$(BIN)/pytest tests/containers

.PHONY: test-spark
test-spark: $(VENV)/ready ## batch inference on real Spark (installs it beside the environment, once; needs Java 17)
	@test -d build/pyspark || $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --target build/pyspark pyspark
	@$(BIN)/pytest tests/spark

.PHONY: bench-serving
bench-serving: setup-serving ## the endpoint against named peers, into bench.json; needs a champion (make run)
	@$(BIN)/python -m tests.bench serving serving_soak

.PHONY: lock
lock: $(BIN)/uv ## renew constraints.txt from pyproject.toml
	@{ echo "# The one lock: the laptop and every image install from it. Renew with: make lock"
	@echo "uv==$$($(BIN)/uv --version | cut -d' ' -f2)"
	@$(BIN)/uv pip compile --quiet --upgrade --all-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml $(REQUIREMENTS) \
		| sed -E 's/^(torch==[0-9.]+)\+cpu$$/\1/' | grep -v '^uv=='; } > constraints.txt.new
	@# A package that somebody else repacked has its bytes pinned too, for as long as it has its version.
	@awk 'NR == FNR {if ($$2 ~ /^--hash=/) pinned[$$1] = $$0; next} {print ($$1 in pinned) ? pinned[$$1] : $$0}' \
		constraints.txt constraints.txt.new > constraints.txt.pinned
	@mv constraints.txt.pinned constraints.txt; rm constraints.txt.new

.PHONY: clean
clean: ## remove the environment and all state
	@rm -rf $(VENV) $(VENV)-triton .loopline .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache bench.json
