mod room;

use std::time::Duration;

use super::{Canceller, FRAME, Measured, Microphone, News, Played, RATE, Samples};
use room::{Scene, harmonics, response, speech};

const MS: Duration = Duration::from_millis(1);
/// Where the media clock begins.
const START: Duration = Duration::from_secs(1_000);
/// Samples that what viewers hear is behind.
const LATE: usize = FRAME;

fn desk() -> Vec<f32> {
    response([3.0, 2.5, 2.4], 0.2, [1.0, 1.2, 1.0], [1.1, 1.25, 1.0])
}

fn bedroom() -> Vec<f32> {
    response([5.0, 4.0, 2.5], 0.4, [1.0, 1.2, 1.5], [1.2, 1.3, 1.4])
}

fn hall() -> Vec<f32> {
    response([6.0, 5.0, 3.0], 0.6, [2.0, 1.2, 1.5], [2.5, 1.5, 1.4])
}

fn part(samples: &[i16], from: f64, to: f64) -> &[i16] {
    let at = |seconds: f64| ((seconds * f64::from(RATE)) as usize).min(samples.len());
    &samples[at(from)..at(to)]
}

/// In dB.
fn level(samples: &[i16]) -> f64 {
    let square: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    10.0 * (square / samples.len() as f64).max(1e-3).log10()
}

/// By how much of a voice there is more or less in what viewers hear, in dB: the mean
/// over fifths of a second in which it is loud of what goes together with it.
fn kept(voice: &[f32], heard: &[i16], from: f64, to: f64) -> f64 {
    let at = |seconds: f64| (seconds * f64::from(RATE)) as usize;
    let (mut sum, mut count) = (0.0, 0.0);
    let heard = &heard[at(from) + LATE..];
    for (voice, heard) in voice[at(from)..at(to)]
        .chunks(9_600)
        .zip(heard.chunks(9_600))
    {
        let square: f64 = voice.iter().map(|s| f64::from(*s).powi(2)).sum();
        if square / voice.len() as f64 > 1e5 && heard.len() == voice.len() {
            let both = voice.iter().zip(heard);
            let both: f64 = both.map(|(v, h)| f64::from(*v) * f64::from(*h)).sum();
            sum += 20.0 * (both / square).max(1e-3).log10();
            count += 1.0;
        }
    }
    sum / count
}

fn new() -> (Played, Microphone) {
    let played = Played::default();
    (played.clone(), Microphone::new(played))
}

/// Where the echo is so late, from a speaker so much faster, and so loud.
type Case = (u32, f64, f32);

/// What came of one case.
#[derive(Debug)]
struct Found {
    /// By how much the echo is weaker while only the far end talks, in dB.
    loss: f64,
    /// Of the near end, while both do, in dB.
    kept: f64,
    sure: f64,
    measured: Measured,
}

/// The far end talks alone for so many seconds, and then both do.
fn try_out(response: &[f32], (late, ppm, loud): Case, alone: usize, both: usize) -> Found {
    let far = speech(alone + both, 110.0, 1, -22.0);
    let scene = Scene::new(response, far, loud, late * MS, ppm);
    let scene = scene.with_near(speech(both, 190.0, 2, -26.0), alone);
    let (played, mut microphone) = new();
    let before = scene.heard();
    let (heard, news) = scene.play(&played, &mut microphone, START);
    let Some((sure, News::Sure { measured, .. })) = news.last() else {
        panic!("{late} ms, {ppm} ppm: {news:?}");
    };
    let first = news[0].0;
    // The first words of the speaker are no echo yet where it is late.
    let silent = part(&heard, 0.5, first - 0.1);
    assert!(
        silent.iter().all(|s| *s == 0),
        "it is heard before it is sure"
    );
    let (from, to) = (first.max(4.0), alone as f64);
    Found {
        loss: level(part(&before, from, to)) - level(part(&heard, from, to)),
        kept: kept(&scene.near, &heard, to + 0.2, to + both as f64 - 0.1),
        sure: *sure,
        measured: *measured,
    }
}

/// The figures of `docs/talk.md`.
#[test]
#[ignore = "minutes, without optimization: cargo test --release --lib echo::tests::figures -- --ignored --nocapture"]
fn figures() {
    println!("keeps   late   ppm  echo  loss  kept  sure after  measured");
    for (keeps, response) in [(0.2, desk()), (0.4, bedroom()), (0.6, hall())] {
        for case in [
            (0, 0.0, -26.0),
            (5, 50.0, -26.0),
            (60, -200.0, -26.0),
            (180, 100.0, -32.0),
            (350, 0.0, -26.0),
            (20, 20.0, -22.0),
        ] {
            let found = try_out(&response, case, 14, 8);
            let (late, ppm, loud) = case;
            let delay = found.measured.delay.unwrap_or_default().as_millis();
            println!(
                "{keeps} s  {late:3} ms  {ppm:4}  {loud:3}  {:4.1}  {:4.1}  {:8.1} s  {delay} ms, {:.0} ppm",
                found.loss, found.kept, found.sure, found.measured.ppm
            );
            assert!(found.kept.abs() < 3.0, "{found:?}");
            assert!(
                found.loss > if keeps < 0.5 { 25.0 } else { 15.0 },
                "{found:?}"
            );
        }
    }
}

fn holds(response: &[f32], case: Case) {
    let found = try_out(response, case, 9, 4);
    println!("{found:?}");
    assert!(found.loss >= 25.0 && found.kept.abs() < 3.0, "{found:?}");
    let delay = found.measured.delay.expect("it is known").as_secs_f64() * 1e3;
    assert!((delay - f64::from(case.0)).abs() < 12.0, "{found:?}");
}

#[test]
fn the_echo_is_gone_and_who_is_near_is_heard_at_a_desk() {
    holds(&desk(), (5, 50.0, -26.0));
}

#[test]
fn and_in_a_room_with_an_echo_louder_than_speech() {
    holds(&bedroom(), (20, 20.0, -22.0));
}

#[test]
fn and_where_the_cards_take_a_third_of_a_second() {
    holds(&bedroom(), (350, 0.0, -26.0));
}

/// The filter ran away from it, to ten times the echo, and took six seconds at the best.
#[test]
fn a_voice_without_noise_is_learned_too() {
    let scene = Scene::new(&[1.0], harmonics(9), -26.0, 5 * MS, 0.0);
    let (played, mut microphone) = new();
    let before = scene.heard();
    let (heard, news) = scene.play(&played, &mut microphone, START);
    println!("{news:?}");
    let Some((sure, News::Sure { .. })) = news.first() else {
        panic!("never: {news:?}");
    };
    assert!(*sure < 3.0, "{news:?}");
    let loss = level(part(&before, 4.0, 9.0)) - level(part(&heard, 4.0, 9.0));
    assert!(loss >= 25.0, "{loss} dB");
}

/// Sure from the frame on that it is told, and makes nothing of what is heard.
struct Stub {
    sure_after: u32,
    frames: u32,
}

impl Canceller for Stub {
    fn cancel(&mut self, _played: &Samples, _heard: &mut Samples) -> bool {
        self.frames += 1;
        self.frames > self.sure_after
    }

    fn rest(&mut self) {}

    fn doubt(&mut self) {
        self.frames = 0;
    }

    fn reset(&mut self) {
        self.frames = 0;
    }

    fn latency(&self) -> usize {
        0
    }

    fn measured(&self) -> Measured {
        Measured {
            delay: Some(30 * MS),
            ..Measured::default()
        }
    }
}

/// A microphone that hears 1000 all the time, beside a speaker that plays `value`; what
/// comes of each frame, and what is told.
fn beside(
    microphone: &mut Microphone,
    played: &Played,
    frames: std::ops::Range<u32>,
    value: i16,
) -> (Vec<[i16; FRAME]>, Vec<News>) {
    let mut news = Vec::new();
    let frames = frames.map(|i| {
        let at = START + 10 * i * MS;
        played.give(at + 20 * MS, vec![value; FRAME].into_iter());
        let mut samples = [1_000; FRAME];
        news.extend(microphone.hear(at, &mut samples));
        samples
    });
    (frames.collect(), news)
}

fn stubbed(sure_after: u32) -> (Played, Microphone) {
    let played = Played::default();
    let stub = Box::new(Stub {
        sure_after,
        frames: 0,
    });
    (played.clone(), Microphone::with(played, stub))
}

#[test]
fn nothing_is_heard_beside_the_speaker_until_the_canceller_is_sure() {
    let (played, mut microphone) = stubbed(100);
    let (before, _) = beside(&mut microphone, &played, 0..50, 0);
    assert!(before.iter().all(|frame| *frame == [1_000; FRAME]));
    let (unsure, news) = beside(&mut microphone, &played, 50..150, 5_000);
    assert!(news.is_empty());
    assert!(unsure[1..].iter().all(|frame| *frame == [0; FRAME]));
    let (sure, news) = beside(&mut microphone, &played, 150..200, 5_000);
    let delay = Some(10 * MS);
    assert!(matches!(
        news[..],
        [News::Sure { is_new: true, measured: Measured { delay: d, .. } }] if d == delay
    ));
    assert!(sure[1..].iter().all(|frame| *frame == [1_000; FRAME]));
    let report = played.report().expect("it spoke");
    assert_eq!(report.measured.delay, delay);
    assert!((report.sure - 1.0 / 3.0).abs() < 0.02, "{report}");
    assert!(report.spoke.abs_diff(1_500 * MS) < 30 * MS, "{report}");
    // Opened anew, and another one: each has to be learned.
    for change in [Played::opened, Played::lost] {
        change(&played);
        let (unsure, news) = beside(&mut microphone, &played, 200..250, 5_000);
        assert!(news.is_empty());
        assert!(unsure[1..].iter().all(|frame| *frame == [0; FRAME]));
    }
}

#[test]
fn a_speaker_that_is_not_found_is_told_of_once() {
    let (played, mut microphone) = stubbed(u32::MAX);
    let (_, news) = beside(&mut microphone, &played, 0..4_000, 5_000);
    assert_eq!(news, [News::NotFound]);
    // The room is still after a while.
    let (after, _) = beside(&mut microphone, &played, 4_000..4_300, 0);
    assert!(after[..75].iter().all(|frame| *frame == [0; FRAME]));
    assert!(after[100..].iter().all(|frame| *frame == [1_000; FRAME]));
}

/// As with a card of 44.1 kHz, of which buffers are no frames.
#[test]
fn while_nobody_talks_each_sample_passes_as_it_is_whatever_the_buffers() {
    for buffer in [480, 441, 37, 1_024] {
        let (_played, mut microphone) = new();
        let heard: Vec<i16> = (0..buffer * 60).map(|i| (i % 3_001) as i16 + 1).collect();
        let mut passed = heard.clone();
        for (i, samples) in passed.chunks_mut(buffer).enumerate() {
            let at = Duration::from_secs_f64((i * buffer) as f64 / f64::from(RATE));
            assert_eq!(microphone.hear(START + at, samples), None);
        }
        let first = passed.iter().position(|s| *s != 0).expect("something");
        assert!((LATE..=2 * LATE).contains(&first), "{buffer}: {first}");
        assert_eq!(passed[first..], heard[..heard.len() - first], "{buffer}");
    }
}
