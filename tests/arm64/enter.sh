#!/bin/bash
# Runs a program in the root file system of a 64-bit ARM machine, emulated by
# qemu-user. All that it starts is emulated too: the kernel is told how, and for
# this program and its children only, since from Linux 6.7 on each user namespace
# has a list of binary formats of its own. /dev, /proc, /tmp and the network are this
# machine's.
#
#   tests/arm64/enter.sh ROOT PROGRAM [ARGUMENT…]
#
# The program keeps the process id of this script.
set -euo pipefail

FORMATS=/proc/sys/fs/binfmt_misc
# From Debian's qemu-user-static.
FORMAT=/usr/lib/binfmt.d/qemu-aarch64.conf

if [ "$1" != --inside ]; then
  exec unshare --user --map-root-user --mount --propagation private -- "$0" --inside "$@"
fi
root=$2
shift 2
# Where systemd registers formats at boot, it has this one with the package.
if [ ! -e "$FORMATS/qemu-aarch64" ]; then
  mount -t binfmt_misc binfmt_misc "$FORMATS" && cat "$FORMAT" >"$FORMATS/register" || {
    echo "the kernel knows no emulator for 64-bit ARM, and only from Linux 6.7 on may this script tell it: systemctl restart systemd-binfmt" >&2
    exit 1
  }
fi
for folder in dev proc tmp; do
  mkdir -p "$root/$folder"
  mount --rbind "/$folder" "$root/$folder"
done
exec chroot "$root" "$@"
