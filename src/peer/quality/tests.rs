//! What a viewer causes who lies, in simulated time.

use super::*;
use crate::logging::journal::journal;
use crate::media::hub::HubThread;
use crate::media::replay::Replay;
use crate::peer::path::known::Bounds;
use crate::rate::TierRange;

/// The most that is told of a path, in bit/s.
const MOST: u32 = 2_500_000;

struct Bench {
    quality: Arc<Quality>,
    now: Instant,
    _thread: HubThread,
}

impl Bench {
    /// Nothing looks by itself: the runtime is never given a turn.
    fn new() -> Self {
        let clip = include_bytes!("../../../tests/fixtures/clip.h264");
        let (hub, thread) = Hub::start(Box::new(Replay::new(clip, 30)), None);
        let tier = |steady, ceiling| TierRange {
            floor: 100_000,
            steady,
            ceiling,
        };
        let settings = Settings {
            tiers: vec![tier(550_000, 2_000_000), tier(150_000, 700_000)],
            audio: 50_000,
        };
        Self {
            quality: Quality::new(hub, settings),
            now: Instant::now(),
            _thread: thread,
        }
    }

    /// Somebody whose path has shown, and who takes what there is.
    fn viewer(&self) -> (Seat, Path) {
        let sdp = include_str!("../../../tests/fixtures/offer-chromium.sdp");
        let offer = Offer::parse(sdp).expect("an offer");
        let path = Path::new(Bounds::up_to(MOST));
        let seat = self.quality.join(&offer, path.clone());
        seat.is_there();
        (seat, path)
    }

    fn pass(&mut self, time: Duration, mut each: impl FnMut(u32, Instant)) {
        for tick in 0..(time.as_millis() / TICK.as_millis()) as u32 {
            self.now += TICK;
            each(tick, self.now);
            self.quality.poll(&mut self.quality.lock(), self.now);
        }
    }

    fn loss_percent(&self) -> u8 {
        self.quality.lock().sound.loss_percent
    }
}

/// A receiver's word for how much of the sound it lost made everybody's worse, though
/// it was sent none of it.
#[tokio::test]
async fn who_takes_no_sound_has_no_say_in_how_it_is_protected() {
    let mut bench = Bench::new();
    let (_honest, heard) = bench.viewer();
    let (liar, lies) = bench.viewer();
    liar.takes(Taken {
        picture: false,
        sound: false,
    });
    let minute = Duration::from_secs(60);
    bench.pass(minute, |_, now| {
        heard.sound_lost(0.0, now);
        lies.sound_lost(1.0, now);
    });
    assert_eq!(bench.loss_percent(), 0);
    // Of one who takes it, it counts.
    liar.takes(Taken {
        picture: false,
        sound: true,
    });
    bench.pass(minute, |_, now| {
        heard.sound_lost(0.0, now);
        lies.sound_lost(1.0, now);
    });
    assert!(bench.loss_percent() > 0);
}

/// So it was with two calls on hold and the picture.
#[tokio::test]
async fn who_takes_no_picture_has_no_say_in_its_bitrate() {
    let mut bench = Bench::new();
    let (_honest, wide) = bench.viewer();
    let liars = [bench.viewer(), bench.viewer()];
    let carries = |path: &Path, bits_per_second| {
        let mut known = path.lock();
        known.estimate.bits_per_second = bits_per_second;
        known.estimate.open = false;
    };
    for (seat, _) in &liars {
        seat.takes(Taken {
            picture: false,
            sound: false,
        });
    }
    bench.pass(Duration::from_secs(20), |_, _| {
        carries(&wide, MOST);
        for (_, path) in &liars {
            carries(path, 900_000);
        }
    });
    let state = bench.quality.lock();
    let rate = state.tiers[&VideoCodec::H264].rate_of(0);
    assert_eq!(rate, Some(2_000_000));
}

/// A REMB ten times a second, once little and once much, was a line each.
#[tokio::test]
async fn a_path_that_is_said_to_change_all_the_time_fills_no_log() {
    let mut bench = Bench::new();
    let (seat, path) = bench.viewer();
    seat.pin(Some(0));
    let text = journal(|| {
        bench.pass(Duration::from_secs(60), |tick, _| {
            let mut known = path.lock();
            known.estimate.open = false;
            known.estimate.bits_per_second = match tick % 2 {
                0 => 100_000,
                _ => MOST,
            };
            drop(known);
            // Another quality as often as one may.
            seat.pin(Some(tick as usize / 20 % 2));
        });
    });
    assert!(text.contains("thinned"), "{text}");
    assert!(text.contains("another quality"), "{text}");
    assert!(text.len() < 10_000, "{} bytes:\n{text}", text.len());
}
