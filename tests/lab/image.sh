#!/bin/bash
# Makes the machine's disk, kernel and initial RAM disk in target/lab/image,
# unless they are there and what they are made of has not changed. Packages
# come from the Debian archives that this machine itself uses.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/lab/lab.sh
. tests/lab/lab.sh

IMAGE=$LAB/image
LOG=$LAB/logs/image.log
PACKAGES=(
  systemd-sysv udev kmod dbus iproute2 procps openssh-server
  # mDNS: the page is announced, and looked for
  avahi-daemon avahi-utils
  # v4l2-ctl; speaker-test and aplay
  v4l-utils alsa-utils
  # what the agent needs; h264parse is in -bad, x264enc in -ugly
  gstreamer1.0-tools gstreamer1.0-alsa gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
)
MODULES=(virtio_pci virtio_blk virtio_net virtio_rng ext4 autofs4 vivid snd-aloop sch_netem
  # USB webcams; that dummy_hcd is none for them; what tests/lab/boards.sh builds
  ehci-pci uvcvideo snd-usb-audio dummy_hcd usb_f_uac2 videobuf2-dma-contig)
BOOT_MODULES=(virtio_pci virtio_blk crc32c_generic ext4)

main() {
  local key started=$SECONDS
  # A fresh machine knows no sources before its first update.
  sources >/dev/null || apt-get update -q
  key=$(inputs | sha256sum)
  if [ "$(cat "$IMAGE/made-of" 2>/dev/null)" = "$key" ]; then
    say "image: as it was"
    return
  fi
  say "image: building"
  rm -rf "$IMAGE"
  mkdir -p "$IMAGE" "$LAB/logs"
  apt-get update -q >"$LOG" 2>&1
  unpack_kernel "$IMAGE/kernel"
  sources >"$IMAGE/sources.list"
  mmdebstrap --variant=minbase --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include="$(IFS=,; echo "${PACKAGES[*]}")" \
    bookworm "$IMAGE/root" "$IMAGE/sources.list" >>"$LOG" 2>&1 ||
    { tail -n 20 "$LOG" >&2; die "no root file system"; }
  copy_modules "$IMAGE/kernel" "$IMAGE/root"
  configure "$IMAGE/root"
  make_initrd "$IMAGE/kernel" "$IMAGE/initrd.gz"
  cp "$IMAGE"/kernel/boot/vmlinuz-* "$IMAGE/vmlinuz"
  ls "$IMAGE/kernel/lib/modules" >"$IMAGE/kernel-version"
  mkfs.ext4 -q -F -O '^has_journal,^metadata_csum' -d "$IMAGE/root" "$IMAGE/root.img" 2G >>"$LOG"
  rm -rf "$IMAGE/root" "$IMAGE/kernel"
  echo "$key" >"$IMAGE/made-of"
  say "image: $(du -sh "$IMAGE" | cut -f1), built in $((SECONDS - started)) s"
}

# All that decides what comes out. Package versions are left out: an image
# stays good when the archive moves on.
inputs() {
  cat tests/lab/image.sh
  sources
}

# This machine's own sources for this release, as apt understood them.
sources() {
  # shellcheck disable=SC2016 # apt's own placeholders
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' 'Origin: Debian' |
    grep -E ' bookworm(-updates|-security)? main$' | sort -u
}

# linux-image-cloud-amd64 would be smaller, and has neither camera nor sound.
unpack_kernel() {
  local package
  package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
  mkdir "$1"
  (cd "$1" && apt-get -q -o APT::Sandbox::User=root download "$package" && dpkg-deb -x ./*.deb . && rm ./*.deb) \
    >>"$LOG" 2>&1
  depmod -b "$1" "$(ls "$1/lib/modules")"
}

# closure KERNEL MODULE…: files of the modules and what they need, in load order.
closure() {
  local kernel=$1 version module
  version=$(ls "$kernel/lib/modules")
  shift
  for module in "$@"; do
    modprobe -d "$kernel" -S "$version" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
  done | awk '!seen[$0]++'
}

copy_modules() {
  local kernel=$1 root=$2 version file
  version=$(ls "$kernel/lib/modules")
  closure "$kernel" "${MODULES[@]}" | while read -r file; do
    install -D -m 644 "$file" "$root/${file#"$kernel/"}"
  done
  cp "$kernel/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$root/lib/modules/$version/"
  depmod -b "$root" "$version"
}

configure() {
  local root=$1 unit units=$1/etc/systemd/system
  ssh-keygen -q -t ed25519 -N '' -C lab -f "$IMAGE/id"
  install -d -m 700 "$root/root/.ssh"
  install -m 600 "$IMAGE/id.pub" "$root/root/.ssh/authorized_keys"
  printf 'UseDNS no\nUsePAM no\n' >"$root/etc/ssh/sshd_config.d/lab.conf"
  echo vm >"$root/etc/hostname"
  echo '127.0.0.1 localhost vm' >"$root/etc/hosts"
  : >"$root/etc/machine-id"
  echo '/dev/vda / ext4 noatime 0 0' >"$root/etc/fstab"
  cat >"$root/etc/systemd/network/lab.network" <<EOF
[Match]
Name=eth0
[Network]
Address=$VM_SIDE/24
IPv6AcceptRA=no
EOF
  mkdir -p "$units/multi-user.target.wants"
  ln -s /lib/systemd/system/systemd-networkd.service "$units/multi-user.target.wants/"
  # Emulated seconds are dear.
  for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer dpkg-db-backup.timer systemd-networkd-wait-online.service systemd-timesyncd.service \
    systemd-pcrphase.service systemd-pcrphase-sysinit.service getty@tty1.service \
    systemd-update-utmp.service alsa-restore.service alsa-state.service; do
    ln -sf /dev/null "$units/$unit"
  done
  # Ten seconds of emulated CPU otherwise, on the agent's first start.
  mkdir -p "$root/var/cache/gst"
  chroot "$root" env GST_REGISTRY=/var/cache/gst/registry.bin gst-inspect-1.0 >>"$LOG" 2>&1
}

make_initrd() {
  local kernel=$1 file count=100 tree
  tree=$(mktemp -d)
  mkdir -p "$tree"/{bin,dev,proc,sys,root,modules}
  cp /bin/busybox "$tree/bin/"
  ln -s busybox "$tree/bin/sh"
  while read -r file; do
    cp "$file" "$tree/modules/$count-$(basename "$file")"
    count=$((count + 1))
  done < <(closure "$kernel" "${BOOT_MODULES[@]}")
  cat >"$tree/init" <<'EOF'
#!/bin/sh
export PATH=/bin
busybox mount -t devtmpfs dev /dev
for module in /modules/*; do busybox insmod "$module"; done
tries=50
until [ -b /dev/vda ] || [ $tries = 0 ]; do tries=$((tries - 1)); busybox sleep 0.1; done
busybox mount -t ext4 -o rw,noatime /dev/vda /root || { echo "no root file system"; exec busybox poweroff -f; }
busybox mount --move /dev /root/dev
exec busybox switch_root /root /sbin/init
EOF
  chmod +x "$tree/init"
  (cd "$tree" && find . | cpio -o -H newc --quiet | gzip -1) >"$2"
  rm -rf "$tree"
}

main
