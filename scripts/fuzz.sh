#!/usr/bin/env bash
# Repeats the random tests of some crates with new random inputs until the time is up, or until one fails. A failure
# prints its smallest input, which becomes a test beside the fix.
#
#   scripts/fuzz.sh template|winrm|authorization [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."

readonly subject=${1-} seconds=${2:-600}
# One round takes a minute or so.
cases=200000
case $subject in
template) tests=(-p arm-expression -p arm-template --lib --test it) ;;
winrm) tests=(-p winrm --lib) ;;
authorization) tests=(-p authorization --lib) cases=30000 ;;
*)
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac
readonly tests cases
rounds=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo test --quiet --locked --profile fuzz "${tests[@]}" --no-run
end=$((SECONDS + seconds))
while ((SECONDS < end)); do
    if ! PROPTEST_CASES=$cases cargo test --quiet --locked --profile fuzz "${tests[@]}" -- fuzz:: >"$log" 2>&1; then
        cat "$log"
        exit 1
    fi
    rounds=$((rounds + 1))
done
echo "fuzz-$subject: $rounds rounds in $seconds seconds, nothing found"
