#!/usr/bin/env bash
# Repeats the random tests of crates/arm-expression and crates/arm-template with new random inputs until
# the time is up, or until one fails. A failure prints its smallest input, which becomes a test beside the fix.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-600}
rounds=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
crates=(-p arm-expression -p arm-template)
cargo test --quiet --locked --profile fuzz "${crates[@]}" --lib --test it --no-run
end=$((SECONDS + seconds))
while ((SECONDS < end)); do
    # One round takes a minute or so.
    if ! PROPTEST_CASES=200000 cargo test --quiet --locked --profile fuzz "${crates[@]}" --lib --test it -- fuzz:: >"$log" 2>&1; then
        cat "$log"
        exit 1
    fi
    rounds=$((rounds + 1))
done
echo "fuzz-template: $rounds rounds in $seconds seconds, nothing found"
