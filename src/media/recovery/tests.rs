//! In simulated time.

mod signals;

use super::*;

const H264: Encoding = Encoding::H264;

/// A camera and an encoder that work or do not, and what viewers see.
struct Bench {
    recovery: Recovery,
    now: Instant,
    start: Instant,
    /// The camera is there and gives frames.
    works: bool,
    /// Its pipeline is open.
    open: bool,
    /// The encoder gives frames, from this row on.
    encoder_works_from: usize,
    row: usize,
    encoded: Option<Instant>,
    source: Option<Instant>,
    actions: Vec<(Duration, Action)>,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Bench {
    fn new(announced: bool) -> Self {
        let now = Instant::now();
        Self {
            recovery: Recovery::new(Limits::for_rate(30), announced, 7),
            now,
            start: now,
            works: true,
            open: false,
            encoder_works_from: 0,
            row: 0,
            encoded: None,
            source: None,
            actions: Vec::new(),
        }
    }

    fn watched() -> Self {
        let mut bench = Self::new(true);
        bench.event(Event::Watched);
        bench.event(Event::EncoderStarted(H264));
        bench
    }

    fn event(&mut self, event: Event) {
        self.recovery.handle(event, self.now);
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.recovery.next_action() {
            self.actions.push((self.now - self.start, action));
            match action {
                Action::OpenCamera => self.open = true,
                Action::CloseCamera => self.open = false,
                Action::ShowCamera | Action::ShowSlate(_) => {
                    self.recovery.handle(Event::EncoderStarted(H264), self.now);
                }
                Action::ShowNothing => {}
                Action::RestartEncoder(codec) => {
                    self.recovery.handle(Event::EncoderStarted(codec), self.now);
                }
                Action::NextEncoder(codec) => {
                    self.row += 1;
                    self.recovery.handle(Event::EncoderStarted(codec), self.now);
                }
            }
        }
    }

    /// Lets time pass in steps of a frame.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.now += ms(33);
            let slate = matches!(self.recovery.shown, Shown::Slate(_));
            if self.open && self.works {
                if !self.recovery.is_live() {
                    self.event(Event::CameraFlows);
                }
                self.source = Some(self.now);
            }
            if slate {
                self.source = Some(self.now);
            }
            let fed = self.source == Some(self.now);
            if fed && self.row >= self.encoder_works_from {
                self.encoded = Some(self.now);
            }
            let (source, encoded) = (self.source, self.encoded);
            self.recovery.observe(self.now, source, |_| encoded);
            self.act();
        }
    }

    fn count(&self, wanted: Action) -> usize {
        self.actions.iter().filter(|(_, a)| *a == wanted).count()
    }

    fn last(&self, wanted: Action) -> Duration {
        let last = self.actions.iter().rfind(|(_, a)| *a == wanted);
        last.unwrap_or_else(|| panic!("{wanted:?} in {:?}", self.actions))
            .0
    }
}

#[test]
fn a_camera_that_works_is_opened_and_shown_without_a_slate() {
    let mut bench = Bench::watched();
    bench.pass(Duration::from_secs(60));
    assert_eq!(
        bench.actions.iter().map(|(_, a)| *a).collect::<Vec<_>>(),
        [Action::OpenCamera, Action::ShowCamera]
    );
    assert_eq!(bench.recovery.status().state, State::Live);
    bench.event(Event::Unwatched);
    assert_eq!(bench.count(Action::CloseCamera), 1);
    assert_eq!(bench.recovery.status(), StreamStatus::default());
    assert_eq!(bench.recovery.poll_timeout(bench.now), None);
}

#[test]
fn a_slow_camera_is_announced_by_a_slate_and_then_shown() {
    let mut bench = Bench::watched();
    bench.works = false;
    bench.pass(ms(900));
    assert_eq!(bench.recovery.status().state, State::Starting);
    assert_eq!(bench.count(Action::ShowSlate(Slate::Starting)), 0);
    bench.pass(ms(200));
    assert_eq!(bench.count(Action::ShowSlate(Slate::Starting)), 1);
    bench.works = true;
    bench.pass(ms(100));
    assert_eq!(bench.count(Action::ShowCamera), 1);
    assert_eq!(bench.recovery.status().state, State::Live);
}

#[test]
fn a_silent_camera_is_seen_within_two_seconds_and_comes_back_when_announced() {
    let mut bench = Bench::watched();
    bench.pass(Duration::from_secs(5));
    bench.works = false;
    let gone = bench.now - bench.start;
    bench.pass(ms(2_000));
    assert!(bench.last(Action::ShowSlate(Slate::Lost)) - gone < ms(2_000));
    let status = bench.recovery.status();
    assert_eq!(status.state, State::Lost);
    assert!(status.reason.contains("no picture"), "{status:?}");
    // For an hour nothing comes; the waits have grown.
    bench.pass(Duration::from_secs(3_600));
    bench.works = true;
    let back = bench.now - bench.start;
    bench.event(Event::CameraFailed {
        reason: "no such device".into(),
        absent: true,
        unannounced: false,
    });
    bench.event(Event::Announced);
    bench.pass(ms(200));
    assert!(bench.last(Action::ShowCamera) - back < ms(200));
    assert_eq!(bench.recovery.status().state, State::Live);
}

#[test]
fn tries_grow_apart_up_to_half_a_minute_and_never_stop() {
    let mut bench = Bench::watched();
    bench.pass(ms(500));
    bench.works = false;
    let mut waits = Vec::new();
    for _ in 0..12 {
        let failed = bench.now;
        bench.event(Event::CameraFailed {
            reason: "gone".into(),
            absent: false,
            unannounced: false,
        });
        let tries = bench.count(Action::OpenCamera);
        while bench.count(Action::OpenCamera) == tries {
            bench.pass(ms(33));
        }
        waits.push(bench.now - failed);
    }
    assert!(waits[0] < ms(700), "{waits:?}");
    assert!(waits[11] > Duration::from_secs(20), "{waits:?}");
    assert!(
        waits.iter().all(|w| *w < Duration::from_secs(39)),
        "{waits:?}"
    );
}

#[test]
fn where_nothing_announces_a_device_an_absent_one_is_looked_for_every_second() {
    let mut bench = Bench::new(false);
    bench.event(Event::Watched);
    for _ in 0..60 {
        bench.event(Event::CameraFailed {
            reason: "is not there".into(),
            absent: true,
            unannounced: false,
        });
        let tries = bench.count(Action::OpenCamera);
        bench.pass(ms(1_400));
        assert!(bench.count(Action::OpenCamera) > tries);
    }
}

#[test]
fn an_encoder_that_stalls_is_started_again_and_then_replaced() {
    let mut bench = Bench::watched();
    bench.pass(Duration::from_secs(5));
    bench.encoder_works_from = 1;
    let stalled = bench.now - bench.start;
    bench.pass(ms(1_800));
    assert!(bench.last(Action::RestartEncoder(H264)) - stalled < ms(2_000));
    let status = bench.recovery.status();
    assert_eq!(status.state, State::Lost);
    assert!(status.reason.contains("nothing came out"), "{status:?}");
    bench.pass(ms(3_000));
    assert_eq!(bench.count(Action::NextEncoder(H264)), 1);
    bench.pass(ms(500));
    assert_eq!(bench.recovery.status().state, State::Live);
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.row, 1);
    assert_eq!(
        bench.count(Action::ShowSlate(Slate::Lost)),
        0,
        "the camera was well"
    );
}

#[test]
fn an_encoder_that_says_twice_that_it_failed_has_failed_once() {
    let mut bench = Bench::watched();
    bench.pass(Duration::from_secs(5));
    for reason in ["an error", "it ended"] {
        let event = Event::EncoderFailed(H264, reason.to_owned());
        bench.recovery.handle(event, bench.now);
    }
    bench.act();
    assert_eq!(bench.count(Action::RestartEncoder(H264)), 1);
    assert_eq!(bench.row, 0);
}

#[test]
fn a_fault_a_day_replaces_no_encoder() {
    let mut bench = Bench::watched();
    for _ in 0..10 {
        bench.pass(Duration::from_secs(3_600));
        bench.event(Event::EncoderFailed(H264, "starved".into()));
    }
    assert_eq!(bench.count(Action::RestartEncoder(H264)), 10);
    assert_eq!(bench.row, 0);
}

#[test]
fn when_no_encoder_works_they_are_tried_in_turn_without_haste() {
    let mut bench = Bench::watched();
    bench.encoder_works_from = usize::MAX;
    bench.pass(Duration::from_secs(1));
    for _ in 0..100 {
        bench.event(Event::EncoderFailed(H264, "broken".into()));
        bench.pass(ms(100));
    }
    let mends = bench.actions.len();
    assert!(mends < 20, "{mends}");
    assert!(bench.row >= 2);
}

#[test]
fn a_silent_camera_is_no_fault_of_the_encoder() {
    let mut bench = Bench::watched();
    bench.pass(Duration::from_secs(5));
    bench.works = false;
    bench.pass(Duration::from_secs(20));
    assert_eq!(bench.count(Action::RestartEncoder(H264)), 0);
}

#[test]
fn one_frame_a_second_is_no_silence() {
    let mut recovery = Recovery::new(Limits::for_rate(1), true, 1);
    let start = Instant::now();
    recovery.handle(Event::Watched, start);
    recovery.handle(Event::EncoderStarted(H264), start);
    recovery.handle(Event::CameraFlows, start);
    while recovery.next_action().is_some() {}
    for second in 1..60 {
        let frame = start + Duration::from_secs(second);
        for late in [100, 600, 990] {
            let now = frame + ms(late);
            recovery.observe(now, Some(frame), |_| Some(frame + ms(50)));
            assert_eq!(recovery.next_action(), None);
        }
    }
    assert_eq!(recovery.status().state, State::Live);
}

#[test]
fn late_news_of_a_camera_that_nobody_watches_is_ignored() {
    let mut bench = Bench::watched();
    bench.event(Event::Unwatched);
    let before = bench.actions.len();
    bench.event(Event::CameraFlows);
    bench.event(Event::Announced);
    bench.event(Event::EncoderFailed(H264, "gone".into()));
    bench.event(Event::CameraFailed {
        reason: "gone".into(),
        absent: false,
        unannounced: false,
    });
    assert_eq!(bench.actions.len(), before);
}

/// Whatever happens: somebody who watches sees the camera or the slate within
/// two seconds, a camera is never opened twice, and nothing is done for nobody.
#[test]
fn any_order_of_events_keeps_the_promises() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::new(random.bool());
        let mut watched_since = None;
        for _ in 0..200 {
            match random.u8(..9) {
                0 => {
                    bench.event(Event::Watched);
                    bench.event(Event::EncoderStarted(H264));
                    watched_since.get_or_insert(bench.now);
                }
                1 => {
                    bench.event(Event::Unwatched);
                    watched_since = None;
                }
                2 => bench.event(Event::CameraFlows),
                3 => bench.event(Event::CameraFailed {
                    reason: "gone".into(),
                    absent: random.bool(),
                    unannounced: false,
                }),
                4 => bench.event(Event::Announced),
                5 => bench.event(Event::EncoderFailed(H264, "broken".into())),
                6 => bench.works = random.bool(),
                _ => bench.pass(ms(random.u64(..3_000))),
            }
            let shown = bench.recovery.shown;
            match watched_since {
                None => assert_eq!(shown, Shown::Nothing, "seed {seed}"),
                Some(since) if bench.now - since > ms(2_000) => {
                    assert_ne!(shown, Shown::Nothing, "seed {seed}");
                }
                Some(_) => {}
            }
            let mut open = false;
            for (_, action) in &bench.actions {
                match action {
                    Action::OpenCamera => {
                        assert!(!open, "seed {seed}: opened twice");
                        open = true;
                    }
                    Action::CloseCamera => open = false,
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn for_privacy_the_camera_is_closed_and_a_slate_says_so() {
    let mut bench = Bench::watched();
    bench.pass(ms(1_000));
    bench.event(Event::Private(true));
    assert!(!bench.open);
    assert_eq!(bench.count(Action::ShowSlate(Slate::Private)), 1);
    assert_eq!(bench.recovery.status().state, State::Private);
    // Neither time nor a camera that is plugged in opens it.
    bench.event(Event::Announced);
    bench.pass(Duration::from_secs(120));
    assert!(!bench.open);
    assert_eq!(bench.recovery.status().state, State::Private);
    bench.event(Event::Private(false));
    bench.pass(ms(100));
    assert_eq!(bench.recovery.status().state, State::Live);
    assert_eq!(bench.count(Action::OpenCamera), 2);
}

/// Who came with a decoder that the camera's own stream is too much for had no picture
/// for as long as it was open.
#[test]
fn a_camera_that_is_opened_for_other_viewers_is_opened_anew_and_at_once() {
    let mut bench = Bench::watched();
    bench.event(Event::Outdated);
    bench.pass(ms(1_000));
    bench.event(Event::Outdated);
    assert_eq!(bench.count(Action::ShowSlate(Slate::Lost)), 0, "no fault");
    bench.pass(ms(500));
    assert!(bench.open);
    assert_eq!(bench.recovery.status().state, State::Live);
    assert_eq!(bench.count(Action::OpenCamera), 3);
    assert_eq!(bench.count(Action::CloseCamera), 2);
    // One that is closed stays so, and so does one that waits.
    bench.event(Event::Private(true));
    bench.event(Event::Outdated);
    bench.pass(ms(500));
    assert!(!bench.open);
    bench.event(Event::Private(false));
    bench.event(Event::Unwatched);
    bench.event(Event::Outdated);
    assert!(!bench.open);
}

#[test]
fn who_comes_while_there_is_privacy_sees_the_slate_and_nothing_is_opened() {
    let mut bench = Bench::new(true);
    bench.event(Event::Private(true));
    assert_eq!(bench.recovery.status(), StreamStatus::default());
    bench.event(Event::Watched);
    bench.event(Event::EncoderStarted(H264));
    bench.pass(ms(500));
    assert_eq!(bench.count(Action::OpenCamera), 0);
    assert_eq!(bench.count(Action::ShowSlate(Slate::Private)), 1);
    bench.event(Event::Unwatched);
    bench.event(Event::Private(false));
    assert_eq!(bench.count(Action::OpenCamera), 0, "nobody watches");
    bench.event(Event::Watched);
    assert!(bench.open);
}

#[test]
fn privacy_holds_for_a_camera_that_is_lost_or_being_opened() {
    for lost in [false, true] {
        let mut bench = Bench::watched();
        bench.works = false;
        bench.pass(ms(200));
        if lost {
            bench.event(Event::CameraFailed {
                reason: "unplugged".to_owned(),
                absent: true,
                unannounced: false,
            });
        }
        bench.event(Event::Private(true));
        assert!(!bench.open);
        let opened = bench.count(Action::OpenCamera);
        // What its opening comes to in the end is nobody's any more.
        bench.event(Event::CameraFlows);
        bench.event(Event::CameraFailed {
            reason: "late".to_owned(),
            absent: false,
            unannounced: false,
        });
        bench.pass(Duration::from_secs(60));
        assert_eq!(bench.count(Action::OpenCamera), opened);
        assert_eq!(bench.recovery.status().state, State::Private);
        assert_eq!(bench.recovery.status().reason, "");
    }
}

#[test]
fn a_slate_says_that_a_camera_which_takes_its_time_is_lost_when_it_is() {
    let mut bench = Bench::watched();
    bench.works = false;
    bench.pass(Duration::from_secs(11));
    let slates = bench.actions.iter().map(|(_, action)| *action);
    let slates: Vec<_> = slates
        .filter(|action| matches!(action, Action::ShowSlate(_)))
        .collect();
    assert_eq!(
        slates,
        [
            Action::ShowSlate(Slate::Starting),
            Action::ShowSlate(Slate::Lost)
        ]
    );
}
