# Development commands; `make help` lists them.
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

help:  ## print this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | column -t -s $$'\t'

demo: $(VENV)/demo  ## translate a clip with the bundled model (VIDEO=file or camera number)
	$(BIN)/cgt demo $(VIDEO)

test: $(VENV)/dev  ## run the fast tests against the installed wheel (ARGS=pytest arguments)
	cd tests && ../$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-all: $(VENV)/dev  ## run all tests, the slow ones too (half an hour on two cores)
	cd tests && ../$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/dev  ## check formatting, lint, types and C code
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

bench: $(VENV)/dev  ## benchmark against alternatives (VIDEO=file); writes docs/results/translate.md
	$(BIN)/python -m benchmarks.suites.vs_baselines $(VIDEO) --results docs/results/translate.md
	$(BIN)/python -m benchmarks.suites.kernels

gpu-check:  ## build, verify and time engines on a machine with a GPU (MODELS=files; own environment)
	@bash tests/gpu/run.sh $(PYTHON) $(VENV)-gpu $(MODELS)

triton-check: $(VENV)/dev  ## compare a real Triton server (in .venv/triton) with the local engine
	bash tests/tritonserver/install.sh $(VENV)
	cd tests && ../$(BIN)/python -m pytest -v export/builders/test_triton_server.py

simulated: $(VENV)/dev  ## install pycuda for a simulated GPU, for tests of the TensorRT engine
	bash tests/fakes/install.sh $(VENV)

clean:  ## remove build outputs and the environment
	rm -rf $(VENV) $(VENV)-gpu build demo .mypy_cache .ruff_cache .pytest_cache

$(VENV)/python:
	$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }
	@touch $@

# OpenCV's window support needs libGL. A machine without a screen may lack it; it then gets the
# headless build of the same version.
define install
	$(PIP) '.[$(1)]'
	@$(BIN)/python -c 'import cv2' 2> /dev/null || { \
	  echo "libGL is missing: installing opencv-python-headless instead of opencv-python"; \
	  $(BIN)/python -m pip uninstall --quiet --yes opencv-python; \
	  $(PIP) --force-reinstall --no-deps \
	    "opencv-python-headless==$$(sed -n 's/^opencv-python==//p' constraints.txt)"; }
endef

$(VENV)/demo: $(VENV)/python constraints.txt $(SOURCES)  # the runtime without torch
	$(call install,demo)
	@touch $@

$(VENV)/dev: $(VENV)/python constraints.txt $(SOURCES)
	$(call install,demo$(comma)train$(comma)plot$(comma)distributed$(comma)projected$(comma)ort$(comma)serve$(comma)tensorrt-rtx$(comma)triton$(comma)ray$(comma)dev)
	$(PIP) --no-deps vintagify  # a trained generator for tests, without torchvision
	@$(PIP) --no-deps --upgrade --target $(VENV)/stubs tensorrt-stubs  # a test reads these files
	@touch $@ $(VENV)/demo
