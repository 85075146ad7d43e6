#!/bin/sh
# In the machine: loads the camera and the sound card and plays a tone into the
# card. Nothing of the agent.
set -eu
here=$(dirname "$0")

# One plain webcam. A card whose playback (device 0) is its capture (device 1).
modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0
modprobe snd-aloop id=Loopback pcm_substreams=1
udevadm settle
# The bars stand still otherwise; the time in the corner runs as well.
v4l2-ctl -d /dev/video0 -c horizontal_movement=4

cp "$here/tone.service" /etc/systemd/system/
systemctl daemon-reload
systemctl start tone
