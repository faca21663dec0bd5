# make help says what there is. Everything is a script in scripts/, readable and usable on its own.

SHELL := bash
export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin
.DEFAULT_GOAL := help
.PHONY: help run build install uninstall needs test check chaos bench fuzz lint doc sbom clean

help: ## Says what there is
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile | expand -t 16

run: ## Installs what is missing, builds, and runs the manager with a broker, on SQLite under ./data
	@scripts/rust.sh
	@scripts/needs.sh run
	@$(MAKE) --no-print-directory build
	@exec scripts/run.sh

build: ## Builds the programs in release
	@cargo build --release --locked

install: build ## Installs the program and its systemd unit, in PREFIX (/usr/local), below DESTDIR
	@scripts/install.sh

uninstall: ## Removes them again; settings and data stay
	@scripts/install.sh uninstall

needs: ## Says what is missing on this machine for running and testing
	@scripts/needs.sh --list test && echo "nothing is missing"

test: ## Installs what the tests need, and runs everything that must pass
	@scripts/rust.sh
	@scripts/needs.sh test
	@scripts/python.sh
	@scripts/check.sh --install

check: ## The same without installing anything
	@scripts/check.sh

chaos: ## Kills, freezes and cuts off everybody for minutes, and looks for what was lost
	@scripts/rust.sh
	@scripts/needs.sh test
	@scripts/chaos.sh

bench: ## Measures the manager beside an echo of the same messages, for half an hour; CASES="update set" for some of it
	@scripts/rust.sh
	@scripts/needs.sh test
	@cargo bench --locked --bench load -- $(CASES)

lint: ## Formatting and lints only
	@cargo fmt --check
	@cargo clippy --locked --all-targets -- -D warnings
	@cargo clippy --locked --no-default-features --lib -- -D warnings

doc: ## The library's documentation
	@RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps

fuzz: ## Makes up topics, payloads and queries, FUZZ_SECONDS (600) for each target; needs cargo-fuzz
	@scripts/fuzz.sh

sbom: ## Writes what the programs are made of to target/sbom.cdx.json; needs cargo-cyclonedx
	@scripts/sbom.sh

clean: ## Removes what was built; data stay
	@cargo clean
