// Calls a device as a page of somebody's own would: with a socket and a
// connection, and an offer of a certain shape. What it came to is returned.
window.oddCall = async (name, bundlePolicy, shape) => {
  const shapes = {
    'sound and picture': (pc) => receive(pc, 'audio', 'video'),
    'picture first': (pc) => receive(pc, 'video', 'audio'),
    'picture alone': (pc) => receive(pc, 'video'),
    'two pictures': (pc) => receive(pc, 'audio', 'video', 'video'),
    'data first': async (pc) => {
      // A section stays where it was in an offer before, here one that nobody
      // is told.
      pc.createDataChannel('first');
      await pc.setLocalDescription();
      receive(pc, 'audio', 'video');
    },
    'both ways': (pc) => {
      for (const kind of ['audio', 'video']) pc.addTransceiver(kind, { direction: 'sendrecv' });
      pc.createDataChannel('beside');
    },
    'sound alone': (pc) => receive(pc, 'audio'),
  };
  const receive = (pc, ...kinds) => {
    for (const kind of kinds) pc.addTransceiver(kind, { direction: 'recvonly' });
  };
  const until = async (what, probe) => {
    for (let i = 0; i < 400; i++) {
      const found = await probe();
      if (found) return found;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error(`not in time: ${what}`);
  };

  const heard = { users: [], early: [] };
  const socket = new WebSocket(`ws://${location.host}/`, 'json');
  const send = (frame) => socket.send(JSON.stringify(frame));
  const pc = new RTCPeerConnection({ bundlePolicy });
  try {
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.type === 'id') send({ type: 'username', name, id: frame.id, date: 0 });
      if (frame.type === 'userlist') heard.users = frame.users;
      if (frame.target !== name) return;
      if (frame.type === 'video-answer') heard.answer = frame.sdp;
      if (frame.type === 'hang-up') heard.hungUp = frame.reason ?? '';
      if (frame.type === 'new-ice-candidate') {
        if (pc.remoteDescription) pc.addIceCandidate(frame.candidate);
        else heard.early.push(frame.candidate);
      }
    };
    const player = document.createElement('video');
    player.autoplay = true;
    player.srcObject = new MediaStream();
    pc.ontrack = ({ track }) => player.srcObject.addTrack(track);
    pc.onicecandidate = ({ candidate }) => candidate
      && send({ type: 'new-ice-candidate', name, target: 'camera', candidate });
    await until('a name', () => heard.users.includes(name) && heard.users.includes('camera'));
    await shapes[shape](pc);
    const offer = await pc.createOffer();
    send({ type: 'video-offer', name, target: 'camera', sdp: offer });
    await pc.setLocalDescription(offer);
    await until('an answer', () => heard.answer ?? heard.hungUp);
    if (heard.hungUp !== undefined) return { offered: offer.sdp, hungUp: heard.hungUp };
    await pc.setRemoteDescription(heard.answer);
    for (const candidate of heard.early) await pc.addIceCandidate(candidate);
    const came = async () => {
      const streams = [...(await pc.getStats()).values()].filter((s) => s.type === 'inbound-rtp');
      const most = (kind, field) => Math.max(0, ...streams
        .filter((s) => s.kind === kind).map((s) => s[field] ?? 0));
      return {
        pictures: most('video', 'framesDecoded'),
        loudness: most('audio', 'totalAudioEnergy'),
        silent: !offer.sdp.includes('m=audio'),
      };
    };
    const media = await until('picture and sound', async () => {
      const now = await came();
      return now.pictures > 5 && (now.silent || now.loudness > 0) && now;
    });
    return { offered: offer.sdp, answered: heard.answer.sdp, state: pc.connectionState, ...media };
  } catch (error) {
    return { error: `${error}; ${pc.connectionState}; ${JSON.stringify(heard)}` };
  } finally {
    if (socket.readyState === 1) send({ type: 'hang-up', name, target: 'camera' });
    pc.close();
    socket.close();
  }
};
