#!/usr/bin/env bash
# Installs what goldsmith needs to build and to run on Debian 12 or 13, and only what is missing.
# Says each package and why. Asks for nothing; run it as root or as a user with sudo. Running it
# again is a no-op that takes a moment.
#
#   scripts/setup.sh           what `make demo` needs
#   scripts/setup.sh --test    also cargo-deny, built once for your user: it checks licenses and dependencies; and what
#                              machines with Windows need
#   scripts/setup.sh --bench   also Packer, to measure against
#   scripts/setup.sh --clients also what the clients' tests install themselves with: Python's virtual environments, npm
set -euo pipefail

# RAM snapshots in a seekable file (migration capability mapped-ram) came with this release.
readonly QEMU_MAJOR=9
readonly DENY=0.20.2
readonly BACKPORTS=/etc/apt/sources.list.d/goldsmith-backports.sources

# package|why
wanted=(
  "qemu-system-x86|runs the build machines"
  "qemu-utils|qemu-img makes, checks and converts disks (same release as QEMU, so together)"
  "ovmf|UEFI firmware of the build machines"
  "mmdebstrap|bootstraps the Debian source image from signed packages"
  "debian-archive-keyring|the keys those packages are signed with"
  "systemd-boot-efi|boot loader of the bootstrapped image"
  "e2fsprogs|makes the root file system of the bootstrapped image"
  "dosfstools|makes the EFI partition and the seed disk"
  "mtools|fills them without mounting anything"
  "fdisk|sfdisk writes the partition table"
  "openssh-client|ssh and ssh-keygen, for goldsmith shell and the bench"
  "iproute2|ip puts build machines on a bridge"
  "dnsmasq-base|gives addresses to machines on a bridge, in the tests"
  "postgresql|the tests of what goldsmith stores run on it too"
  "curl|fetches the page in the demo"
  "ca-certificates|trust anchors for https"
)

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi
}

usage() { sed -n '2,10s/^# \{0,1\}//p' "$0"; }

# Prints the lines of `wanted` whose package is not installed.
missing_packages() {
  local installed line
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${wanted[@]%%|*}" 2>/dev/null || true)
  for line in "${wanted[@]}"; do
    grep -qxF "installed ${line%%|*}" <<<"$installed" || printf '%s\n' "$line"
  done
}

# The installed QEMU's major version, 0 when there is none.
qemu_major() {
  local version
  version=$(dpkg-query -W -f='${Version}' qemu-system-x86 2>/dev/null || true)
  version=${version#*:}
  version=${version%%[!0-9]*}
  printf '%s\n' "${version:-0}"
}

add_backports() {
  local lists=(/etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources)
  if grep -qsE '^[^#]*\bbookworm-backports\b' "${lists[@]}"; then return; fi
  say "adding the suite bookworm-backports ($BACKPORTS): Debian 12's own QEMU is 7.2"
  as_root tee "$BACKPORTS" >/dev/null <<'SOURCES'
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
}

# Lists of other people's repositories may be out of reach; what counts is whether the packages
# can be installed afterwards.
update_lists() {
  say "reading the package lists"
  if ! as_root apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=1 \
    -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 update; then
    say "some package lists could not be read (see above); going on with the others"
  fi
}

# install [-t SUITE] PACKAGE...: quiet unless it fails.
install() {
  local log
  log=$(mktemp)
  say "installing $* (apt-get's own words: $log)"
  if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Use-Pty=0 install --no-install-recommends "$@" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    die "apt-get could not install these packages; all it said is in $log"
  fi
  rm -f "$log"
}

install_missing() {
  local missing line plain=() qemu=()
  mapfile -t missing < <(missing_packages)
  if [ "$(qemu_major)" -lt "$QEMU_MAJOR" ]; then
    qemu=(qemu-system-x86 qemu-utils)
  fi
  for line in "${missing[@]}"; do
    case ${line%%|*} in
    qemu-*) qemu=(qemu-system-x86 qemu-utils) ;;
    *) plain+=("${line%%|*}") ;;
    esac
  done
  if [ ${#plain[@]} = 0 ] && [ ${#qemu[@]} = 0 ]; then return; fi

  supported_release
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
    die "run this as root: packages are missing and there is no sudo"
  for line in "${missing[@]}"; do say "will install ${line%%|*}: ${line#*|}"; done
  if [ "$(qemu_major)" != 0 ] && [ "$(qemu_major)" -lt "$QEMU_MAJOR" ]; then
    say "will replace QEMU $(qemu_major) by release $QEMU_MAJOR or later: RAM snapshots need it"
  fi
  if [[ " ${plain[*]-} " == *" packer "* ]] && [ "$codename" != bookworm ]; then
    die "Packer is a package of Debian 12 only; put one on the PATH some other way to run the bench"
  fi
  if [ "$codename" = bookworm ] && [ ${#qemu[@]} != 0 ]; then add_backports; fi
  update_lists
  if [ ${#qemu[@]} != 0 ]; then
    # Never one without the other: they depend on the same shared files, and apt would remove
    # the one that stays behind.
    if [ "$codename" = bookworm ]; then
      install -t bookworm-backports "${qemu[@]}"
    else
      install "${qemu[@]}"
    fi
  fi
  if [ ${#plain[@]} != 0 ]; then install "${plain[@]}"; fi
}

# Sets `codename`, or says what to do on a system this script does not know.
supported_release() {
  local ID="" VERSION_CODENAME=""
  # shellcheck source=/dev/null
  [ -r /etc/os-release ] && . /etc/os-release
  case "$ID $VERSION_CODENAME" in
  "debian bookworm" | "debian trixie") codename=$VERSION_CODENAME ;;
  *)
    say "this script knows Debian 12 and 13; this is '${ID:-unknown} ${VERSION_CODENAME:-}'. Please install:"
    missing_packages | sed 's/^/  /; s/|/: /'
    die "and QEMU $QEMU_MAJOR or later"
    ;;
  esac
}

check_rust() {
  local cargo version want
  export PATH="$HOME/.cargo/bin:$PATH"
  want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  if ! cargo=$(command -v cargo); then
    die "Rust is missing. Install it for your user with
  curl --proto =https --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c clippy,rustfmt
and run this again."
  fi
  version=$("$cargo" --version | cut -d' ' -f2)
  if [ "$(printf '%s\n' "$want" "${version%%-*}" | sort -V | head -n1)" != "$want" ]; then
    die "Rust $version is too old, $want is needed: rustup update stable"
  fi
}

# The tests go without it where it cannot be had, and say so.
install_deny() {
  local log
  if cargo deny --version 2>/dev/null | grep -qF " $DENY"; then return; fi
  log=$(mktemp)
  say "building cargo-deny $DENY, once, for about three minutes (cargo's own words: $log)"
  if cargo install --locked --quiet --version "$DENY" cargo-deny >"$log" 2>&1; then
    rm -f "$log"
  else
    tail -n 3 "$log" >&2
    say "cargo-deny could not be built; the tests will skip what it checks"
  fi
}

# Not errors: goldsmith works without, only slower or less well.
give_hints() {
  [ "$(id -u)" = 0 ] && return
  if [ -e /dev/kvm ] && ! [ -w /dev/kvm ]; then
    say "hint: /dev/kvm is not yours to use; builds will be slow. sudo usermod -aG kvm $(id -un), then log in again"
  fi
  if ! grep -q "^$(id -un):" /etc/subuid 2>/dev/null; then
    say "hint: no subordinate ids for $(id -un), which the bootstrap needs without root: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
  fi
}

main() {
  local codename="" bench=false clients=false test=false
  case "${1-}" in
  "") ;;
  --test) test=true ;;
  --bench) bench=true ;;
  --clients) clients=true ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; exit 2 ;;
  esac
  cd "$(dirname "$0")/.."
  command -v cc >/dev/null || wanted+=("build-essential|the linker and C library that Rust programs are linked with")
  [ "$(id -u)" = 0 ] || wanted+=("uidmap|lets mmdebstrap work without root")
  if $bench && ! command -v packer >/dev/null; then wanted+=("packer|what make bench measures against"); fi
  if { $test || $clients; } && ! python3 -c "import ensurepip, venv" 2>/dev/null; then
    wanted+=("python3-venv|virtual environments for clients of Azure and of Windows")
  fi
  if $test || $clients; then
    wanted+=("xorriso|makes the CD that tells a build machine with Windows what it is for")
  fi
  if $test; then
    wanted+=(
      "swtpm|the virtual TPM of build machines that ask for one"
      "wine64|its cmd.exe tries what goldsmith sends to guests with Windows"
    )
  fi
  if $clients && ! command -v npm >/dev/null; then wanted+=("npm|installs Azurite, which stands for Azure's blob storage"); fi
  command -v dpkg-query >/dev/null || supported_release
  install_missing
  check_rust
  if $test; then install_deny; fi
  give_hints
}

main "$@"
