# Longtake: everything starts with `make setup`, which the other targets call. No root is needed.

PYTHON ?= python3
BIN    := .venv/bin
READY  := .venv/.ready
S3     := .cache/s3-server/.ready
# More processes than two cores: a third of the time, tests wait for other processes.
# Without bytecode every one of several hundred processes compiles this tree anew.
TESTS  := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder --durations 25

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test long faults lint fmt train bench bench-gpu bench-api bench-company bench-published bench-length bench-scaling bench-capacity bench-families soak screenshots s3-server lock clean

help:            ## This list
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(READY)  ## .venv with everything, every version as locked

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Longtake needs Python 3.11 or later; give another with PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true  # on all cores; some modules are of other Pythons
	@touch $@

demo: setup      ## One video through the whole service, with its webhook and its figures
	$(BIN)/python -m longtake.demo

serve: setup     ## The service on http://127.0.0.1:8000
	$(BIN)/longtake serve

test: setup s3-server lint ## Everything that can be checked on this machine, but for the long forms
	$(TESTS) -m "not long"

long: setup s3-server ## The long forms: training, ablation, benches, images, machines cut off, alerts that fire (ten minutes)
	$(TESTS) -m long

faults: setup s3-server ## Every experiment that could break a promise, with 20 seeds; then 200 videos through five kills (hours)
	$(TESTS) tests/faults --seeds 20
	OMP_NUM_THREADS=1 $(BIN)/pytest tests/faults/test_acknowledged.py --seeds 1 --jobs 200

lint: setup      ## Style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: setup       ## Bring the style in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

train: setup     ## Train the bundled model again, in stages that can be stopped and resumed
	$(BIN)/longtake train all

bench: setup     ## What converting the published checkpoint takes (10 GB of disk, minutes)
	$(BIN)/python -m bench.conversion

bench-gpu: setup ## What every memory preset takes on this GPU: memory, seconds a chunk and a window (minutes)
	$(BIN)/python -m bench.gpu

bench-api: setup ## What the API carries: orders a second, 10,000 that wait, 1,000 streams, short behind long (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.api_load

bench-published: setup ## A streaming chunk and a refinement window beside the published code's, from CHECKOUT=FOLDER of it (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.published $(CHECKOUT)

bench-company: setup ## What it saves to make the chunks of several videos in one batch (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.company

bench-length: setup ## What a frame costs, and what memory a video, of 120, 240 and 1,200 frames (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.length

bench-scaling: setup ## How much sooner two and four workers make one long video, and what the scheduler takes (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.scaling

bench-families: setup ## Whether a long video costs a family of models more than a short one (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.families

bench-capacity: setup ## How many workers a load needs, by simulating a day of it (minutes)
	$(BIN)/python -m bench.capacity

soak: setup s3-server ## Half an hour of orders with a fault every 20 s: what grows, what is lost (--minutes, --seed, --out)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.soak

screenshots: setup ## Pictures of the studio for docs/studio (needs Chromium, minutes)
	$(BIN)/python -m tests.screenshots

s3-server: $(S3)  ## A real S3 server for the tests (OpenStack Swift), in an environment of its own

$(S3):
	rm -rf .cache/s3-server && $(PYTHON) -m venv .cache/s3-server
	.cache/s3-server/bin/pip install --quiet --disable-pip-version-check -r tests/support/s3-server.txt
	@touch $@

lock:            ## Write requirements.lock anew from pyproject.toml
	rm -rf .cache/lock && $(PYTHON) -m venv .cache/lock
	.cache/lock/bin/pip install --quiet ".[api,worker,tracing,train,standalone,dev]"
	@echo '# Every version that Longtake was tested with; made by `make lock`.' > requirements.lock
	.cache/lock/bin/pip freeze --exclude longtake | sed 's/+cpu$$//' >> requirements.lock

clean:           ## Remove what the targets made, but no data and no training runs
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
