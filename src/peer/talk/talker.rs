//! One call that may talk: what it asks for, and what comes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use rtc::rtp;

use super::{NO_SPEAKER, PASSED_ON, PRIVATE, State, TalkBack};
use crate::agent::SessionId;
use crate::floor::{Asked, Place};
use crate::media::playout::Packet;
use crate::reason::{Code, Reason};
use crate::sdp::Voice;

/// Longest payload that is played, in bytes: 60 ms of Opus at its best (RFC 6716
/// §3.2.1 has 1,275 bytes a frame).
const MOST_PAYLOAD: usize = 1_300;
/// What is this far under full scale, in dB, or further, is silence (RFC 6464 §3).
const SILENT: u8 = 55;
/// Of an offer without the header extension for it.
const NO_LEVEL: u8 = 0;
/// Of a viewer whose offer says nothing of a voice.
const NO_VOICE: u8 = u8::MAX;

const TAKEN: Reason = Reason::fixed(
    Code::FloorTaken,
    "somebody else talks; ask again when they have finished",
);

const TOO_OFTEN: Reason = Reason::fixed(
    Code::TooOften,
    "the floor is asked for too often; try again in a second",
);

const RESTS: Reason = Reason::fixed(
    Code::FloorPassedOn,
    "you, or somebody at your address, have just talked for three minutes; others may talk now, \
     and you again in ten seconds",
);

/// A call that may talk; it has done so when this is dropped.
pub(in crate::peer) struct Talker {
    talk: Arc<TalkBack>,
    session: SessionId,
    open: Arc<AtomicBool>,
    /// The stream of the last packet that was theirs for sure; more than any where none was.
    stream: Arc<AtomicU64>,
    /// The payload type of what they say, and the header extension with its level.
    opus: AtomicU8,
    level: AtomicU8,
}

impl Talker {
    pub(super) fn new(talk: Arc<TalkBack>, session: SessionId, open: Arc<AtomicBool>) -> Self {
        Self {
            talk,
            session,
            open,
            stream: Arc::new(AtomicU64::new(u64::MAX)),
            opus: AtomicU8::new(NO_VOICE),
            level: AtomicU8::new(NO_LEVEL),
        }
    }

    /// How they say it, by their last offer; nothing, where that has no voice.
    pub(in crate::peer) fn says(&self, voice: Option<Voice>) {
        let level = voice.and_then(|voice| voice.level).unwrap_or(NO_LEVEL);
        self.level.store(level, Ordering::Release);
        let opus = voice.map_or(NO_VOICE, |voice| voice.opus);
        self.opus.store(opus, Ordering::Release);
    }

    /// Whether their packets are let in.
    pub(in crate::peer) fn open(&self) -> Arc<AtomicBool> {
        self.open.clone()
    }

    /// The SSRC of their last packet that was decrypted; more than 32 bits where none was.
    pub(in crate::peer) fn stream(&self) -> Arc<AtomicU64> {
        self.stream.clone()
    }

    /// Their page can ask.
    pub(super) fn can_ask(&self) {
        let mut state = self.talk.lock();
        if let Some(member) = state.members.get_mut(&self.session) {
            member.asks = true;
        }
        self.settled(&mut state);
    }

    /// They want to talk, and `wait` until they may.
    ///
    /// # Errors
    ///
    /// Why they may not now.
    pub(super) fn ask(&self, wait: bool) -> Result<(), Reason> {
        let mut state = self.talk.lock();
        if state.closed {
            return Err(NO_SPEAKER);
        }
        if self.talk.is_private() {
            return Err(PRIVATE);
        }
        let now = Instant::now();
        let listens = state.floor.place(self.session) == Place::Listens;
        let Some(member) = state.members.get_mut(&self.session) else {
            return Err(NO_SPEAKER);
        };
        let by = member.by.clone();
        if listens && !member.turns.take(1.0, now) {
            return Err(TOO_OFTEN);
        }
        let asked = state.floor.ask(by, wait, now);
        if let Asked::Given {
            taken_from: Some(stranger),
        } = asked
            && state.members.get(&stranger).is_some_and(|m| m.asks)
        {
            self.talk.takes(&mut state, stranger, &PASSED_ON);
        }
        self.settled(&mut state);
        match asked {
            Asked::Given { .. } | Asked::Waits => Ok(()),
            Asked::Taken => Err(TAKEN),
            Asked::Rests => Err(RESTS),
        }
    }

    /// They are done, or no longer want to.
    pub(super) fn give_back(&self) {
        let mut state = self.talk.lock();
        state.floor.give_back(self.session, Instant::now());
        self.settled(&mut state);
    }

    /// The call is over.
    pub(in crate::peer) fn leave(&self) {
        let mut state = self.talk.lock();
        state.floor.give_back(self.session, Instant::now());
        state.members.remove(&self.session);
        self.settled(&mut state);
    }

    fn settled(&self, state: &mut State) {
        self.talk.settle(state);
        self.talk.changed.notify_one();
    }

    /// A packet of theirs. Called on the connection's driver.
    pub(in crate::peer) fn speaks(&self, packet: &rtp::Packet, now: Instant) {
        let header = &packet.header;
        self.stream.store(header.ssrc.into(), Ordering::Release);
        let is_speech = header.payload_type == self.opus.load(Ordering::Acquire)
            && (1..=MOST_PAYLOAD).contains(&packet.payload.len());
        if !is_speech || self.talk.is_private() {
            return;
        }
        let level = match self.level.load(Ordering::Acquire) {
            NO_LEVEL => None,
            id => header.get_extension(id),
        };
        let level = level.and_then(|level| level.first().map(|byte| byte & 0x7f));
        let loud = level.is_none_or(|level| level < SILENT);
        let mut state = self.talk.lock();
        if state.closed {
            return;
        }
        let State { floor, members, .. } = &mut *state;
        let Some(member) = members.get(&self.session) else {
            return;
        };
        let heard = floor.speaks(&member.by, loud, !member.asks, now);
        if heard && state.plays != Some(self.session) {
            self.settled(&mut state);
        }
        drop(state);
        if heard {
            self.talk.speaker.play(Packet {
                stream: header.ssrc,
                timestamp: header.timestamp,
                payload: packet.payload.clone(),
                came: now,
            });
        }
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        self.leave();
    }
}
