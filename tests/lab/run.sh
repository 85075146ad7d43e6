#!/bin/bash
# The main job on real devices: a virtual machine with a V4L2 camera (the
# kernel's vivid), a sound card (snd-aloop) and systemd runs the agent; the
# chat server and a browser run outside of it, in a network namespace that
# they share with the machine's network card. The assertions are in
# tests/machines, the files vm_call, vm_commands, vm_controls, vm_devices and vm_keep.
#
#   tests/lab/run.sh            all of it
#   AGENT=PATH tests/lab/run.sh with that binary instead of building one
#   tests/lab/run.sh FILTER…    the tests with such names (vm_call, vm_keep, …)
#   tests/lab/run.sh shell      the same bed, then a shell in the machine
#   tests/lab/run.sh boards [FILTER…]
#                               the devices of boards instead: USB webcams, HDMI
#                               bridges, loopback cameras, libcamera, a report of
#                               them all; or the tests
#                               with such names (vm_usb, vm_hdmi, vm_loopback, …)
#
# As root, on Debian 12, amd64. Missing packages are installed. Everything
# made is under target/lab: the image (kept until what it is made of changes),
# call.png (the page during the call), logs/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/lab/lab.sh
. tests/lab/lab.sh

TESTS=(vm_call:: vm_commands:: vm_controls:: vm_devices:: vm_keep::)
GUEST=prepare.sh
if [ "${1:-}" = boards ]; then
  shift
  TESTS=(vm_usb:: vm_hdmi:: vm_loopback:: vm_libcamera:: vm_report::)
  GUEST=boards.sh
  USB_PORTS=(1 2)
fi
[ $# = 0 ] || [ "$1" = shell ] || TESTS=("$@")

mkdir -p "$LAB/logs"
exec 9>"$LAB/lock"
flock -n 9 || die "another run uses $LAB"

tests/lab/packages.sh
AGENT=${AGENT:-}
if [ -z "$AGENT" ]; then
  say "building the agent"
  cargo build --release --bin camera-agent
  AGENT=${CARGO_TARGET_DIR:-target}/release/camera-agent
fi
if [ "${1:-}" != shell ]; then
  say "building the tests"
  cargo test --test machines --no-run
fi
tests/lab/image.sh
if [ "$GUEST" = boards.sh ]; then
  tests/lab/boards.sh
  cc -shared -fPIC -nostdlib -O2 -o "$LAB/boards/sequence.so" tests/lab/guest/sequence.c
fi

trap lab_down EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
network_up
vm_boot
vm_put "$AGENT" /usr/local/bin/camera-agent
vm_put tests/lab/guest/. /root/guest
if [ "$GUEST" = boards.sh ]; then
  vm_put "$LAB/boards/packages" /root/
  vm_put "$LAB/boards/modules" /root/
  vm_put "$LAB/boards/sequence.so" /usr/local/lib/
fi
vm sh -eu "/root/guest/$GUEST" "$HOST_SIDE"
chat_up "$AGENT"

if [ "${1:-}" = shell ]; then
  say "chat server: http://$HOST_SIDE:$CHAT_PORT/ in the namespace $NAMESPACE"
  inside ssh -t -F "$SSH_CONFIG" lab-vm || true
  exit
fi
say "calling"
CAMERA_AGENT_LAB_PAGE="http://$HOST_SIDE:$CHAT_PORT/" \
CAMERA_AGENT_LAB_SSH_CONFIG="$SSH_CONFIG" \
CAMERA_AGENT_LAB_OUT="$LAB" \
CAMERA_AGENT_LAB_USB="$SCRATCH/usb" \
  inside cargo test --offline --test machines -- --ignored --test-threads=1 --nocapture "${TESTS[@]}"
say "passed; pages during calls: $LAB/*.png"
