#!/bin/bash
# Installs what the lab needs on this machine and is not there yet.
set -euo pipefail

[ "$(id -u)" = 0 ] || { echo "the lab makes a network namespace and a root file system: run it as root" >&2; exit 1; }
[ "$(dpkg --print-architecture)" = amd64 ] || { echo "the lab's machine is amd64; so must this one be" >&2; exit 1; }
. /etc/os-release
[ "${VERSION_CODENAME:-}" = bookworm ] || { echo "the agent is built here and runs in a Debian 12 machine: build on Debian 12" >&2; exit 1; }

packages=(
  # the machine
  qemu-system-x86 mmdebstrap busybox-static cpio kmod e2fsprogs openssh-client iproute2
  # the browser
  chromium chromium-driver
  # the agent
  build-essential pkg-config libclang-dev libasound2-dev libudev-dev
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
)

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
missing=()
for package in "${packages[@]}"; do
  installed "$package" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

apt-get update -q
# qemu-utils from backports and qemu-system from stable exclude each other.
candidate() { apt-cache policy "$1" | awk '/Candidate:/ { print $2 }'; }
if [[ " ${missing[*]} " == *" qemu-system-x86 "* ]] && installed qemu-utils &&
  [ "$(dpkg-query -W -f '${Version}' qemu-utils)" != "$(candidate qemu-system-x86)" ]; then
  missing+=(--allow-downgrades "qemu-utils=$(candidate qemu-system-x86)")
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
