# `make demo` does the main job on real data, `make test` checks everything, `make lab` opens the notebooks.
# Each sets up .venv first, once. `make book` renders the course, `make test-latest` tries the newest releases.

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin

.PHONY: demo lab test lint types unit notebooks book test-latest bench data fashion tiny-imagenet clean explorer browser assignments

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
	OMP_NUM_THREADS=1 $(BIN)/pytest -m browser tests/explorer/test_browser.py

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

# Times and memory of the search, and what measuring and training cost beside the network: to benchmarks/results/.
bench: $(VENV)/all
	$(BIN)/python benchmarks/solver.py
	$(BIN)/python benchmarks/throughput.py

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

# The paper's experiment on 64x64 natural images: `make tiny-imagenet TINY_DATA=folder`, with train.zip and val.zip of Tiny
# ImageNet in it. The sizes are for a GPU of some 30 minutes (an estimate: none was at hand); CUDA is used by itself, all GPUs
# with RUN='.venv/bin/accelerate launch --multi_gpu -m ddpm_dp'. It can be cut off at any time, and the same command goes on.
# What ships was made on a CPU, with TINY_UNET='--width 16 --depth 1 --batch-size 32', the steps that its metadata tell and
# TINY_MEASURE='--images 128 --timesteps 150 --batch-size 32'; benchmarks/results/tiny-imagenet-64.txt is its report.
# The images stay outside of the clone: their terms do not let them be passed on, and git and the wheel take all of data/.
TINY_DATA ?= ../tiny-imagenet-64
TINY_OUT ?= out/tiny-imagenet-64
TINY_UNET ?= --width 60 --depth 2 --batch-size 128
TINY_STEPS_hybrid ?= 16000
TINY_STEPS_vlb ?= 6000
TINY_STEPS_predicted ?= 2000
TINY_MEASURE ?= --images 2000 --timesteps 400 --batch-size 512
TINY := images --data-path $(TINY_DATA) --size 64
RUN ?= $(BIN)/ddpm-dp
tiny-imagenet: $(foreach loss,hybrid vlb predicted,$(TINY_OUT)/$(loss)/test.npz)
	$(BIN)/ddpm-dp report $(TINY_OUT)

.PRECIOUS: $(TINY_OUT)/%/model.safetensors $(TINY_OUT)/%/train.npz
$(TINY_OUT)/hybrid/model.safetensors: | $(VENV)/all
	$(RUN) train $(TINY) --network unet $(TINY_UNET) --dropout 0 --half --T 4000 --loss hybrid --steps $(TINY_STEPS_hybrid) --learning-rate 1e-3 --out $@

$(TINY_OUT)/%/model.safetensors: $(TINY_OUT)/hybrid/model.safetensors
	$(RUN) train $(TINY) --network unet $(TINY_UNET) --dropout 0 --half --T 4000 --loss $* --steps $(TINY_STEPS_$*) --learning-rate 5e-4 --start $< --out $@

$(TINY_OUT)/%/train.npz: $(TINY_OUT)/%/model.safetensors
	$(RUN) measure $< $(TINY) $(TINY_MEASURE) --out $@

$(TINY_OUT)/%/test.npz: $(TINY_OUT)/%/train.npz
	$(RUN) measure $(@D)/model.safetensors $(TINY) $(TINY_MEASURE) --split test --fitted $< --out $@

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
