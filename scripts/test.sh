#!/usr/bin/env bash
# What continuous integration checks, cheap things first. With --lint, stops before the tests; with
# --quickstarts, runs the templates in the form of Azure's quick starts and nothing else; with --floods,
# a guest that writes without end for ten minutes; with --ram, 200 cycles of saving and loading RAM; with
# --windows, everything about machines with Windows.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; "$@"; }

case "${1-}" in
--quickstarts | --floods | --ram | --windows)
  part=${1#--}
  if [ "$part" = ram ]; then part=ram_cycles; fi
  step cargo build --locked --quiet --workspace --bins
  if cargo nextest --version >/dev/null 2>&1; then
    step cargo nextest run --workspace --profile "$part"
  else
    step cargo test --quiet --package e2e -- --nocapture --test-threads 1 "$part"
  fi
  exit 0
  ;;
esac

step cargo fmt --all --check
step cargo xtask tidy
step cargo clippy --locked --quiet --workspace --all-targets -- -D warnings
if cargo deny --version >/dev/null 2>&1; then
  step cargo deny --locked --log-level warn check bans licenses sources
  printf '\n== cargo deny check advisories\n'
  # The database comes from github; where that cannot be reached, the rest is worth checking all the same.
  if cargo deny --log-level error fetch db >/dev/null 2>&1; then
    cargo deny --locked --log-level warn check --disable-fetch advisories
  else
    printf '!! SKIPPED: the advisory database cannot be fetched, so nobody has looked for known vulnerabilities\n'
  fi
else
  printf '\n== cargo deny: not installed, skipped (scripts/setup.sh --test builds it)\n'
fi
if [ "${1-}" = --lint ]; then exit 0; fi

# The tests of WinRM rely on it: the stand-in for Windows, judged by other people's clients.
reference_clients() {
  local environment
  environment=$(scripts/environment.sh winrm tests/winrm/requirements.txt)
  (cd tests/winrm && PYTHONDONTWRITEBYTECODE=1 "$environment/bin/python" -m pytest -q -p no:cacheprovider)
}
step reference_clients
# What was recorded with real Windows systems, for the tests of WinRM.
step scripts/recordings.sh

# The machine tests drive the executable, so it is built first.
step cargo build --locked --quiet --workspace --bins
if cargo nextest --version >/dev/null 2>&1; then
  step cargo nextest run --workspace
  # nextest runs no examples of documentation. Some of these must not compile.
  step cargo test --locked --quiet --doc --package arm --package authorization
else
  step cargo test --quiet --workspace --exclude e2e
  step cargo test --quiet --package e2e -- --test-threads 1 --skip quickstarts:: --skip floods:: --skip ram_cycles:: --skip windows_faults::
fi
