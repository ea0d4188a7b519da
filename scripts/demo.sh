#!/usr/bin/env bash
# From a fresh clone to a web server: builds goldsmith, forges examples/web-server.json into a VHD
# and a qcow2, boots the qcow2, and fetches the page from it. The second time takes a moment.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly TEMPLATE=examples/web-server.json
readonly OUT=target/demo
readonly GOLDSMITH=target/debug/goldsmith
# A guest under software emulation takes a minute or two to serve its first page.
readonly DEADLINE_SECONDS=420

boot_pid=""
curl_pid=""

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

# Ends the booted image, whatever ended this script.
cleanup() {
  local status=$?
  trap - EXIT
  if [ -n "$curl_pid" ]; then kill "$curl_pid" 2>/dev/null || true; fi
  if [ -n "$boot_pid" ]; then
    kill -INT "$boot_pid" 2>/dev/null || true
    wait "$boot_pid" 2>/dev/null || true
  fi
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The first TCP port from 18080 on that nobody listens on.
free_port() {
  local port
  for port in $(seq 18080 18180); do
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      printf '%s\n' "$port"
      return
    fi
  done
  printf 'demo: no free port between 18080 and 18180\n' >&2
  return 1
}

# fetch URL FILE: until it answers, the machine ends, or the deadline passes.
fetch() {
  local url=$1 file=$2 failed=0
  curl --silent --show-error --fail --retry 100000 --retry-delay 1 --retry-all-errors \
    --retry-max-time "$DEADLINE_SECONDS" --connect-timeout 5 --max-time 15 \
    --output "$file" "$url" 2>"$OUT/curl.log" &
  curl_pid=$!
  # Whichever ends first. The machine should not.
  wait -n "$curl_pid" "$boot_pid" || failed=1
  if ! kill -0 "$boot_pid" 2>/dev/null; then
    boot_pid=""
    printf 'demo: the machine ended before it served a page:\n' >&2
    tail -n 20 "$OUT/boot.log" >&2
    return 1
  fi
  curl_pid=""
  if [ "$failed" = 1 ]; then
    printf 'demo: no page from %s within %s s:\n' "$url" "$DEADLINE_SECONDS" >&2
    tail -n 3 "$OUT/curl.log" >&2
    tail -n 20 "$OUT/boot.log" >&2
    return 1
  fi
}

# Boots the qcow2 and fetches its page.
serve() {
  local port started=$SECONDS
  port=$(free_port)
  say "booting $OUT/web-server.qcow2, its port 80 as http://127.0.0.1:$port/"
  rm -f "$OUT/page.html"
  # A process group of its own (set -m), so that Ctrl-C reaches this script first.
  set -m
  "$GOLDSMITH" image boot "$OUT/web-server.qcow2" --publish "127.0.0.1:$port:80" \
    >"$OUT/boot.log" 2>&1 &
  boot_pid=$!
  set +m
  fetch "http://127.0.0.1:$port/" "$OUT/page.html"
  printf 'answered after %s s: %s\n' "$((SECONDS - started))" \
    "$(sed -n 's/.*<title>\(.*\)<\/title>.*/\1/p' "$OUT/page.html")"
  sed -n 's/^ *<li>\(.*\)<\/li>$/  \1/p' "$OUT/page.html"
  kill -INT "$boot_pid"
  wait "$boot_pid" || true
  boot_pid=""
}

say "goldsmith itself"
cargo build --locked --bin goldsmith
mkdir -p "$OUT"

say "what this host can do"
"$GOLDSMITH" doctor

say "goldsmith build $TEMPLATE"
"$GOLDSMITH" build "$TEMPLATE" \
  --export "vhd=$OUT/web-server.vhd" --export "qcow2=$OUT/web-server.qcow2" --force

# An image that has served its page need not prove it again. `BOOT=always make demo` does.
sha256=$(sha256sum <"$OUT/web-server.qcow2" | cut -d' ' -f1)
if [ "${BOOT-}" != always ] && [ "$(cat "$OUT/served" 2>/dev/null)" = "$sha256" ]; then
  say "not booted again: this very qcow2 served its page before (BOOT=always make demo boots it)"
else
  rm -f "$OUT/served"
  serve
  printf '%s\n' "$sha256" >"$OUT/served"
fi

say "yours"
ls -sh "$OUT/web-server.vhd" "$OUT/web-server.qcow2"
printf 'boot it again: %s image boot %s --publish 127.0.0.1:8080:80\n' "$GOLDSMITH" "$OUT/web-server.qcow2"
