#!/bin/bash
# The package on a fresh Debian with a real camera (vivid), a sound card
# (snd-aloop) and an LED (the keyboard's): installed, configured, called,
# broken, upgraded, purged; and alone, with its own chat server. The assertions
# are in tests/machines/vm_service.rs and vm_alone.rs.
#
#   tests/lab/service.sh [FILTER…]    all of it, or the tests with such names
#   DEB=PATH tests/lab/service.sh     with that package instead of making one
#
# As run.sh: as root, on Debian 12, amd64; everything made is under target/lab.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/lab/lab.sh
. tests/lab/lab.sh

mkdir -p "$LAB/logs"
exec 9>"$LAB/lock"
flock -n 9 || die "another run uses $LAB"

tests/lab/packages.sh
DEB=${DEB:-}
if [ -z "$DEB" ]; then
  say "making the package"
  make deb
  DEB=$(echo target/debian/camera-agent_*.deb)
fi
say "building the test"
# Cargo says where it is in brackets.
TEST=$(cargo test --test machines --no-run 2>&1 | tee -a /dev/stderr | sed -n 's/.*Executable.*(\(.*\))$/\1/p')
[ -x "$TEST" ] || die "no test was built"
tests/lab/image.sh

# The same once more, under a number that dpkg takes for a newer one.
newer() {
  local tree
  tree=$(mktemp -d)
  dpkg-deb -R "$1" "$tree/package"
  sed -i 's/^Version: .*/&+newer/' "$tree/package/DEBIAN/control"
  dpkg-deb -Z gzip -z1 -b "$tree/package" "$2" >/dev/null
  rm -rf "$tree"
}
rm -rf "$LAB/packages"
mkdir -p "$LAB/packages"
cp "$DEB" "$LAB/packages/camera-agent.deb"
newer "$DEB" "$LAB/packages/camera-agent-newer.deb"

trap lab_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
network_up
vm_boot
vm_put "$LAB/packages/." /root/packages
vm_put tests/lab/guest/. /root/guest
vm sh -eu /root/guest/devices.sh

say "testing"
[ $# -gt 0 ] || set -- vm_alone:: vm_service::
CAMERA_AGENT_LAB_SSH_CONFIG="$SSH_CONFIG" \
CAMERA_AGENT_LAB_CHAT="$HOST_SIDE:$CHAT_PORT" \
  inside "$TEST" --ignored --test-threads=1 --nocapture "$@"
say "passed"
