"""aiortc that calls: it receives sound and picture.

Its argument is its bundle policy. Commands and what is said are those of
webrtcbin.py beside it; aiortc has all its candidates in its offer, and offers
once.
"""

import asyncio
import json
import sys

import aioice.ice
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import candidate_from_sdp
from av import AudioResampler

from senses import HEIGHT, RATE, WIDTH, Ear, Eye, say

# Calls go over the loopback, which it leaves out by itself.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


async def watch(track):
    eye = Eye()
    while True:
        frame = (await track.recv()).reformat(WIDTH, HEIGHT, "rgb24")
        eye.frame(bytes(frame.planes[0]), frame.planes[0].line_size)


async def hear(track):
    ear = Ear()
    mono = AudioResampler(format="s16", layout="mono", rate=RATE)
    while True:
        for frame in mono.resample(await track.recv()):
            ear.hear(bytes(frame.planes[0])[: 2 * frame.samples])


async def until_over(sense, track):
    try:
        await sense(track)
    except MediaStreamError:
        pass


class Caller:
    def __init__(self, policy):
        configuration = RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy(policy))
        self.connection = RTCPeerConnection(configuration)
        self.tasks = []

        @self.connection.on("track")
        def came(track):
            sense = watch if track.kind == "video" else hear
            self.tasks.append(asyncio.ensure_future(until_over(sense, track)))

    async def call(self):
        for kind in ("audio", "video"):
            self.connection.addTransceiver(kind, direction="recvonly")
        await self.connection.setLocalDescription(await self.connection.createOffer())
        say(offer=self.connection.localDescription.sdp)

    async def answered(self, sdp):
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def candidate(self, text, line):
        candidate = candidate_from_sdp(text.removeprefix("candidate:"))
        candidate.sdpMLineIndex = line
        await self.connection.addIceCandidate(candidate)


async def main(policy):
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    caller = None
    while line := await reader.readline():
        match json.loads(line):
            case {"do": "call"}:
                caller = Caller(policy)
                await caller.call()
            case {"do": "end"}:
                await caller.connection.close()
                caller = None
                say(ended=True)
            case {"answer": sdp}:
                await caller.answered(sdp)
            case {"candidate": text, "line": number} if caller is not None:
                await caller.candidate(text, number)


asyncio.run(main(sys.argv[1]))
