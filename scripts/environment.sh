#!/usr/bin/env bash
# Prints the folder of a Python virtual environment for a list of packages. It is kept under the cache folder, and made
# again when the list changes.
#
#   scripts/environment.sh NAME LIST
set -euo pipefail

readonly name=$1 list=$2
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/goldsmith-e2e
folder="$cache/$name-$(sha256sum "$list" | cut -c1-12)"
readonly folder

if [ ! -e "$folder/ready" ]; then
  mkdir -p "$cache"
  exec {lock}>"$folder.lock"
  flock --timeout 600 "$lock"
  # Another process may have made it meanwhile.
  if [ ! -e "$folder/ready" ]; then
    printf 'environment: installing %s into %s (once)\n' "$list" "$folder" >&2
    python3 -m venv --clear "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check -r "$list" >&2
    touch "$folder/ready"
  fi
fi
printf '%s\n' "$folder"
