#!/bin/bash
# Runs a program in the root file system of an ARM machine, emulated by
# qemu-user. All that it starts is emulated too: the kernel is told how, and for
# this program and its children only, since from Linux 6.7 on each user namespace
# has a list of binary formats of its own. /dev, /proc, /sys, /tmp and the network are
# this machine's.
#
#   tests/arm/enter.sh ROOT PROGRAM [ARGUMENT…]
#
# The program keeps the process id of this script.
set -euo pipefail

FORMATS=/proc/sys/fs/binfmt_misc

if [ "$1" != --inside ]; then
  exec unshare --user --map-root-user --mount --propagation private -- "$0" --inside "$@"
fi
root=$2
shift 2
# From Debian's qemu-user-static.
if [ -e "$root/lib/ld-linux-aarch64.so.1" ]; then name=qemu-aarch64; else name=qemu-arm; fi
# Where systemd registers formats at boot, it has this one with the package.
if [ ! -e "$FORMATS/$name" ]; then
  mount -t binfmt_misc binfmt_misc "$FORMATS" && cat "/usr/lib/binfmt.d/$name.conf" >"$FORMATS/register" || {
    echo "the kernel knows no emulator for this ARM processor, and only from Linux 6.7 on may this script tell it: systemctl restart systemd-binfmt" >&2
    exit 1
  }
fi
for folder in dev proc sys tmp; do
  mkdir -p "$root/$folder"
  mount --rbind "/$folder" "$root/$folder"
done
exec chroot "$root" "$@"
