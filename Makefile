# Candela: every command that a person or CI runs. `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export CARGO_TARGET_DIR ?= $(HOME)/.cache/candela/target
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/.venv
export VIRTUAL_ENV := $(CURDIR)/.venv
export PATH := $(CURDIR)/.venv/bin:$(PATH)

PYTHON ?= python3
SEED ?= 1
KILLS ?= 200
DIVISIONS ?= 50
BLOCKS ?= 50000
ELEMENTS ?= 10000
DAYS ?= 500
PYTEST_WORKERS ?= 2
SECONDS ?= 600
SAY = @printf '\n== %s\n'

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

# --- set-up ---------------------------------------------------------------------------------------------------------

.PHONY: toolchain
toolchain:
	@command -v cargo >/dev/null || { echo "cargo is missing. Install Rust 1.95 with rustup, then run this again."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed. Install it, or name it: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing. On Debian: apt-get install python3-venv"; exit 1; }
	@command -v cc >/dev/null || { echo "A C compiler is missing. On Debian: apt-get install build-essential"; exit 1; }

.PHONY: sandbox
sandbox:
	@if ! command -v bwrap >/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing bubblewrap, which keeps jobs away from the host."; \
	    { apt-get update && apt-get install -y --no-install-recommends bubblewrap; } >/dev/null; \
	  else \
	    echo "bubblewrap is missing, so providers can't isolate jobs. On Debian: sudo apt-get install bubblewrap"; exit 1; \
	  fi; \
	fi

.venv/.synced: pyproject.toml uv.lock | toolchain
	$(SAY) "Python environment in .venv"
	@[ -x .venv/bin/python ] || $(PYTHON) -m venv .venv
	@[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv/bin/uv sync --quiet --frozen --all-extras
	@touch $@

%/node_modules/.synced: %/package.json %/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing. Install Node.js 20 or newer, then run this again."; exit 1; }
	@node -e 'process.exit(+(process.versions.node.split(".")[0] < 20))' || \
	  { echo "Node.js 20 or newer is needed; this is $$(node --version)."; exit 1; }
	$(SAY) "JavaScript packages in $*"
	npm ci --prefix $* --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: setup
setup: toolchain sandbox .venv/.synced

.PHONY: clients
clients: tests/ethereum/js/node_modules/.synced clients/typescript/node_modules/.synced ## install what the JavaScript clients need

.PHONY: build
build: setup ## build the ledger engine into the environment
	$(SAY) "Ledger engine (the first build takes about five minutes on two cores)"
	maturin develop --release --uv --quiet

# --- what people run ------------------------------------------------------------------------------------------------

.PHONY: demo
demo: build ## start a network, run a simulation over four providers, show the result, stop everything
	$(SAY) "Demo"
	python examples/demo.py $(DEMO_ARGS)

.PHONY: demo-cheat
demo-cheat: build ## start five providers of which four cheat, and show how each is found and pays
	$(SAY) "Demo of cheats"
	python examples/demo_cheat.py

.PHONY: test
test: lint test-rust test-python ## run every test

.PHONY: test-rust
test-rust: toolchain
	$(SAY) "Rust tests"
	cargo test --release --workspace --exclude candela-python --quiet

.PHONY: test-python
test-python: build clients
	$(SAY) "Python and contract tests"
	pytest -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

.PHONY: lint
lint: setup clients ## formatting, lints and types; warnings are errors
	$(SAY) "Lints"
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets --quiet -- -D warnings
	ruff format --check .
	ruff check .
	basedpyright
	npm run --silent lint --prefix tests/ethereum/js
	npm run --silent lint --prefix clients/typescript

.PHONY: format
format: setup ## rewrite sources in the house style
	cargo fmt --all
	ruff format .
	ruff check --fix .

.PHONY: wheel
wheel: setup ## build the wheel into dist/
	maturin build --release --out dist

# --- longer runs ----------------------------------------------------------------------------------------------------

SEEDS ?= 0..1000

.PHONY: cost-model
cost-model: toolchain ## count what committees of 4 to 100 validators send and compute for a block
	$(SAY) "Bytes and CPU time for a block, in the simulator"
	cargo test --release --quiet -p candela-consensus costs_of_committees -- --ignored --nocapture

.PHONY: simulate
simulate: toolchain ## agree under seeded faults: SEEDS=FIRST..LAST, the last one excluded; FAULTS=NAME,NAME
	$(SAY) "Simulation of seeds $(SEEDS)"
	CANDELA_SIMULATE=$(SEEDS) CANDELA_FAULTS=$(FAULTS) cargo test --release --quiet --package candela-consensus faults_never_split

.PHONY: bench
bench: build ## measure the ledger and the market; table and JSON
	python -m benches $(BENCH_ARGS)

.PHONY: bench-engine
bench-engine: setup ## measure the executors and the node without RPC; table and JSON
	python -m benches.engine $(BENCH_ARGS)

.PHONY: bench-validators
bench-validators: build ## measure four validators on this machine, kills among them; table and JSON
	python -m benches.validators $(BENCH_ARGS)

.PHONY: bench-sync
bench-sync: build ## measure how long a node takes to join, by replay and by state sync; table and JSON
	python -m benches.sync $(BENCH_ARGS)

.PHONY: bench-binding
bench-binding: build ## measure what the Python binding adds to taking transactions in; table and JSON
	python -m benches.binding $(BENCH_ARGS)

.PHONY: bench-intensity
bench-intensity: build ## measure proving and checking intensity on this CPU; table and JSON
	python -m benches.intensity $(BENCH_ARGS)

.PHONY: bench-economy
bench-economy: setup ## count the gas of receipts, rewards and node shares, and time 10,000 providers' day; table and JSON
	python -m benches.economy $(BENCH_ARGS)

.PHONY: check-intensity
check-intensity: setup ## compare ELEMENTS elements with the contract's and challenge true tiles as often, with SEED
	SEED=$(SEED) ELEMENTS=$(ELEMENTS) pytest contracts/tests/test_intensity.py

.PHONY: check-staking
check-staking: setup ## bond, delegate, cheat and withdraw in 300 long random histories with SEED, counting every nit
	CANDELA_HYPOTHESIS=long pytest --hypothesis-seed=$(SEED) contracts/tests/test_staking_conservation.py

.PHONY: check-economy
check-economy: setup ## play 300 histories of node shares and DAYS days of rewards with SEED against their models
	CANDELA_HYPOTHESIS=long SEED=$(SEED) DAYS=$(DAYS) pytest -s --hypothesis-seed=$(SEED) \
	  contracts/tests/test_shares_conservation.py contracts/tests/test_rewards_conservation.py tests/economics/test_rewards.py

.PHONY: fuzz-parallel
fuzz-parallel: toolchain ## compare parallel and sequential execution on BLOCKS pairs of random blocks from SEED on
	SEED=$(SEED) BLOCKS=$(BLOCKS) cargo test --release -p candela-evm --test equality -- --nocapture

.PHONY: fuzz-decoders
fuzz-decoders: toolchain ## feed damaged bytes to every decoder, for SECONDS altogether, with SEED
	SEED=$(SEED) CANDELA_FUZZ_SECONDS=$(SECONDS) cargo test --release --quiet -p candela-fuzz no_decoder_breaks -- --nocapture

.PHONY: soak-kill
soak-kill: build ## kill -9 a loaded node KILLS times with SEED, and check that nothing final was lost
	python tests/soak/kill_node.py --seed $(SEED) --kills $(KILLS)

.PHONY: soak-flood
soak-flood: build ## flood a node for SECONDS with SEED; its memory stays bounded, and who pays is served
	python tests/soak/flood.py --seed $(SEED) --seconds $(SECONDS)

.PHONY: soak-validators
soak-validators: build ## kill -9 one of four loaded validators KILLS times with SEED; no fork, nothing final is lost
	python tests/soak/kill_validators.py --seed $(SEED) --kills $(KILLS)

.PHONY: soak-divisions
soak-divisions: build ## divide the network of four loaded validators DIVISIONS times with SEED; no fork, all is final afterwards
	python tests/soak/divide_validators.py --seed $(SEED) --divisions $(DIVISIONS)

.PHONY: conformance
conformance: toolchain ## run Ethereum's published tests from FIXTURES
	@: $${FIXTURES:?name the folder: make conformance FIXTURES=../shared/fixtures}
	cargo run --release --quiet -p candela-conformance --bin candela-statetest -- $(FIXTURES)/state_tests
	cargo run --release --quiet -p candela-conformance --bin candela-blocktest -- $(FIXTURES)/mainnet_blocks
	cargo run --release --quiet -p candela-conformance --bin candela-rpctest -- $(FIXTURES)/execution_apis

.PHONY: plots
plots: setup ## draw the figures of docs/economics.md from the model
	python docs/plots.py

.PHONY: contracts
contracts: setup ## compile the system contracts into the package
	python contracts/build.py

.PHONY: clean
clean: ## remove what the build made inside this folder
	rm -rf .venv dist out candela/_ledger*.so tests/ethereum/js/node_modules clients/typescript/node_modules clients/typescript/build
