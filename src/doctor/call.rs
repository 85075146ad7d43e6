//! A call to itself over the loopback: the device's own encoder, connection
//! and sender, and a receiver that counts. It shows that frames arrive, where
//! their time goes, and which addresses callers are offered.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::caller::{Caller, Heard, Received};
use super::finding::{Check, Finding};
use crate::agent::{PeerEvent, Person, SessionId};
use crate::config::{AudioSource, Config, IceConfig, VideoSource};
use crate::device::led::Led;
use crate::media::element;
use crate::media::gst::GstSource;
use crate::media::hub::Hub;
use crate::media::hub::HubThread;
use crate::media::latency::{LatencyReport, Stage};
use crate::media::probe::Encoders;
use crate::media::status::State;
use crate::peer::stages::Stages;
use crate::peer::{Identity, Peers, Quality};
use crate::rate::Settings;
use crate::sdp::{Offer, RemoteCandidate, VideoCodec};
use crate::servers::Servers;
use crate::wire::{Candidate, UserName};

pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// Until the first picture: a camera has to be opened.
const FIRST: Duration = Duration::from_secs(6);
/// Watched after it.
const WATCHED: Duration = Duration::from_secs(3);
/// For closing the connection and the devices.
const CLOSE: Duration = Duration::from_millis(700);
const EVENTS: usize = 64;
/// More than this from capture to the socket is felt in a conversation.
const SLOW: Duration = Duration::from_millis(150);

/// Which of the configured sources can be used; the others are replaced by
/// their tests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sources {
    pub camera: bool,
    pub microphone: bool,
}

/// What was seen of the call. Times count from the offer.
#[derive(Debug, Default)]
struct Seen {
    answered: Option<Duration>,
    connected: Option<Duration>,
    first_picture: Option<Duration>,
    /// Frames a second that arrived.
    rate: f64,
    sounds: u32,
    candidates: Vec<Candidate>,
    latency: LatencyReport,
    /// How the device saw it begin.
    stages: Option<Stages>,
    /// What the device said of its end.
    failed: Option<String>,
    /// Why viewers saw the slate instead of the picture.
    lost: Option<String>,
}

impl Seen {
    /// What came to the caller, who offered then.
    fn take(&mut self, received: &Received, offered: Instant) {
        self.sounds = received.sounds;
        if let (Some(first), Some(last)) = (received.first_picture, received.last_picture) {
            self.first_picture = Some(first - offered);
            let over = (last - first).as_secs_f64();
            if over > 0.0 {
                self.rate = f64::from(received.pictures.saturating_sub(1)) / over;
            }
        }
    }
}

/// The report of the stages goes to `tell`, beside the findings.
pub(super) async fn check(
    config: Config,
    encoders: Arc<Encoders>,
    sources: Sources,
    tell: oneshot::Sender<LatencyReport>,
) -> Vec<Finding> {
    let mut used = config.clone();
    if !sources.camera {
        used.video.take(VideoSource::Test);
    }
    if !sources.microphone && used.audio.source != AudioSource::None {
        used.audio.source = AudioSource::Test;
        used.audio.pipeline = None;
    }
    let picture = match used.video.source {
        VideoSource::Test => "the test picture",
        VideoSource::V4l2 => "the camera",
        VideoSource::Custom => "video.pipeline",
    };
    let with_sound = used.audio.source != AudioSource::None;
    match call(used, encoders).await {
        Ok(seen) => {
            let mut findings = judge(picture, with_sound, config.video.fps, &seen);
            findings.push(judge_candidates(&config, &seen.candidates));
            let _ = tell.send(seen.latency);
            findings
        }
        Err(problem) => vec![Finding::error(
            Check::Call,
            format!("the device could not call itself: {problem}"),
            "mend what is marked above first; if nothing is, report this",
        )],
    }
}

/// The device's half, as the daemon has it.
struct Device {
    hub: Hub,
    media: HubThread,
    peers: Arc<Peers>,
    events: mpsc::Receiver<(SessionId, PeerEvent)>,
}

/// Blocks while the certificate is made.
fn device(config: &Config, encoders: Arc<Encoders>) -> Result<Device, String> {
    element::init().map_err(|e| e.to_string())?;
    let found = encoders.best(VideoCodec::H264).map_err(|e| e.to_string())?;
    let profile = found.report.profile();
    let (video, audio) = (config.video.clone(), config.audio.clone());
    let led = Led::new(config.led.path.as_deref()).map_err(|e| e.to_string())?;
    let source = GstSource::new(video, audio, found.encoder, encoders).with_led(led);
    let (hub, media) = Hub::start(Box::new(source), profile);
    let (tell, events) = mpsc::channel(EVENTS);
    // Secrets that cannot be read are the configuration's finding.
    let ice = IceConfig {
        loopback: true,
        ..config.ice.clone()
    };
    let bare = IceConfig {
        servers: Vec::new(),
        ..ice.clone()
    };
    let servers = Servers::load(&ice)
        .or_else(|_| Servers::load(&bare))
        .map_err(|e| e.to_string())?;
    let with_audio = config.audio.source != AudioSource::None;
    let quality = Quality::new(
        hub.clone(),
        Settings::of(config, config.video.shown_size(), 0, false),
    );
    let controls = Vec::new();
    let identity = Identity::new().map_err(|e| e.to_string())?;
    let peers = Peers::new(
        hub.clone(),
        quality,
        with_audio,
        controls,
        servers,
        identity,
        tell,
    );
    Ok(Device {
        hub,
        media,
        peers: Arc::new(peers),
        events,
    })
}

async fn call(config: Config, encoders: Arc<Encoders>) -> Result<Seen, String> {
    let device = tokio::task::spawn_blocking(move || device(&config, encoders))
        .await
        .map_err(|e| e.to_string())??;
    let (caller, mut heard) = Caller::new().await.map_err(|e| e.to_string())?;
    let Device {
        hub,
        media,
        peers,
        mut events,
    } = device;

    let offered = Instant::now();
    let sdp = caller.offer().await.map_err(|e| e.to_string())?;
    let offer = Offer::parse(&sdp).map_err(|e| e.to_string())?;
    let name = UserName::parse("doctor")?;
    let called = (&name, Person::named(&name));
    let peer = peers.open(SessionId::new(1), called, None, Box::new(offer));

    let (mut seen, mut early) = (Seen::default(), Vec::new());
    let mut look = tokio::time::interval(Duration::from_millis(50));
    loop {
        tokio::select! {
            event = events.recv() => match event.map(|(_, event)| event) {
                Some(PeerEvent::Answered { sdp }) => {
                    seen.answered = Some(offered.elapsed());
                    caller.answer(sdp).await.map_err(|e| e.to_string())?;
                    for candidate in early.drain(..) {
                        let _ = caller.candidate(candidate).await;
                    }
                }
                Some(PeerEvent::Candidate(candidate)) => {
                    seen.candidates.push(candidate.clone());
                    if seen.answered.is_none() {
                        early.push(candidate);
                    } else {
                        let _ = caller.candidate(candidate).await;
                    }
                }
                Some(PeerEvent::Failed(problem)) => {
                    seen.failed = Some(problem.words.into_owned());
                    break;
                }
                Some(PeerEvent::Left) | None => break,
                Some(_) => {}
            },
            Some(heard) = heard.recv() => match heard {
                Heard::Candidate(candidate) => {
                    if let Ok(candidate) = RemoteCandidate::read(&candidate.candidate) {
                        peer.add_candidate(candidate);
                    }
                }
                Heard::Connected => {
                    seen.connected.get_or_insert(offered.elapsed());
                }
            },
            _ = look.tick() => match caller.received().first_picture {
                Some(first) if first.elapsed() > WATCHED => break,
                None if offered.elapsed() > FIRST => break,
                Some(_) | None => {}
            },
        }
    }

    seen.take(&caller.received(), offered);
    seen.stages = peers.begun().newest();
    seen.latency = hub.latency().report(Instant::now());
    let status = hub.status().borrow().video.clone();
    if status.state == State::Lost {
        seen.lost = Some(status.reason);
    }
    let goodbye = async {
        tokio::join!(caller.close(), peer.close());
        let stopped = tokio::task::spawn_blocking(move || media.stop());
        let _ = stopped.await;
    };
    // A driver that hangs keeps its thread; what was seen stays.
    let _ = tokio::time::timeout(CLOSE, goodbye).await;
    Ok(seen)
}

fn judge(picture: &str, with_sound: bool, fps: u32, seen: &Seen) -> Vec<Finding> {
    const CHECK: Check = Check::Call;
    let ms = |duration: Option<Duration>| duration.map_or(0, |d| d.as_millis());
    if seen.connected.is_none() {
        let why = seen.failed.as_deref().unwrap_or("no path came up");
        return vec![Finding::error(
            CHECK,
            format!("a call from this device to itself did not connect: {why}"),
            "see that no firewall rule keeps UDP on the loopback (lo) away, and that the service \
             may open sockets",
        )];
    }
    let Some(first) = seen.first_picture else {
        return vec![Finding::error(
            CHECK,
            format!("called itself with {picture}: connected, and no picture arrived"),
            "mend camera and encoder above; RUST_LOG=debug in the environment shows what they say",
        )];
    };
    if let Some(why) = &seen.lost {
        return vec![Finding::error(
            CHECK,
            format!("called itself, and saw no more than that {picture} is lost: {why}"),
            "mend the camera above",
        )];
    }
    let mut findings = vec![Finding::ok(
        CHECK,
        format!(
            "called itself with {picture}: answered after {} ms, connected {}, first picture {}; \
             {:.1} frames/s arrive",
            ms(seen.answered),
            ms(seen.connected),
            first.as_millis(),
            seen.rate
        ),
    )];
    if with_sound && seen.sounds == 0 {
        findings.push(Finding::warning(
            CHECK,
            "no sound arrived in that call",
            "mend the microphone above, or set audio.source = \"none\"",
        ));
    }
    if let Some(stages) = &seen.stages {
        let what = format!("how it began, in ms from the offer: {stages}");
        findings.push(Finding::ok(CHECK, what));
    }
    findings.extend(judge_latency(fps, &seen.latency));
    findings
}

fn judge_latency(fps: u32, latency: &LatencyReport) -> Option<Finding> {
    const CHECK: Check = Check::Call;
    let total = latency.stage(Stage::Total)?;
    let what = format!("latency in ms, half and 95 % of frames: {latency}");
    let frame = Duration::from_secs(1) / fps.max(1);
    let encode = latency.stage(Stage::Encode);
    let smaller = "take a smaller picture (video.width, video.height), fewer frames (video.fps), \
                   or another row in video.encoder";
    Some(match encode {
        Some(encode) if encode.p50 > frame => Finding::warning(
            CHECK,
            format!("{what}; the encoder takes longer than a frame lasts"),
            smaller,
        ),
        _ if total.p95 > SLOW => Finding::hint(CHECK, format!("{what}; this can be felt"), smaller),
        _ => Finding::ok(CHECK, what),
    })
}

/// Type and address of a candidate line (RFC 8839 §5.1).
fn kind_and_address(candidate: &str) -> Option<(&str, &str)> {
    let mut words = candidate.split_whitespace();
    let address = words.nth(4)?;
    words.find(|word| *word == "typ")?;
    Some((words.next()?, address))
}

fn judge_candidates(config: &Config, candidates: &[Candidate]) -> Finding {
    const CHECK: Check = Check::Candidates;
    let mut kinds = BTreeMap::<&str, usize>::new();
    let mut reachable = false;
    for candidate in candidates {
        let Some((kind, address)) = kind_and_address(&candidate.candidate) else {
            continue;
        };
        // The doctor's own call has loopback addresses in any case.
        if address.parse().is_ok_and(|a: IpAddr| a.is_loopback()) && kind == "host" {
            continue;
        }
        reachable = true;
        *kinds.entry(kind).or_default() += 1;
    }
    let list: Vec<_> = kinds
        .iter()
        .map(|(kind, n)| format!("{n} {kind}"))
        .collect();
    let list = list.join(", ");
    let has = |turn: bool| {
        let mut urls = config.ice.servers.iter().flat_map(|s| &s.urls);
        urls.any(|url| url.turn == turn)
    };
    if !reachable {
        return Finding::warning(
            CHECK,
            "callers are offered no address but the loopback",
            "connect this device to a network: `ip address` shows what it has",
        );
    }
    if has(true) && !kinds.contains_key("relay") {
        return Finding::warning(
            CHECK,
            format!("callers are offered {list}, and no relay"),
            "see the TURN server above",
        );
    }
    if !has(false) && !has(true) {
        return Finding::hint(
            CHECK,
            format!("callers are offered {list}: good within this network"),
            "for callers elsewhere name a STUN and a TURN server in ice.servers",
        );
    }
    Finding::ok(CHECK, format!("callers are offered {list}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;
    use crate::media::latency::Latency;
    use std::path::Path;

    const MS: Duration = Duration::from_millis(1);

    fn candidate(address: &str, kind: &str) -> Candidate {
        Candidate {
            candidate: format!("candidate:1 1 udp 2122260223 {address} 54321 typ {kind}"),
            sdp_mid: None,
            sdp_mline_index: None,
            username_fragment: None,
        }
    }

    fn config(servers: &str) -> Config {
        Config::parse(servers, Path::new("x")).expect("valid")
    }

    const TURN: &str = "[[ice.servers]]\nurls = [\"turn:t\"]\nsecret_file = \"/x\"\n";

    #[test]
    fn loopback_alone_reaches_nobody() {
        let finding = judge_candidates(&config(""), &[candidate("127.0.0.1", "host")]);
        assert_eq!(finding.severity, Severity::Warning);
    }

    #[test]
    fn a_relay_is_missed_where_turn_is_configured() {
        let host = candidate("192.0.2.1", "host");
        let relay = candidate("192.0.2.9", "relay");
        let without = judge_candidates(&config(TURN), std::slice::from_ref(&host));
        assert_eq!(without.severity, Severity::Warning);
        let with = judge_candidates(&config(TURN), &[host.clone(), relay]);
        assert_eq!(with.severity, Severity::Ok);
        assert_eq!(with.what, "callers are offered 1 host, 1 relay");
        let lan = judge_candidates(&config(""), &[host]);
        assert_eq!(lan.severity, Severity::Hint);
    }

    fn latency(encode: Duration, total: Duration) -> LatencyReport {
        let now = Instant::now();
        let latency = Latency::new(now);
        latency.record(Stage::Encode, encode, now);
        latency.record(Stage::Total, total, now);
        latency.report(now)
    }

    #[test]
    fn an_encoder_slower_than_the_frames_is_a_warning() {
        let judged = |encode, total| {
            let finding = judge_latency(30, &latency(MS * encode, MS * total));
            finding.expect("measured").severity
        };
        assert_eq!(judged(5, 20), Severity::Ok);
        assert_eq!(judged(40, 60), Severity::Warning);
        assert_eq!(judged(20, 300), Severity::Hint);
        assert_eq!(judge_latency(30, &LatencyReport::default()), None);
    }

    #[test]
    fn no_connection_no_picture_and_no_sound_have_their_own_words() {
        let mut seen = Seen::default();
        let worst = |seen: &Seen| {
            let findings = judge("the camera", true, 30, seen);
            findings
                .into_iter()
                .max_by_key(|f| f.severity)
                .expect("one")
        };
        assert!(worst(&seen).what.contains("did not connect"));
        seen.connected = Some(MS * 90);
        assert!(worst(&seen).what.contains("no picture arrived"));
        seen.first_picture = Some(MS * 120);
        let silent = worst(&seen);
        assert_eq!(silent.severity, Severity::Warning);
        assert!(silent.what.contains("no sound"), "{silent:?}");
        seen.sounds = 10;
        assert_eq!(worst(&seen).severity, Severity::Ok);
        // A slate is a picture too, but not the camera's.
        seen.lost = Some("unplugged".into());
        assert!(worst(&seen).what.contains("lost: unplugged"));
    }
}
