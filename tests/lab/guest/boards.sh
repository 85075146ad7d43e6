#!/bin/sh
# In the machine: installs libcamera, the modules that are not the kernel
# package's, and the agent as a service, without a camera, a sound card or a
# configuration: those come with each test. Takes the chat server's address.
set -eu
here=$(dirname "$0")

dpkg -i /root/packages/*.deb >/dev/null
GST_REGISTRY=/var/cache/gst/registry.bin gst-inspect-1.0 libcamerasrc >/dev/null
mkdir -p "/lib/modules/$(uname -r)/extra"
cp /root/modules/*.ko "/lib/modules/$(uname -r)/extra/"
depmod

mkdir -p /etc/camera-agent
printf '[server]\nurl = "ws://%s:6503/"\nname = "vivid"\n' "$1" >/etc/camera-agent/server.toml
cp /etc/camera-agent/server.toml /etc/camera-agent/camera-agent.toml
cp "$here/camera-agent.service" /etc/systemd/system/
# The encoders are tried once, not with each test. What is under libcamera: sequence.c.
mkdir -p /etc/systemd/system/camera-agent.service.d
cat >/etc/systemd/system/camera-agent.service.d/boards.conf <<EOF
[Service]
CacheDirectory=camera-agent
Environment=LD_PRELOAD=/usr/local/lib/sequence.so
EOF
systemctl daemon-reload
systemctl --quiet enable camera-agent
