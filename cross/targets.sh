# shellcheck shell=bash
# What the scripts of this folder share: the targets, and this machine's
# sources of Debian packages. To be sourced from the project's root.

CROSS=$PWD/target/cross
# What boards run today; the binary also runs on later ones.
RELEASE=bookworm
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf '[cross %3d s] %s\n' "$SECONDS" "$*" >&2; }
die() { say "$*"; exit 1; }

# target TRIPLE: sets ARCH, Debian's name of it, and GNU, its C compiler's.
target() {
  case $1 in
    aarch64-unknown-linux-gnu) ARCH=arm64 GNU=aarch64-linux-gnu ;;
    armv7-unknown-linux-gnueabihf) ARCH=armhf GNU=arm-linux-gnueabihf ;;
    x86_64-unknown-linux-gnu) ARCH=amd64 GNU=x86_64-linux-gnu ;;
    *) die "\"$1\" is no target; there are aarch64-unknown-linux-gnu, armv7-unknown-linux-gnueabihf and x86_64-unknown-linux-gnu" ;;
  esac
}

# sources: this machine's own Debian archives, as apt understood them.
sources() {
  # shellcheck disable=SC2016 # apt's own placeholders
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' 'Origin: Debian' |
    grep -E " $RELEASE(-updates|-security)? main\$" | sort -u
}

# need_sources: a fresh machine knows none before its first update.
need_sources() {
  sources >/dev/null || as_root apt-get update -q
  sources >/dev/null || die "apt knows no archive of Debian $RELEASE here: build on such a machine, or with cross (see cross/Cross.toml)"
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# need PACKAGE…: installs those that are missing on this machine.
need() {
  local package missing=()
  for package; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

# made FOLDER KEY: the folder is there, and was made of the same.
made() { [ "$(cat "$1.made-of" 2>/dev/null)" = "$2" ] && [ -d "$1" ]; }
