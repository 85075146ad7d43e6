"""A bare webrtcbin that answers one call: what the agent is compared with.

Its argument is the GStreamer description of the encoded picture. Lines of JSON
come in on stdin ({"offer": sdp}, {"candidate": text, "line": number}) and go
out on stdout ({"answer": sdp}, {"candidate": ...}).
"""

import json
import re
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402


def say(**message):
    print(json.dumps(message), flush=True)


def payload_type(sdp, codec, wanted=""):
    """The offer's number for a codec whose parameters have `wanted` in them."""
    for number in re.findall(rf"^a=rtpmap:(\d+) {codec}/", sdp, re.M | re.I):
        parameters = re.search(rf"^a=fmtp:{number} (.*)$", sdp, re.M)
        if not wanted or (parameters and re.search(wanted, parameters[1])):
            return number
    sys.exit(f"the offer has no {codec} with {wanted!r}")


class Sender:
    def __init__(self, picture):
        self.picture = picture
        self.bin = None

    def offered(self, sdp):
        h264 = payload_type(sdp, "H264", "packetization-mode=1.*42e01f")
        pipeline = Gst.parse_launch(
            f"webrtcbin name=bin bundle-policy=max-bundle latency=0 "
            f"{self.picture} ! rtph264pay mtu=1200 aggregate-mode=zero-latency ! "
            f"application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,"
            f"payload={h264} ! bin."
        )
        self.pipeline, self.bin = pipeline, pipeline.get_by_name("bin")
        self.bin.connect("on-ice-candidate", lambda _, line, text: say(candidate=text, line=line))
        # libnice leaves the loopback out by itself. Python has to keep the
        # agent, which it would take away with its last reference.
        self.ice = self.bin.get_property("ice-agent")
        self.ice.emit("add-local-ip-address", "127.0.0.1")
        bus = pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, m: sys.exit(str(m.parse_error())))
        transceiver = self.bin.emit("get-transceiver", 0)
        transceiver.set_property(
            "direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY
        )
        # As browsers ask for it and as the agent does.
        transceiver.set_property("do-nack", True)
        pipeline.set_state(Gst.State.PLAYING)
        _, message = GstSdp.SDPMessage.new_from_text(sdp)
        offer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.OFFER, message)
        applied = Gst.Promise.new_with_change_func(self.applied)
        self.bin.emit("set-remote-description", offer, applied)

    def applied(self, _promise):
        made = Gst.Promise.new_with_change_func(self.made)
        self.bin.emit("create-answer", None, made)

    def made(self, promise):
        # The answer lives no longer than what it is taken from.
        reply = promise.get_reply()
        answer = reply["answer"]
        self.bin.emit("set-local-description", answer, Gst.Promise.new())
        say(answer=answer.sdp.as_text())

    def heard(self, line):
        message = json.loads(line)
        if "offer" in message:
            self.offered(message["offer"])
        elif self.bin is not None:
            self.bin.emit("add-ice-candidate", message["line"], message["candidate"])


def listen():
    for line in sys.stdin:
        GLib.idle_add(sender.heard, line)
    GLib.idle_add(loop.quit)


Gst.init(None)
loop = GLib.MainLoop()
sender = Sender(sys.argv[1])
threading.Thread(target=listen, daemon=True).start()
loop.run()
