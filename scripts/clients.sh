#!/usr/bin/env bash
# Azure's own clients against a real `goldsmith serve`: the az command line, the Python SDKs, plain HTTP.
# Both virtual environments, and Azurite, are kept under the cache folder and made again when what is listed changes.
#
#   scripts/clients.sh             all of them
#   scripts/clients.sh PART [pytest's options]   one of the parts below
set -euo pipefail
cd "$(dirname "$0")/.."

readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/goldsmith-e2e
# Each is tests/clients/test_PART.py.
readonly parts=(
  protocol template_rules invalid_templates sources distribute replication regions object_stores staging patch_delete validation
  optimize windows runs triggers tokens owners limits private trust sdk powershell deployments fuzz faults cache full_disk
)
# Those that need az.
readonly az_parts=(az roles activity logins)
readonly azurite_version=3.35.0
export PYTHONDONTWRITEBYTECODE=1

say() { printf 'clients: %s\n' "$*"; }

# environment NAME: prints the folder of the virtual environment for requirements-NAME.txt.
environment() {
  scripts/environment.sh "clients-$1" "tests/clients/requirements-$1.txt"
}

# azurite: prints the executable of Azurite, Microsoft's emulator of Azure's blob storage; npm has it.
azurite() {
  local folder=$cache/azurite-$azurite_version
  if [ ! -e "$folder/ready" ]; then
    say "installing azurite@$azurite_version into $folder (once)" >&2
    npm install --silent --no-audit --no-fund --prefix "$folder" "azurite@$azurite_version" >&2
    touch "$folder/ready"
  fi
  printf '%s\n' "$folder/node_modules/.bin/azurite-blob"
}

# part NAME ENVIRONMENT [pytest's options]
part() {
  local name=$1 venv=$2
  shift 2
  say "$name"
  (cd tests/clients && "$venv/bin/python" -m pytest -q -p no:cacheprovider "test_$name.py" "$@")
}

# A file that belongs to no part would never run.
check_parts() {
  local file name
  for file in tests/clients/test_*.py; do
    name=$(basename "$file" .py)
    name=${name#test_}
    [[ " ${parts[*]} ${az_parts[*]} " == *" $name "* ]] || { say "$file is not in the list of parts" >&2; exit 1; }
  done
}

main() {
  local only=${1-}
  [ $# = 0 ] || shift
  check_parts
  cargo build --locked --quiet --bin goldsmith
  GOLDSMITH=$PWD/${CARGO_TARGET_DIR:-target}/debug/goldsmith
  export GOLDSMITH
  local az="" name sdk
  sdk=$(environment sdk)
  for name in "${parts[@]}"; do
    if [ -n "$only" ] && [ "$only" != "$name" ]; then continue; fi
    if [ "$name" = object_stores ]; then
      AZURITE=$(azurite)
      export AZURITE
    fi
    part "$name" "$sdk" "$@"
  done
  for name in "${az_parts[@]}"; do
    if [ -n "$only" ] && [ "$only" != "$name" ]; then continue; fi
    az=$(environment az)
    AZ=$az/bin/az part "$name" "$az" "$@"
  done
}

main "$@"
