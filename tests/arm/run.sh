#!/bin/bash
# The agent as it is built for boards, run by an emulated ARM processor with
# Debian's GStreamer for it; the chat server and a browser run on this
# machine. The assertions are in tests/machines/arm.rs.
#
#   tests/arm/run.sh TARGET              all of it (make test-arm64, test-armhf)
#   tests/arm/run.sh TARGET COMMAND…     a command in the ARM machine's file system
#
# Everything made is under target/cross.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=cross/targets.sh
. cross/targets.sh

TARGET=${1:?the target is missing, such as aarch64-unknown-linux-gnu}
shift
target "$TARGET"
ROOT=$CROSS/root-$ARCH
# What the agent needs at run time; gst-inspect-1.0 makes the registry; an encoder
# that is none is made with libx264 (tests/shims).
PACKAGES=(
  dash coreutils libasound2 libudev1 gstreamer1.0-tools gstreamer1.0-alsa
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
  libx264-dev
)

case $(uname -m) in aarch64 | arm*) die "this is an ARM machine: make test runs the agent on it without an emulator" ;; esac
need qemu-user-static
cross/build.sh "$TARGET"
cross/sysroot.sh "$ARCH" "$ROOT" "${PACKAGES[@]}"
export GST_REGISTRY=/var/cache/gst-registry.bin
if [ ! -e "$ROOT$GST_REGISTRY" ]; then
  say "looking at the plug-ins, once"
  tests/arm/enter.sh "$ROOT" /usr/bin/gst-inspect-1.0 >"$CROSS/plugins-$ARCH.log" 2>&1 ||
    { tail -n 5 "$CROSS/plugins-$ARCH.log" >&2; die "gst-inspect-1.0 does not run; see $CROSS/plugins-$ARCH.log"; }
fi
install -m 755 "$CROSS/$TARGET/camera-agent" "$ROOT/usr/bin/camera-agent"
"$GNU-gcc" --sysroot="$CROSS/sysroot-$ARCH" -shared -fPIC -O2 -o "$ROOT/usr/lib/clock.so" tests/arm/clock.c
if [ $# -gt 0 ]; then
  exec tests/arm/enter.sh "$ROOT" "$@"
fi
# What stands for a Raspberry Pi's driver was tried with 64 bits alone.
SKIPPED=()
[ "$ARCH" = arm64 ] || SKIPPED=(--skip arm::pi)
say "testing"
CAMERA_AGENT_ARM=$ARCH CAMERA_AGENT_ARM_ROOT=$ROOT \
  CAMERA_AGENT_ARM_CC="$GNU-gcc --sysroot=$CROSS/sysroot-$ARCH -idirafter $ROOT/usr/include -L$ROOT/usr/lib/$GNU" \
  cargo test --locked --test machines arm:: -- --ignored --test-threads=1 --nocapture "${SKIPPED[@]}"
