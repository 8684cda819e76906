# `make demo` does the main job on real data, `make test` checks everything, `make lab` opens the notebooks.
# Each sets up .venv first, once. `make book` renders the course, `make test-latest` tries the newest releases.

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin

.PHONY: demo lab test lint types unit notebooks book test-latest bench data fashion clean explorer browser assignments

demo: $(VENV)/ready
	$(BIN)/ddpm-dp demo --out out

lab: $(VENV)/ready
	$(BIN)/jupyter lab notebooks

# The budget explorer as a page by itself, with Voila: http://127.0.0.1:8866
explorer: $(VENV)/all
	$(BIN)/python -m ddpm_dp.explorer

test: lint types unit notebooks browser book

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy

# One torch and numba thread a process: two processes with two threads each only wait for one another.
unit: $(VENV)/all
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m "not browser"

# The explorer in headless Chromium, which is Debian's (installed if it is missing and you are root).
browser: $(VENV)/all
	command -v chromium chromium-browser google-chrome || { apt-get update && apt-get install -y --no-install-recommends chromium; }
	OMP_NUM_THREADS=1 $(BIN)/pytest -m browser tests/test_explorer_browser.py

notebooks: $(VENV)/all
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --nbval-lax --ignore=notebooks/assignments notebooks

# The problem sets as a zip to hand out, out/assignments.zip, with a wheel of the package in it.
assignments: $(VENV)/all
	$(BIN)/python notebooks/assignments/release.py out/assignments.zip

# The course as a web site, out/book/index.html. A warning is an error: a link that leads nowhere, say.
book: $(VENV)/all
	rm -rf out/book out/doctrees
	$(BIN)/sphinx-build -W --keep-going -q -c docs -d out/doctrees . out/book

# The newest release of everything but torch, whose newest may be gigabytes of another build: the whole suite in an
# environment of its own, then what is newer than in constraints.txt. Whether or not a test fails, the list is printed.
test-latest:
	rm -rf .venv-latest && mkdir .venv-latest
	grep '^torch==' constraints.txt > .venv-latest/constraints.txt
	$(MAKE) -k test VENV=.venv-latest CONSTRAINTS=.venv-latest/constraints.txt; failed=$$?; \
	.venv-latest/bin/python .ci/newer.py; exit $$failed

# Times and memory of the search, written to benchmarks/results/.
bench: $(VENV)/ready
	$(BIN)/python benchmarks/solver.py

# The model and statistics that ship in data/.
data: $(VENV)/ready
	$(BIN)/ddpm-dp train digits --steps 25000 --width 320 --dropout 0.2 --half --out data/digits/model.safetensors
	$(BIN)/ddpm-dp measure data/digits/model.safetensors digits --split train --out data/digits/train.npz
	$(BIN)/ddpm-dp measure data/digits/model.safetensors digits --split test --fitted data/digits/train.npz --out data/digits/test.npz
	$(BIN)/python -c "from ddpm_dp.quality import train_classifier; train_classifier('data/fashion-mnist/features.safetensors')"

# The models and statistics in data/fashion-mnist: hours on a CPU, minutes on a GPU; an interrupted training goes on. (The
# hybrid model that ships was begun as a run of 10,000 steps, cut off at 1,500 and gone on with by --start: see its metadata.)
UNET := --network unet --width 16 --depth 1 --dropout 0 --batch-size 64 --half
FASHION := data/fashion-mnist
fashion: $(VENV)/ready
	$(BIN)/ddpm-dp train fashion-mnist $(UNET) --T 1000 --schedule linear --loss simple --steps 6000 --learning-rate 1e-3 --out $(FASHION)/simple/model.safetensors
	$(BIN)/ddpm-dp train fashion-mnist $(UNET) --T 4000 --loss hybrid --steps 6000 --learning-rate 1e-3 --out $(FASHION)/hybrid/model.safetensors
	$(BIN)/ddpm-dp train fashion-mnist $(UNET) --T 4000 --loss vlb --steps 1500 --learning-rate 5e-4 --start $(FASHION)/hybrid/model.safetensors --out $(FASHION)/vlb/model.safetensors
	$(BIN)/ddpm-dp train fashion-mnist $(UNET) --T 4000 --loss predicted --steps 1000 --learning-rate 5e-4 --start $(FASHION)/hybrid/model.safetensors --out $(FASHION)/predicted/model.safetensors
	for model in simple hybrid vlb predicted; do \
	$(BIN)/ddpm-dp measure $(FASHION)/$$model/model.safetensors fashion-mnist --images 512 --timesteps 200 --batch-size 128 --out $(FASHION)/$$model/train.npz && \
	$(BIN)/ddpm-dp measure $(FASHION)/$$model/model.safetensors fashion-mnist --split test --images 512 --timesteps 200 --batch-size 128 --fitted $(FASHION)/$$model/train.npz --out $(FASHION)/$$model/test.npz || exit; done
	$(BIN)/python benchmarks/quality.py
	$(BIN)/ddpm-dp report fashion-mnist > benchmarks/results/fashion-mnist.txt
	$(BIN)/python benchmarks/images.py > benchmarks/results/images.txt

clean:
	rm -rf .venv .venv-latest out dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# torch comes first and pinned: alone and unpinned, pip may choose another build of several gigabytes.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ddpm_dp needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c $(CONSTRAINTS) torch
	$(BIN)/python -m pip install -c $(CONSTRAINTS) -e '.[notebooks,test]'
	touch $@

# What the tests, the explorer's page, the book and the classroom need beside that.
$(VENV)/all: $(VENV)/ready
	$(BIN)/python -m pip install -c $(CONSTRAINTS) -e '.[pretrained,distributed,explorer,browser,classroom,book]'
	touch $@
