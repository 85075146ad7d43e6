#!/bin/bash
# Builds the agent for another machine, without Docker.
#
#   cross/build.sh TARGET    (make cross TARGET=…)
#
# On Debian 12. The libraries of the target come from Debian's packages, in a
# folder of their own; the compiler is the machine's own toolchain where
# `rustup target add TARGET` was done, else Debian's (cross/debian-rust.sh).
# What comes out is target/cross/TARGET/camera-agent, and camera-agent.debug with
# its symbols; cargo's own output stays where cargo puts it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=cross/targets.sh
. cross/targets.sh

TARGET=${1:?the target is missing, such as aarch64-unknown-linux-gnu}
target "$TARGET"
OUT=$CROSS/$TARGET
SYSROOT=$CROSS/sysroot-$ARCH
CARGO=(cargo build --release --locked --bin camera-agent)

main() {
  local built=${CARGO_TARGET_DIR:-target}
  command -v cargo >/dev/null || die "cargo is missing; see https://rustup.rs"
  if [ "$(rustc -vV | sed -n 's/^host: //p')" = "$TARGET" ]; then
    say "$TARGET is this machine: its own libraries are taken"
  else
    libraries
    compiler
    CARGO+=(--target "$TARGET")
    built=$built/$TARGET
  fi
  say "compiling with $("${RUSTC:-rustc}" --version)"
  "${CARGO[@]}"
  split "$built/release/camera-agent"
}

# The target's libraries, and how each kind of build script finds them.
libraries() {
  local name=${TARGET//-/_} upper
  upper=${name^^}
  # gcc for build scripts, which run here; clang for crates that read C headers.
  need gcc libc6-dev "gcc-$GNU" pkg-config libclang-dev
  cross/sysroot.sh "$ARCH" "$SYSROOT" libc6-dev libgcc-12-dev libasound2-dev libudev-dev \
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
  export "CARGO_TARGET_${upper}_LINKER=$GNU-gcc"
  # Libraries that libraries need are looked for by rpath-link alone.
  export "CARGO_TARGET_${upper}_RUSTFLAGS=-C link-arg=--sysroot=$SYSROOT -C link-arg=-Wl,-rpath-link,$SYSROOT/usr/lib/$GNU:$SYSROOT/lib/$GNU"
  export "CC_$name=$GNU-gcc" "AR_$name=$GNU-ar" "CFLAGS_$name=--sysroot=$SYSROOT"
  export "BINDGEN_EXTRA_CLANG_ARGS_$name=--sysroot=$SYSROOT"
  export PKG_CONFIG_ALLOW_CROSS=1
  export "PKG_CONFIG_SYSROOT_DIR_$name=$SYSROOT"
  export "PKG_CONFIG_LIBDIR_$name=$SYSROOT/usr/lib/$GNU/pkgconfig:$SYSROOT/usr/share/pkgconfig"
}

compiler() {
  if compgen -G "$(rustc --print target-libdir --target "$TARGET")/libstd-*.rlib" >/dev/null; then
    return
  fi
  say "this toolchain has no standard library for $TARGET: Debian's compiler is taken"
  cross/debian-rust.sh "$ARCH"
  export RUSTC=$CROSS/rust-$ARCH/rustc
  if ! compgen -G "$("$RUSTC" --print target-libdir --target "$TARGET")/libstd-*.rlib" >/dev/null; then
    say "building the standard library too (-Zbuild-std)"
    # Unstable, and allowed on a stable toolchain by this alone.
    export RUSTC_BOOTSTRAP=1
    CARGO+=(-Zbuild-std=std,panic_abort)
  fi
}

# split BINARY: a small one to install, and its symbols beside it, which gdb
# finds by name when they lie in the same folder.
split() {
  local objcopy=objcopy
  [ -z "$(command -v "$GNU-objcopy")" ] || objcopy=$GNU-objcopy
  mkdir -p "$OUT"
  "$objcopy" --only-keep-debug "$1" "$OUT/camera-agent.debug"
  "$objcopy" --strip-unneeded "$1" "$OUT/camera-agent"
  (cd "$OUT" && "$objcopy" --add-gnu-debuglink=camera-agent.debug camera-agent)
  say "$(stat -c '%n: %s bytes' "$OUT/camera-agent"), symbols apart: $(stat -c '%s bytes' "$OUT/camera-agent.debug")"
}

main
