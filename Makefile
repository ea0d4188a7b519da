# Thin lines: what a target does is in scripts/ or in crates/xtask.
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install what is missing on this machine (Debian 12 or 13), and say what
	@scripts/setup.sh

.PHONY: demo
demo: setup ## forge examples/web-server.json, boot the result, fetch its page
	@scripts/demo.sh

.PHONY: test
test: ## everything continuous integration checks, real machines included
	@scripts/setup.sh --test
	@scripts/test.sh

.PHONY: test-clients
test-clients: ## az, the Azure SDKs and plain HTTP against a real goldsmith serve
	@scripts/setup.sh --clients
	@scripts/clients.sh

.PHONY: test-quickstarts
test-quickstarts: setup ## templates in the form of Azure's quick starts, on real machines (about ten minutes)
	@scripts/test.sh --quickstarts

.PHONY: test-floods
test-floods: setup ## ten minutes of a guest that writes without end, in the service; prints its memory
	@scripts/test.sh --floods

.PHONY: test-ram
test-ram: setup ## 200 times: seal a busy guest, kill it, load its RAM and compare (about half an hour)
	@scripts/test.sh --ram

.PHONY: test-windows
test-windows: ## templates for Windows on a guest that plays it, with the faults that take long to see (about ten minutes)
	@scripts/setup.sh --test
	@scripts/test.sh --windows

.PHONY: fuzz-template
fuzz-template: ## random templates, expressions and arguments for ten minutes, or for SECONDS=N
	@scripts/fuzz.sh template $(or $(SECONDS),600)

.PHONY: fuzz-winrm
fuzz-winrm: ## random answers of Windows and output of PowerShell for ten minutes, or for SECONDS=N
	@scripts/fuzz.sh winrm $(or $(SECONDS),600)

.PHONY: fuzz-authorization
fuzz-authorization: ## random scopes, patterns, roles, conditions and locks for ten minutes, or for SECONDS=N
	@scripts/fuzz.sh authorization $(or $(SECONDS),600)

.PHONY: bench
bench: ## measure against Packer; writes target/bench/build.json
	@scripts/setup.sh --bench
	cargo build --locked --quiet --release --bin goldsmith
	cargo xtask bench

.PHONY: bench-template
bench-template: setup ## measure what parts of a template cost; writes target/bench/template.json
	cargo build --locked --quiet --release --bin goldsmith
	cargo xtask bench-template

.PHONY: bench-replication
bench-replication: ## measure copying to regions; writes target/bench/replication.json
	cargo build --locked --quiet --release --bin goldsmith
	cargo xtask bench-replication

.PHONY: bench-vhd
bench-vhd: ## measure that a fixed VHD costs by its content; writes target/bench/vhd.json
	cargo build --quiet --release --bin goldsmith
	cargo xtask bench-vhd

.PHONY: bench-deployments
bench-deployments: ## measure that a large deployment template is evaluated fast; writes target/bench/deployments.json
	cargo build --locked --quiet --release --bin xtask
	cargo xtask bench-deployments evaluate

.PHONY: bench-authorization
bench-authorization: ## measure decisions with 10,000 role assignments; writes target/bench/authorization.json
	cargo run --locked --quiet --release --bin xtask -- bench-authorization

.PHONY: bench-winrm
bench-winrm: ## measure uploads to a stand-in for Windows, and their memory
	cargo test --locked --quiet --release --package winrm --test it -- --ignored --nocapture upload::

.PHONY: load
load: setup ## measure the service under load; writes target/bench/api.json
	cargo build --locked --quiet --release --bin goldsmith --bin goldsmith-load
	target/release/goldsmith-load

.PHONY: build
build: ## target/release/goldsmith
	cargo build --locked --release --bin goldsmith

.PHONY: dist
dist: ## target/dist/goldsmith, optimized when it is linked, which takes much longer
	cargo build --locked --profile dist --bin goldsmith

.PHONY: fmt
fmt: ## format the sources
	cargo fmt --all

.PHONY: lint
lint: ## format, repository rules and clippy, without tests
	@scripts/test.sh --lint

.PHONY: clean-cache
clean-cache: ## drop every cached node and source of the current user
	cargo run --quiet --bin goldsmith -- cache prune --all
