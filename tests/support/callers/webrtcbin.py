"""A webrtcbin that calls: it receives sound and picture.

Its arguments are its bundle policy and the codec of the picture. Commands come
in on stdin ({"do": "call"}, {"do": "offer"}, {"do": "end"}, {"answer": sdp},
{"candidate": text, "line": number}); {"offer": sdp}, {"candidate": ...}, and
what is seen and heard, go out on stdout.
"""

import json
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

from senses import HEIGHT, RATE, WIDTH, Ear, Eye, say  # noqa: E402

AUDIO = "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,payload=111"
VIDEO = {
    "H264": "application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload=96,"
    "packetization-mode=(string)1,profile-level-id=(string)42e01f",
    "VP8": "application/x-rtp,media=video,encoding-name=VP8,clock-rate=90000,payload=97",
}
SINKS = {
    "video": f"videoconvert ! videoscale ! video/x-raw,format=RGB,width={WIDTH},height={HEIGHT} "
    "! appsink name=out sync=false emit-signals=true",
    "audio": f"audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate={RATE},channels=1 "
    "! appsink name=out sync=false emit-signals=true",
}


class Caller:
    def __init__(self, policy, codec):
        self.pipeline = Gst.Pipeline.new()
        self.bin = Gst.ElementFactory.make("webrtcbin")
        Gst.util_set_object_arg(self.bin, "bundle-policy", policy)
        self.pipeline.add(self.bin)
        self.bin.connect("on-ice-candidate", lambda _, line, text: say(candidate=text, line=line))
        self.bin.connect("pad-added", self.came)
        # libnice leaves the loopback out by itself. Python has to keep the
        # agent, which it would take away with its last reference.
        self.ice = self.bin.get_property("ice-agent")
        self.ice.emit("add-local-ip-address", "127.0.0.1")
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", lambda _, m: sys.exit(str(m.parse_error())))
        receive = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
        for caps in (AUDIO, VIDEO[codec]):
            transceiver = self.bin.emit("add-transceiver", receive, Gst.Caps.from_string(caps))
            transceiver.set_property("do-nack", True)
        self.pipeline.set_state(Gst.State.PLAYING)
        self.offer()

    def offer(self):
        made = Gst.Promise.new_with_change_func(self.made)
        self.bin.emit("create-offer", None, made)

    def made(self, promise):
        # The offer lives no longer than what it is taken from.
        reply = promise.get_reply()
        offer = reply["offer"]
        self.bin.emit("set-local-description", offer, Gst.Promise.new())
        say(offer=offer.sdp.as_text())

    def answered(self, sdp):
        _, message = GstSdp.SDPMessage.new_from_text(sdp)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.bin.emit("set-remote-description", answer, Gst.Promise.new())

    def came(self, _, pad):
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        decoder = Gst.ElementFactory.make("decodebin")
        decoder.connect("pad-added", self.decoded)
        self.pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    def decoded(self, _, pad):
        kind = pad.get_current_caps().get_structure(0).get_name().split("/")[0]
        sink = Gst.parse_bin_from_description(SINKS[kind], True)
        sense = Eye() if kind == "video" else Ear()
        sink.get_by_name("out").connect("new-sample", self.sampled, sense)
        self.pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def sampled(self, sink, sense):
        buffer = sink.emit("pull-sample").get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())
        if isinstance(sense, Eye):
            sense.frame(data, 3 * WIDTH)
        else:
            sense.hear(data)
        return Gst.FlowReturn.OK

    def end(self):
        self.pipeline.set_state(Gst.State.NULL)


class Callers:
    """One call after the other."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.call = None

    def heard(self, line):
        message = json.loads(line)
        match message:
            case {"do": "call"}:
                self.call = Caller(*self.arguments)
            case {"do": "offer"}:
                self.call.offer()
            case {"do": "end"}:
                self.call.end()
                self.call = None
                say(ended=True)
            case {"answer": sdp}:
                self.call.answered(sdp)
            case {"candidate": text, "line": number} if self.call is not None:
                self.call.bin.emit("add-ice-candidate", number, text)


def listen():
    for line in sys.stdin:
        GLib.idle_add(callers.heard, line)
    GLib.idle_add(loop.quit)


Gst.init(None)
loop = GLib.MainLoop()
callers = Callers(sys.argv[1:])
threading.Thread(target=listen, daemon=True).start()
loop.run()
