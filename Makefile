# `make demo` does the main job on real data, `make lab` opens the notebooks. `make quick` checks what can be checked in
# minutes, `make test` all that a change may break, `make nightly` everything.
# Each sets up .venv first, once. `make book` renders the course, `make test-latest` tries the newest releases.

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
# Windows (make from Chocolatey, in the bash of Git) has another folder for programs.
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)

.PHONY: demo lab test quick fast nightly lint types unit notebooks book dist test-latest test-lowest bench data fashion tiny-imagenet clean explorer browser assignments torture

demo: $(VENV)/ready
	$(BIN)/ddpm-dp demo --out out

lab: $(VENV)/ready
	$(BIN)/jupyter lab notebooks

# The explorer as one file that needs no kernel, out/explorer.html, and that file in the browser.
explorer: $(VENV)/ready
	$(BIN)/ddpm-dp explorer --out out/explorer.html --overwrite --open

test: lint types unit notebooks book browser

# What pyproject.toml marks as nightly is left out, but by this target and what it makes.
TIER := and not nightly
nightly: TIER :=
nightly: test

# One torch and numba thread a process: two processes with two threads each only wait for one another. A process that has
# nothing left to do takes from the other's tests.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

# At every save: all but what is marked slow or nightly (pyproject.toml says why).
quick: lint types fast

fast: $(VENV)/all
	$(PYTEST) -m "not slow and not browser $(TIER)"

lint: $(VENV)/all
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/all
	$(BIN)/mypy

# The tests of tests/, and the examples in docstrings.
unit: $(VENV)/all
	$(PYTEST) -m "not browser $(TIER)"

# Changed and crafted files, 2,000 of each fault and format: each is refused in a sentence, or says the same. A table.
torture: $(VENV)/all
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.torture.table

# The explorer, the book and the formgrader in headless Chromium, which is Debian's (installed if it is missing and you are root).
browser: $(VENV)/all book
	command -v chromium chromium-browser google-chrome || { apt-get update && apt-get install -y --no-install-recommends chromium; }
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m "browser $(TIER)" tests/explorer tests/test_classroom.py

notebooks: $(VENV)/all
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --nbval-lax --ignore=notebooks/assignments notebooks

# The problem sets as a zip to hand out, out/assignments.zip, with a wheel of the package in it.
assignments: $(VENV)/all
	$(BIN)/python notebooks/assignments/release.py out/assignments.zip

# The course as a web site, out/book/index.html. A warning is an error: a link that leads nowhere, say.
book: $(VENV)/all
	rm -rf out/book out/doctrees
	$(BIN)/sphinx-build -W --keep-going -q -c docs -d out/doctrees . out/book
	$(BIN)/ddpm-dp explorer digits emoji/hybrid --out out/book/explorer.html

# The newest release of everything but torch, whose newest may be gigabytes of another build: the whole suite in an
# environment of its own, then what is newer than in constraints.txt. Whether or not a test fails, the list is printed.
test-latest:
	rm -rf .venv-latest && mkdir .venv-latest
	grep '^torch==' constraints.txt > .venv-latest/constraints.txt
	$(MAKE) -k nightly VENV=.venv-latest CONSTRAINTS=.venv-latest/constraints.txt; failed=$$?; \
	.venv-latest/bin/python .ci/newer.py; exit $$failed

# The lowest versions that pyproject.toml allows, as uv finds them: the quick tests in an environment of their own. Where pip
# knows PyPI alone, the lowest torch is a CUDA build of gigabytes: `make test-lowest TORCH=2.13.0` takes another one.
test-lowest:
	rm -rf .venv-lowest
	$(MAKE) .venv-lowest/lowest.txt VENV=.venv-lowest
	$(MAKE) fast VENV=.venv-lowest CONSTRAINTS=.venv-lowest/lowest.txt

$(VENV)/lowest.txt:
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) uv
	echo $(if $(TORCH),torch==$(TORCH)) > $(VENV)/given.txt
	$(BIN)/uv pip compile -q --resolution lowest-direct --all-extras -c $(VENV)/given.txt -o $@ pyproject.toml

# What is published, dist/: a source archive and a wheel (tests/test_wheel.py looks into both). A release has a tag, which must
# be the version's.
dist: $(VENV)/all
	$(BIN)/python -c 'import os, sys, ddpm_dp; v = f"v{ddpm_dp.__version__}"; tag = os.environ.get("TAG", v); sys.exit(tag != v and f"The tag is {tag}, the version {v}: set ddpm_dp.__version__, or tag again.")'
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*

# Times and memory of the search, and what measuring and training cost beside the network: to benchmarks/results/.
bench: $(VENV)/all
	$(BIN)/python benchmarks/solver.py
	$(BIN)/python benchmarks/throughput.py

# What trained and measured the models that ship is written in ddpm_dp/experiments/*.toml, with a reason beside each number.
# An experiment that was cut off goes on when called again; files that are there already are kept if its settings made
# them, and refused if others did: move what is to be made anew out of the way first.

# The model and statistics in data/digits, and the classifier in data/fashion-mnist: minutes on a CPU.
data: $(VENV)/ready
	$(BIN)/ddpm-dp experiment digits --out data
	$(BIN)/python -c "from ddpm_dp.quality import train_classifier; train_classifier('data/fashion-mnist/features.safetensors')"

# The models and statistics in data/fashion-mnist, and what is told of them: a night on a CPU, minutes on a GPU. In a clone, move
# data/fashion-mnist/{hybrid,vlb,predicted,ocm} away first to have them made anew. `schedules.py` is for a GPU: on a CPU it takes
# days, unless asked for less (-n 250 --images 64).
fashion: $(VENV)/ready
	$(BIN)/ddpm-dp experiment fashion-mnist --out data/fashion-mnist
	$(BIN)/python benchmarks/quality.py
	$(BIN)/python benchmarks/schedules.py
	$(BIN)/ddpm-dp report fashion-mnist > benchmarks/results/fashion-mnist.txt
	$(BIN)/python benchmarks/images.py > benchmarks/results/images.txt
	$(BIN)/python benchmarks/diagonal.py > benchmarks/results/diagonal.txt

# The paper's experiment on 64x64 natural images: `make tiny-imagenet TINY_DATA=folder`, with train.zip and val.zip of Tiny
# ImageNet in it. The sizes are for a GPU of some 30 minutes (an estimate: it was not run yet); CUDA is used by itself, all GPUs
# with RUN='.venv/bin/accelerate launch --multi_gpu -m ddpm_dp'. What ships in data/tiny-imagenet-64 was made by
# the experiment tiny-imagenet-64; benchmarks/results/tiny-imagenet-64.txt is its report.
# The images stay outside of the clone: their terms do not let them be passed on, and git and the wheel take all of data/.
TINY_DATA ?= ../tiny-imagenet-64
TINY_OUT ?= out/tiny-imagenet-64
RUN ?= $(BIN)/ddpm-dp
tiny-imagenet: $(VENV)/all
	$(RUN) experiment tiny-imagenet-64-gpu --data-path $(TINY_DATA) --out $(TINY_OUT)
	$(BIN)/ddpm-dp report $(TINY_OUT)

clean:
	rm -rf .venv .venv-latest .venv-lowest out dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# pip compiles one file after the other: that is left to all cores afterwards. (Some files are no Python on purpose.)
INSTALL = $(BIN)/python -m pip install --no-compile -c $(CONSTRAINTS)
COMPILE = $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true

# torch comes first and pinned: alone and unpinned, pip may choose another build of several gigabytes.
$(VENV)/torch: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ddpm_dp needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) torch
	touch $@

$(VENV)/ready: $(VENV)/torch
	$(INSTALL) -e '.[notebooks,test]'
	$(COMPILE)
	touch $@

# What the tests, the book and the classroom need beside that; at once, so that pip chooses versions and compiles once.
$(VENV)/all: $(VENV)/torch
	$(INSTALL) -e '.[notebooks,test,pretrained,distributed,browser,classroom,book]'
	$(COMPILE)
	touch $(VENV)/ready $@
