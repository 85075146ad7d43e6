//! Carries out what [`crate::rate`] decides: looks at every viewer's path some
//! times a second, tells encoders their bitrates and viewers their tiers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::{debug, info};

use super::path::known::Path;
use crate::bucket::{Bucket, Rate as BucketRate};
use crate::lock::lock;
use crate::media::hub::Hub;
use crate::media::stream::{Encoding, SoundCoding, Stream, VideoRate};
use crate::rate::sound::{SharedLoss, ShortFrames};
use crate::rate::{Decision, Settings, TICK, Tiers, ViewerId};
use crate::sdp::{Offer, VideoCodec};

/// Of who gets another quality, or fewer frames, so many lines are in the log at INFO,
/// of all viewers together; all are at DEBUG. A viewer can cause them.
const LINES: BucketRate = BucketRate {
    burst: 20.0,
    per_second: 0.5,
};
/// What an encoder makes is counted over so long.
const MADE_OVER: Duration = Duration::from_secs(1);

/// The streams that a viewer is sent at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub picture: bool,
    pub sound: bool,
}

/// What a viewer is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assignment {
    pub encoding: Encoding,
    /// Only as much of it as their path carries.
    pub thinned: bool,
}

struct Member {
    codec: VideoCodec,
    path: Path,
    /// Their path has shown.
    is_there: bool,
    /// They are sent the picture, and the sound.
    takes: Taken,
    /// Their decoder makes use of Opus's in-band FEC.
    inband_fec: bool,
    assigned: watch::Sender<Assignment>,
}

impl Member {
    /// They are sent the sound, and their path has shown.
    fn hears(&self) -> bool {
        self.takes.sound && self.is_there
    }
}

struct State {
    settings: Settings,
    tiers: HashMap<VideoCodec, Tiers>,
    members: HashMap<ViewerId, Member>,
    /// How the sound is encoded, and what that is made of.
    sound: SoundCoding,
    sound_loss: SharedLoss,
    short_frames: ShortFrames,
    joined: ViewerId,
    /// What encoders had made when they were last looked at, in bytes.
    made: HashMap<Encoding, (Instant, u64)>,
    lines: Bucket,
    /// A task looks at the paths.
    looking: bool,
}

/// The qualities of all viewers of a device.
pub(crate) struct Quality {
    hub: Hub,
    /// How many tiers there are.
    count: watch::Sender<usize>,
    state: Mutex<State>,
}

/// A viewer's place; they leave when it is dropped.
pub(super) struct Seat {
    id: ViewerId,
    codec: VideoCodec,
    assigned: watch::Receiver<Assignment>,
    quality: Arc<Quality>,
}

impl Quality {
    /// For viewers of `hub`.
    pub(crate) fn new(hub: Hub, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            hub,
            count: watch::Sender::new(settings.tiers.len()),
            state: Mutex::new(State {
                settings,
                tiers: HashMap::new(),
                members: HashMap::new(),
                sound: SoundCoding::default(),
                sound_loss: SharedLoss::default(),
                short_frames: ShortFrames::default(),
                joined: 0,
                made: HashMap::new(),
                lines: Bucket::full(LINES, Instant::now()),
                looking: false,
            }),
        })
    }

    /// A viewer comes, of whose path this is known and will become known. Their
    /// encoder is told its bitrate before it can be started. They count for others once
    /// they [are there](Seat::is_there).
    pub(super) fn join(self: &Arc<Self>, offer: &Offer, path: Path) -> Seat {
        let codec = offer.video.codec;
        let now = Instant::now();
        let mut state = self.lock();
        state.joined += 1;
        let id = state.joined;
        let State {
            settings, tiers, ..
        } = &mut *state;
        let tiers = tiers.entry(codec).or_insert_with(|| Tiers::new(settings));
        let tier = tiers.come(id, path.sight(), now);
        let (assigned, receiver) = watch::channel(Assignment {
            encoding: Encoding { codec, tier },
            thinned: false,
        });
        let member = Member {
            codec,
            path,
            is_there: false,
            takes: Taken {
                picture: true,
                sound: offer.sound.is_some(),
            },
            inband_fec: offer.sound.as_ref().is_some_and(|s| s.inband_fec),
            assigned,
        };
        state.members.insert(id, member);
        self.poll(&mut state, now);
        if !std::mem::replace(&mut state.looking, true) {
            tokio::spawn(look(Arc::downgrade(self)));
        }
        Seat {
            id,
            codec,
            assigned: receiver,
            quality: self.clone(),
        }
    }

    /// The most that a viewer can be sent, in bit/s.
    pub(super) fn most(&self) -> u32 {
        self.lock().settings.most()
    }

    /// There is sound beside the picture.
    pub(super) fn has_sound(&self) -> bool {
        self.lock().settings.audio > 0
    }

    /// Other tiers, for another source: everybody begins anew with what is
    /// known of their path.
    pub(crate) fn replace(&self, settings: Settings) {
        let now = Instant::now();
        let mut state = self.lock();
        state.settings = settings;
        let State {
            settings,
            tiers,
            members,
            ..
        } = &mut *state;
        tiers.clear();
        for (id, member) in members.iter() {
            let codec = member.codec;
            let tiers = tiers.entry(codec).or_insert_with(|| Tiers::new(settings));
            let sight = member.path.sight();
            let tier = match member.is_there {
                true => tiers.join(*id, sight, now),
                false => tiers.come(*id, sight, now),
            };
            tiers.takes(*id, member.takes.picture, now);
            member.assigned.send_replace(Assignment {
                encoding: Encoding { codec, tier },
                thinned: false,
            });
        }
        // Told also where it is the same: what viewers chose is forgotten, and
        // what they choose on hearing of it is not.
        self.count.send_replace(settings.tiers.len());
        self.poll(&mut state, now);
    }

    fn poll(&self, state: &mut State, now: Instant) {
        let State {
            tiers,
            members,
            made,
            lines,
            ..
        } = state;
        for (codec, tiers) in tiers.iter_mut() {
            self.see_made(*codec, tiers, made, now);
        }
        for (id, member) in members.iter() {
            if let Some(tiers) = tiers.get_mut(&member.codec) {
                tiers.sight(*id, member.path.sight());
            }
        }
        for (codec, tiers) in tiers.iter_mut() {
            for decision in tiers.poll(now) {
                self.carry_out(*codec, decision, members, lines, now);
            }
        }
        self.encode_sound(state, now);
    }

    /// Tells the encoder of the sound what fits the paths of those who hear it.
    fn encode_sound(&self, state: &mut State, now: Instant) {
        let losses = state
            .members
            .values()
            .filter(|m| m.hears() && m.inband_fec)
            .filter_map(|m| m.path.sound_left(now));
        state.sound_loss.update(losses, now);
        let loss_percent = state.sound_loss.percent();
        let most = state.settings.most();
        let hear = state.members.values().filter(|m| m.hears());
        let paths = hear.map(|m| m.path.carries(most, now));
        let coding = SoundCoding {
            loss_percent,
            short_frames: state.short_frames.update(paths, loss_percent > 0, now),
        };
        if coding != state.sound {
            debug!(?coding, "the sound is encoded so");
            state.sound = coding;
            self.hub.set_sound(coding);
        }
    }

    /// Tells the tiers what their encoders make, once in [`MADE_OVER`].
    fn see_made(
        &self,
        codec: VideoCodec,
        tiers: &mut Tiers,
        made: &mut HashMap<Encoding, (Instant, u64)>,
        now: Instant,
    ) {
        for tier in 0..Encoding::TIERS {
            let encoding = Encoding { codec, tier };
            if tiers.rate_of(tier).is_none() {
                made.remove(&encoding);
                continue;
            }
            let bytes = self.hub.encoded(Stream::Video(encoding));
            let (since, before) = *made.entry(encoding).or_insert((now, bytes));
            let time = now.saturating_duration_since(since);
            if time < MADE_OVER {
                continue;
            }
            made.insert(encoding, (now, bytes));
            let bits = bytes.saturating_sub(before) as f64 * 8.0;
            tiers.made(tier, (bits / time.as_secs_f64()) as u32);
        }
    }

    fn carry_out(
        &self,
        codec: VideoCodec,
        decision: Decision,
        members: &HashMap<ViewerId, Member>,
        lines: &mut Bucket,
        now: Instant,
    ) {
        match decision {
            Decision::Rate {
                tier,
                bits_per_second,
                every,
                percent,
            } => {
                let encoding = Encoding { codec, tier };
                debug!(%encoding, bits_per_second, every, percent, "bitrate");
                let rate = VideoRate {
                    bits_per_second,
                    every,
                    percent,
                };
                self.hub.set_rate(Stream::Video(encoding), rate);
            }
            Decision::Move { viewer, tier } => {
                if let Some(member) = members.get(&viewer) {
                    let carries = member.path.estimate().bits_per_second;
                    match lines.take(1.0, now) {
                        true => info!(viewer, tier, carries, "another quality"),
                        false => debug!(viewer, tier, carries, "another quality"),
                    }
                    let encoding = Encoding { codec, tier };
                    member.assigned.send_modify(|a| a.encoding = encoding);
                }
            }
            Decision::Probe {
                viewer,
                bits_per_second,
            } => {
                if let Some(member) = members.get(&viewer) {
                    debug!(viewer, bits_per_second, "trying whether more gets through");
                    member.path.try_more(bits_per_second, now);
                }
            }
            Decision::Thin { viewer, on } => {
                if let Some(member) = members.get(&viewer) {
                    match lines.take(1.0, now) {
                        true => info!(viewer, on, "thinned"),
                        false => debug!(viewer, on, "thinned"),
                    }
                    member.assigned.send_modify(|a| a.thinned = on);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Looks until nobody is there.
async fn look(quality: Weak<Quality>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(quality) = quality.upgrade() else {
            return;
        };
        let mut state = quality.lock();
        quality.poll(&mut state, Instant::now());
        if state.members.is_empty() {
            state.looking = false;
            return;
        }
    }
}

impl Seat {
    /// What the viewer is to be sent; changes are told.
    pub(super) fn assigned(&self) -> watch::Receiver<Assignment> {
        self.assigned.clone()
    }

    /// Asks for a key frame of what they watch, as often as they may.
    pub(super) fn request_key_frame(&self) {
        let allowed = {
            let mut state = self.quality.lock();
            let tiers = state.tiers.get_mut(&self.codec);
            tiers.is_some_and(|t| t.may_force_key_frame(self.id, Instant::now()))
        };
        if allowed {
            let encoding = self.assigned.borrow().encoding;
            self.needs_key_frame(Stream::Video(encoding));
        } else {
            debug!("a key frame would cost the others too much");
        }
    }

    /// Has a key frame made of what they begin with or change to; where they have just come
    /// and others watch it, at the newcomers' cost.
    pub(super) fn needs_key_frame(&self, stream: Stream) {
        let is_newcomer = self.of_tier(stream, |tiers, tier| {
            tiers.is_newcomer(self.id, tier, Instant::now())
        });
        match is_newcomer {
            true => self.quality.hub.request_for_newcomer(stream),
            false => self.quality.hub.request_key_frame(stream),
        }
    }

    /// They may need one in a moment.
    pub(super) fn is_expected(&self, stream: Stream) {
        let others_watch = self.of_tier(stream, |tiers, tier| tiers.others_watch(self.id, tier));
        self.quality.hub.expect_viewer(stream, others_watch);
    }

    fn of_tier(&self, stream: Stream, ask: impl Fn(&Tiers, usize) -> bool) -> bool {
        let Stream::Video(encoding) = stream else {
            return false;
        };
        let state = self.quality.lock();
        let tiers = state.tiers.get(&encoding.codec);
        tiers.is_some_and(|tiers| ask(tiers, encoding.tier))
    }

    /// Their path has shown.
    pub(super) fn is_there(&self) {
        let now = Instant::now();
        let mut state = self.quality.lock();
        let State { tiers, members, .. } = &mut *state;
        let Some(member) = members.get_mut(&self.id).filter(|m| !m.is_there) else {
            return;
        };
        member.is_there = true;
        if let Some(tiers) = tiers.get_mut(&self.codec) {
            tiers.is_there(self.id, now);
        }
        self.quality.poll(&mut state, now);
    }

    /// They are sent this much of what there is. What one is not sent they can say
    /// nothing of that would count for others.
    pub(super) fn takes(&self, taken: Taken) {
        let now = Instant::now();
        let mut state = self.quality.lock();
        let State { tiers, members, .. } = &mut *state;
        let Some(member) = members.get_mut(&self.id) else {
            return;
        };
        member.takes = taken;
        if let Some(tiers) = tiers.get_mut(&self.codec) {
            tiers.takes(self.id, taken.picture, now);
        }
    }

    /// How many tiers they can choose from; told again when their choice is void.
    pub(super) fn choice(&self) -> watch::Receiver<usize> {
        self.quality.count.subscribe()
    }

    /// They want this tier, or what suits their path.
    pub(super) fn pin(&self, tier: Option<usize>) {
        let mut state = self.quality.lock();
        if let Some(tiers) = state.tiers.get_mut(&self.codec) {
            tiers.pin(self.id, tier);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.quality.lock();
        state.members.remove(&self.id);
        if let Some(tiers) = state.tiers.get_mut(&self.codec) {
            tiers.leave(self.id);
        }
    }
}

#[cfg(test)]
mod tests;
