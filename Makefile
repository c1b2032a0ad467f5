# The commands a contributor needs. One profile (`release`) for everything, so nothing is compiled twice.
# Tools that are missing are skipped with a line that says so; only libclang, without which nothing builds, is fetched.

SHELL := /bin/sh
CARGO ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
FRESNEL := $(TARGET_DIR)/release/fresnel

# Where ccache is, RocksDB takes seconds in the next clone.
ifneq ($(shell command -v ccache 2>/dev/null),)
export CXX := ccache $(CXX)
endif

# What the demo and the closing check of `make test` run. Small enough for two cores.
DEMO := --authorities 4 --shards 2 --rate 5000 --duration 10s --cross-shard 0.2 --out $(TARGET_DIR)/demo
CHECK := --authorities 4 --shards 2 --rate 1000 --duration 5s --cross-shard 0.2 --out $(TARGET_DIR)/check

# Steps run one after the other, also under `make -j`: they share the build and the machine's cores.
.NOTPARALLEL:
.PHONY: help demo test model build libclang format-check clippy deny unit-tests doc-tests bench-check model-engine

help:
	@echo 'make demo    build, then run a local cluster of 4 authorities and 2 shards under load and audit it'
	@echo 'make test    everything CI checks: format, lints, dependencies, tests, doc tests, a short bench'
	@echo 'make model   check the TLA+ model of the commit rule `fast` with TLC (Java; about 4 minutes)'
	@echo 'make model-engine   check the threads of the execution engine with loom and shuttle (about 4 minutes)'
	@echo 'make build   only build the `fresnel` binary ($(FRESNEL))'
	@echo 'make help    this list'

demo: build
	$(FRESNEL) bench $(DEMO)
	@echo 'Not yet: epoch changes, recovery of an authority that lost its log beyond what its peers retain.'

test: format-check clippy deny doc-tests unit-tests bench-check
	@echo 'make test: all passed'

# Not part of `make test`: it needs Java, and the rule changes rarely.
model:
	beacon/model/check

# RocksDB is compiled from source, once, which takes a while: eight minutes on two cores.
libclang:
	@.ci/libclang

build: libclang
	$(CARGO) build --release --locked --package fresnel-cli

format-check:
	$(CARGO) fmt --all --check

clippy: libclang
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings

# Advisories need a database from the network, so the gate covers what can be judged here.
deny:
	@if $(CARGO) deny --version >/dev/null 2>&1; \
	then $(CARGO) deny check licenses bans sources; \
	else echo 'SKIPPED: cargo-deny is not installed, licences and sources of dependencies were not checked'; fi

# The test binaries stay the same whichever runner starts them.
unit-tests: libclang
	@if $(CARGO) nextest --version >/dev/null 2>&1; \
	then $(CARGO) nextest run --release --locked --workspace --cargo-quiet; \
	else echo 'FALLBACK: cargo-nextest is not installed, using cargo test'; \
	$(CARGO) test --release --locked --workspace --bins --lib --tests; fi

doc-tests: libclang
	$(CARGO) test --release --locked --workspace --doc --quiet

bench-check: build
	$(FRESNEL) bench $(CHECK)

# The executor's engine under two model checkers, which decide how its threads interleave.
model-engine:
	$(CARGO) test --release --locked --package fresnel-executor --features loom --lib with_loom
	$(CARGO) test --release --locked --package fresnel-executor --features shuttle --lib with_shuttle
