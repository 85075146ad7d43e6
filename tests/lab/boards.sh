#!/bin/bash
# What the tests of boards' devices need beside the image, in target/lab/boards:
# the modules that Debian's kernel package lacks, built for the image's kernel
# (v4l2loopback of v4l2loopback-dkms, vimc of linux-source-6.1), and libcamera
# with its plug-in, to be installed in the machine. All from the Debian archives.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/lab/lab.sh
. tests/lab/lab.sh

BOARDS=$LAB/boards
LOG=$LAB/logs/boards.log
# With what they depend on that the image has not.
LIBCAMERA=(gstreamer1.0-libcamera libcamera-ipa libcamera0.0.3
  liblttng-ust1 liblttng-ust-common1 liblttng-ust-ctl5 libyaml-0-2 libnuma1)

main() {
  local version key started=$SECONDS
  version=$(cat "$LAB/image/kernel-version")
  key=$(cat tests/lab/boards.sh - <<<"$version" | sha256sum)
  if [ "$(cat "$BOARDS/made-of" 2>/dev/null)" = "$key" ]; then
    say "boards: as they were"
    return
  fi
  say "boards: building"
  rm -rf "$BOARDS"
  mkdir -p "$BOARDS"/{packages,modules,build}
  {
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "linux-headers-$version" xz-utils
    get "$BOARDS/packages" "${LIBCAMERA[@]}"
    get "$BOARDS/build" v4l2loopback-dkms linux-source-6.1
    unpack
    build "$version" "$BOARDS"/build/usr/src/v4l2loopback-*
    build "$version" "$BOARDS/build/vimc" CONFIG_VIDEO_VIMC=m
  } >"$LOG" 2>&1 || { tail -n 20 "$LOG" >&2; die "nothing for boards"; }
  rm -rf "$BOARDS/build"
  echo "$key" >"$BOARDS/made-of"
  say "boards: built in $((SECONDS - started)) s"
}

# get FOLDER PACKAGE…: downloads them there.
get() {
  local folder=$1
  shift
  (cd "$folder" && apt-get -q -o APT::Sandbox::User=root download "$@")
}

# Of the kernel's source only the one driver.
unpack() {
  local package
  for package in "$BOARDS"/build/*.deb; do
    dpkg-deb -x "$package" "$BOARDS/build"
  done
  tar -C "$BOARDS/build" -xJf "$BOARDS/build/usr/src/linux-source-6.1.tar.xz" --strip-components=4 \
    --wildcards '*/drivers/media/test-drivers/vimc/*'
}

# build KERNEL FOLDER [MAKE'S…]
build() {
  local version=$1 folder=$2
  shift 2
  make -C "/usr/src/linux-headers-$version" M="$folder" "$@" modules
  cp "$folder"/*.ko "$BOARDS/modules/"
}

main
