#!/usr/bin/env bash
# Prints the folder of conversations with WinRM services of real Windows systems. They were recorded by the authors of
# pypsrp (MIT licence), come with its source package on PyPI, and are kept under the cache folder.
set -euo pipefail

readonly url=https://files.pythonhosted.org/packages/e8/bb/e64c311746a4e6d0a5baea4da826a9d06ea997eed50d3209041722a99dc3/pypsrp-0.9.1.tar.gz
readonly sha256=3ad41285739d5f8107dd8277ae00e86ee44153aae5e82fb578ac8048307e0d12
readonly inside=pypsrp-0.9.1/tests/tests_pypsrp/responses
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/goldsmith-e2e
readonly folder=$cache/pypsrp-0.9.1

if [ ! -e "$folder" ]; then
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/recordings.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  printf 'recordings: fetching %s (once)\n' "${url##*/}" >&2
  curl --fail --silent --show-error --location --max-time 300 --retry 2 --output "$work/package" "$url"
  printf '%s  %s\n' "$sha256" "$work/package" | sha256sum --check --quiet >&2
  tar -xzf "$work/package" -C "$work" "$inside"
  # Another process may have made it meanwhile; then the move fails, and its folder is as good.
  mv --no-target-directory "$work/$inside" "$folder" 2>/dev/null || [ -e "$folder" ]
fi
printf '%s\n' "$folder"
