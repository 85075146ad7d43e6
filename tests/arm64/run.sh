#!/bin/bash
# The agent as it is built for boards, run by an emulated 64-bit ARM processor
# with Debian's GStreamer for it; the chat server and a browser run on this
# machine. The assertions are in tests/arm64.rs.
#
#   tests/arm64/run.sh              all of it (make test-arm64)
#   tests/arm64/run.sh COMMAND…     a command in the ARM machine's file system
#
# Everything made is under target/cross.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=cross/targets.sh
. cross/targets.sh

TARGET=aarch64-unknown-linux-gnu
ROOT=$CROSS/root-arm64
# What the agent needs at run time; gst-inspect-1.0 makes the registry.
PACKAGES=(
  dash coreutils libasound2 libudev1 gstreamer1.0-tools gstreamer1.0-alsa
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
)

[ "$(uname -m)" != aarch64 ] || die "this is a 64-bit ARM machine: make test runs the agent on it without an emulator"
need qemu-user-static
cross/build.sh "$TARGET"
cross/sysroot.sh arm64 "$ROOT" "${PACKAGES[@]}"
export GST_REGISTRY=/var/cache/gst-registry.bin
if [ ! -e "$ROOT$GST_REGISTRY" ]; then
  say "looking at the plug-ins, once"
  tests/arm64/enter.sh "$ROOT" /usr/bin/gst-inspect-1.0 >"$CROSS/plugins.log" 2>&1 ||
    { tail -n 5 "$CROSS/plugins.log" >&2; die "gst-inspect-1.0 does not run; see $CROSS/plugins.log"; }
fi
install -m 755 "$CROSS/$TARGET/camera-agent" "$ROOT/usr/bin/camera-agent"
if [ $# -gt 0 ]; then
  exec tests/arm64/enter.sh "$ROOT" "$@"
fi
say "testing"
CAMERA_AGENT_ARM64_ROOT=$ROOT \
  cargo test --locked --test arm64 -- --ignored --test-threads=1 --nocapture
