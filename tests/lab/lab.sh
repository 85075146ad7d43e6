# shellcheck shell=bash
# The bed, as functions for run.sh: a network namespace, the virtual machine
# on a tap in it, and the chat server. To be sourced from the project's root.

LAB=$PWD/target/lab
HOST_SIDE=192.168.77.1
VM_SIDE=192.168.77.2
CHAT_PORT=6503
NAMESPACE=camera-lab-$$
# Short, since the path of a Unix socket has 107 bytes at most.
SCRATCH=
SSH_CONFIG=
QEMU_PID=
CHAT_PID=
# Ports of a USB controller that tests may plug webcams into; without any there
# is no controller.
USB_PORTS=()

say() { printf '[lab %3d s] %s\n' "$SECONDS" "$*" >&2; }
die() { say "$*"; exit 1; }

# within SECONDS COMMAND…: polls until the command succeeds.
within() {
  local until=$((SECONDS + $1))
  shift
  until "$@" 2>/dev/null; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.2
  done
}

# inside COMMAND…: in the namespace.
inside() { ip netns exec "$NAMESPACE" "$@"; }

# vm COMMAND…: in the machine, as root. The connection is shared, since each
# handshake costs a second of emulated CPU.
vm() { inside ssh -F "$SSH_CONFIG" lab-vm "$@"; }
vm_put() { inside scp -q -r -F "$SSH_CONFIG" "$1" "lab-vm:$2"; }

network_up() {
  [ -c /dev/net/tun ] || { mkdir -p /dev/net && mknod /dev/net/tun c 10 200; }
  ip netns add "$NAMESPACE"
  ip -n "$NAMESPACE" link set lo up
  ip -n "$NAMESPACE" tuntap add dev tap0 mode tap
  ip -n "$NAMESPACE" addr add "$HOST_SIDE/24" dev tap0
  ip -n "$NAMESPACE" link set tap0 up
  # Nothing is there, but a browser only offers the address of its default
  # route when the page has no camera permission.
  ip -n "$NAMESPACE" route add default via "$VM_SIDE"
}

# The accelerator: /dev/kvm can exist, and QEMU start with it, and the guest stand
# still. So a kernel without a root file system has to come as far as its panic.
accelerator() {
  rm -f "$LAB/logs/kvm.log"
  timeout 20 qemu-system-x86_64 -accel kvm -cpu max -M q35 -m 512 -nodefaults -display none -no-reboot \
    -kernel "$LAB/image/vmlinuz" -append "console=ttyS0 panic=-1" -serial "file:$LAB/logs/kvm.log" \
    </dev/null >"$LAB/logs/qemu.log" 2>&1 || true
  if grep -q "Kernel panic" "$LAB/logs/kvm.log" 2>/dev/null; then echo kvm; else echo tcg,thread=multi,tb-size=512; fi
}

vm_boot() {
  local started=$SECONDS accel console=$LAB/logs/console.log
  SCRATCH=$(mktemp -d)
  SSH_CONFIG=$SCRATCH/ssh_config
  cat >"$SSH_CONFIG" <<EOF
Host lab-vm
  HostName $VM_SIDE
  User root
  IdentityFile "$LAB/image/id"
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
  ConnectTimeout 60
  ControlMaster auto
  ControlPath $SCRATCH/ssh
  ControlPersist yes
EOF
  accel=$(accelerator)
  rm -f "$console"
  # USB 2: of the controllers that QEMU has, the one whose bandwidth the guest's
  # kernel shares out by itself. QEMU listens at usbN for what is plugged in.
  local port usb=()
  for port in "${USB_PORTS[@]}"; do
    [ ${#usb[@]} -gt 0 ] || usb=(-device usb-ehci,id=usb)
    usb+=(-chardev "socket,id=usb$port,path=$SCRATCH/usb$port,server=on,wait=off"
      -device "usb-redir,chardev=usb$port,bus=usb.0,port=$port")
  done
  # The image is not written to: each run begins with the same machine.
  TMPDIR=$SCRATCH ip netns exec "$NAMESPACE" qemu-system-x86_64 \
    -M q35 -accel "$accel" -cpu max -smp 2 -m 1536 -nodefaults -no-reboot -display none \
    -kernel "$LAB/image/vmlinuz" -initrd "$LAB/image/initrd.gz" \
    -append "console=ttyS0 quiet net.ifnames=0 mitigations=off no_timer_check systemd.show_status=0" \
    -serial "file:$console" \
    -drive "file=$LAB/image/root.img,if=none,id=root,format=raw,snapshot=on" \
    -device virtio-blk-pci,drive=root \
    -netdev tap,id=net,ifname=tap0,script=no,downscript=no \
    -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci "${usb[@]}" \
    </dev/null >"$LAB/logs/qemu.log" 2>&1 9>&- &
  QEMU_PID=$!
  within 240 vm_listens || {
    tail -n 20 "$console" "$LAB/logs/qemu.log" >&2
    die "the machine did not boot in 240 s"
  }
  vm true
  say "booted in $((SECONDS - started)) s (${accel%%,*})"
}

vm_listens() {
  kill -0 "$QEMU_PID" || die "QEMU ended: $(tail -n 5 "$LAB/logs/qemu.log")"
  inside timeout 2 bash -c "exec 3<>/dev/tcp/$VM_SIDE/22"
}

# chat_up BINARY
chat_up() {
  ip netns exec "$NAMESPACE" "$1" chat --listen "0.0.0.0:$CHAT_PORT" \
    </dev/null >"$LAB/logs/chat.log" 2>&1 9>&- &
  CHAT_PID=$!
  within 10 inside bash -c "exec 3<>/dev/tcp/$HOST_SIDE/$CHAT_PORT" ||
    die "no chat server: $(tail -n 5 "$LAB/logs/chat.log")"
}

lab_down() {
  local status=$?
  trap - EXIT
  set +e
  if [ -n "$SSH_CONFIG" ] && [ -S "$SCRATCH/ssh" ]; then
    timeout 20 ssh -F "$SSH_CONFIG" lab-vm journalctl --no-pager -o short-precise >"$LAB/logs/journal.log"
    ssh -F "$SSH_CONFIG" -O exit lab-vm 2>/dev/null
  fi
  if [ -n "$CHAT_PID" ] && ! kill -0 "$CHAT_PID" 2>/dev/null; then
    wait "$CHAT_PID"
    say "the chat server had ended before, with status $?"
  fi
  for pid in $CHAT_PID $QEMU_PID; do
    kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
  done
  # A browser that outlived its test would keep the namespace's network alive.
  ip netns pids "$NAMESPACE" 2>/dev/null | xargs -r kill 2>/dev/null
  ip netns del "$NAMESPACE" 2>/dev/null
  [ -z "$SCRATCH" ] || rm -rf "$SCRATCH"
  [ "$status" = 0 ] || say "failed; see $LAB/logs"
  exit "$status"
}
