# `make demo` does the main job on real data, `make test` checks everything, `make lab` opens the notebooks.
# Each sets up .venv first, once.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo lab test lint types unit notebooks bench data clean

demo: .venv/ready
	$(BIN)/ddpm-dp demo --out out

lab: .venv/ready
	$(BIN)/jupyter lab notebooks

test: lint types unit notebooks

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

# One torch and numba thread a process: two processes with two threads each only wait for one another.
unit: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

notebooks: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --nbval-lax notebooks

# Times and memory of the search, written to benchmarks/results/.
bench: .venv/ready
	$(BIN)/python benchmarks/solver.py

# The model and statistics that ship in data/.
data: .venv/ready
	$(BIN)/ddpm-dp train digits --steps 25000 --width 320 --dropout 0.2 --half --out data/digits/model.safetensors
	$(BIN)/ddpm-dp measure data/digits/model.safetensors digits --split train --out data/digits/train.npz
	$(BIN)/ddpm-dp measure data/digits/model.safetensors digits --split test --fitted data/digits/train.npz --out data/digits/test.npz

clean:
	rm -rf .venv out dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# torch comes first and pinned: alone and unpinned, pip may choose another build of several gigabytes.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ddpm_dp needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt torch
	$(BIN)/python -m pip install -c constraints.txt -e '.[notebooks,test]'
	touch $@
