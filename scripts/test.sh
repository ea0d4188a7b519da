#!/usr/bin/env bash
# What continuous integration checks, cheap things first. With --lint, stops before the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }

step cargo fmt --all --check
step cargo xtask tidy
step cargo clippy --quiet --workspace --all-targets -- -D warnings
if cargo deny --version >/dev/null 2>&1; then
  step cargo deny --log-level warn check bans licenses sources
else
  printf '\n== cargo deny: not installed, skipped (cargo install --locked cargo-deny)\n'
fi
if [ "${1-}" = --lint ]; then exit 0; fi

# The machine tests drive the executable, so it is built first.
step cargo build --quiet --workspace --bins
if cargo nextest --version >/dev/null 2>&1; then
  step cargo nextest run --workspace
else
  step cargo test --quiet --workspace --exclude e2e
  step cargo test --quiet --package e2e -- --test-threads 1
fi
