# The commands of the repository; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
comma := ,
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SOURCES := $(shell find runtime trainer export benchmarks distill serve cli -name '*.py' -o -name '*.[ch]' -o -name '*.onnx' \
             -o -name '*.html' -o -name '*.js' -o -name '*.css' -o -name '*.svg') \
           pyproject.toml CMakeLists.txt README.md LICENSE

.PHONY: help demo test test-all check format model bench gpu-check triton-check simulated clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | column -t -s $$'\t'

demo: $(VENV)/demo  ## translate a real clip with the bundled model (VIDEO=file or camera number)
	$(BIN)/cgt demo $(VIDEO)

test: $(VENV)/dev  ## run the fast tests against the installed wheel (ARGS=pytest arguments)
	cd tests && ../$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-all: $(VENV)/dev  ## run all tests, the slow ones too (half an hour on two cores)
	cd tests && ../$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/dev  ## formatting, lint, types, C
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p cgt.runtime -p cgt.trainer -p cgt.export -p cgt.benchmarks -p cgt.distill -p cgt.serve -p cgt.cli
	$(BIN)/mypy -p benchmarks.suites
	$(BIN)/clang-tidy --quiet runtime/native/*.c benchmarks/suites/*.c -- -std=c11 -Iruntime/native

format: $(VENV)/dev  ## format Python and sort imports
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

model: $(VENV)/dev  ## train the bundled model from CGT_DATA (an hour on two cores; resumes)
	@test -d "$(CGT_DATA)/monet2photo" || { echo "set CGT_DATA to a folder that has monet2photo/"; exit 2; }
	PATH="$(abspath $(BIN)):$$PATH" bash examples/recipes/monet.sh

bench: $(VENV)/dev  ## against what one would pick instead (VIDEO=file), written to docs/results/benchmarks.md
	$(BIN)/python -m benchmarks.suites.vs_baselines $(VIDEO) --results docs/results/benchmarks.md
	$(BIN)/python -m benchmarks.suites.kernels

gpu-check: $(VENV)/dev  ## on a machine with a GPU: build, verify and time engines (MODELS=files)
	$(BIN)/python -m tests.gpu.gpu_check $(or $(MODELS),$(wildcard $(VENV)/lib/python3*/site-packages/vintagify/resources/G_A2B_epoch33.pth))

triton-check: $(VENV)/dev  ## a real Triton server, installed into .venv/triton, against the local engine
	bash tests/tritonserver/install.sh $(VENV)
	cd tests && ../$(BIN)/python -m pytest -v export/builders/test_triton_server.py

simulated: $(VENV)/dev  ## pycuda on a simulated GPU, for the tests of the TensorRT engine
	bash tests/fakes/install.sh $(VENV)

clean:  ## remove what make made
	rm -rf $(VENV) build demo .mypy_cache .ruff_cache .pytest_cache

$(VENV)/python:
	$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }
	@touch $@

# OpenCV's window support wants libGL; a machine without a screen may lack it, and then gets
# OpenCV's headless build of the same version.
define install
	$(PIP) '.[$(1)]'
	@$(BIN)/python -c 'import cv2' 2> /dev/null || { \
	  echo "libGL is missing: taking opencv-python-headless instead of opencv-python"; \
	  $(BIN)/python -m pip uninstall --quiet --yes opencv-python; \
	  $(PIP) --force-reinstall --no-deps \
	    "opencv-python-headless==$$(sed -n 's/^opencv-python==//p' constraints.txt)"; }
endef

$(VENV)/demo: $(VENV)/python constraints.txt $(SOURCES)  # the runtime, without torch
	$(call install,demo)
	@touch $@

$(VENV)/dev: $(VENV)/python constraints.txt $(SOURCES)
	$(call install,demo$(comma)train$(comma)plot$(comma)distributed$(comma)projected$(comma)ort$(comma)serve$(comma)tensorrt-rtx$(comma)triton$(comma)ray$(comma)dev)
	$(PIP) --no-deps vintagify  # a trained generator for the tests; it asks for torchvision in vain
	@$(PIP) --no-deps --upgrade --target $(VENV)/stubs tensorrt-stubs  # text that a test reads
	@touch $@ $(VENV)/demo
