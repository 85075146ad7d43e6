//! A room for tests: a speaker, a microphone, walls between which sound goes to and fro,
//! and two people.

use std::f32::consts::{PI, TAU};
use std::time::Duration;

use crate::echo::fourier::{Bin, Fourier};
use crate::echo::{Microphone, News, Played, RATE};

/// In m/s.
const SOUND: f32 = 343.0;

/// Something like speech, at a level in dB under full scale where it is loud: pulses and
/// noise through three resonances that move, in syllables, with pauses between words.
pub(super) fn speech(seconds: usize, pitch: f32, seed: u64, level: f32) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut resonances = [(500.0, 0.0, 0.0), (1_500.0, 0.0, 0.0), (3_000.0, 0.0, 0.0)];
    let mut goals = [500.0, 1_500.0, 3_000.0];
    let (mut loud, mut goal, mut noise, mut left, mut turn) = (0.0_f32, 0.0, 0.0, 0, 0.0_f32);
    let mut high = 0.0;
    // The melody of a sentence.
    let (mut tune, mut tone) = (1.0_f32, 1.0);
    let samples = (0..seconds * RATE as usize).map(|_| {
        if left == 0 {
            left = random.usize(4_000..11_000);
            let kind = random.f32();
            goal = if kind < 0.2 {
                0.0
            } else {
                0.3 + 0.7 * random.f32()
            };
            noise = if kind > 0.8 { 1.0 } else { 0.02 };
            tone = 0.75 + 0.65 * random.f32();
            goals = [250.0, 800.0, 2_200.0].map(|low| low * (1.0 + 1.6 * random.f32()));
        }
        left -= 1;
        loud += (goal - loud) * 0.000_8;
        tune += (tone - tune) * 0.000_2;
        turn += pitch * tune / RATE as f32;
        let pulse = if turn >= 1.0 { 8.0 } else { 0.0 };
        turn %= 1.0;
        let white = random.f32() * 2.0 - 1.0;
        let hiss = white - std::mem::replace(&mut high, white);
        let into = pulse * (1.0 - noise) + hiss * noise;
        let mut sum = hiss * noise * 0.5;
        for ((at, one, two), goal) in resonances.iter_mut().zip(goals) {
            *at += (goal - *at) * 0.001;
            let radius = (-PI * 90.0 / RATE as f32).exp();
            let now = into + 2.0 * radius * (TAU * *at / RATE as f32).cos() * *one
                - radius * radius * *two;
            (*two, *one) = (*one, now);
            sum += now * 0.05;
        }
        sum * loud
    });
    let samples: Vec<f32> = samples.collect();
    scaled(samples, level)
}

/// The same, so loud where it is loud.
fn scaled(mut samples: Vec<f32>, level: f32) -> Vec<f32> {
    let mut powers: Vec<f32> = samples.chunks(960).map(crate::echo::power).collect();
    powers.sort_by(f32::total_cmp);
    let loud = &powers[powers.len() / 2..];
    let mean = loud.iter().sum::<f32>() / loud.len() as f32;
    let scale = 32_768.0 * 10_f32.powf(level / 20.0) / mean.sqrt();
    samples.iter_mut().for_each(|s| *s *= scale);
    samples
}

/// Where what is in a room, of this many metres, keeps a sound for `keeps` seconds until
/// it is 60 dB weaker: its response from one place to another (Allen and Berkley, JASA
/// 65, 1979).
pub(super) fn response(size: [f32; 3], keeps: f32, from: [f32; 3], to: [f32; 3]) -> Vec<f32> {
    let volume: f32 = size.iter().product();
    let walls = 2.0 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2]);
    let reflected = (1.0 - (0.161 * volume / (walls * keeps)).min(0.9)).sqrt();
    let mut response = vec![0.0; (keeps * RATE as f32) as usize];
    let most = 8_i32;
    // Along each axis: how far an image is, and over how many walls.
    let images = |axis: usize| {
        (-most..=most).flat_map(move |n| {
            let there = 2.0 * n as f32 * size[axis] - to[axis];
            let mirrored = (n - 1).abs() + n.abs();
            [
                (there + from[axis], 2 * n.abs()),
                (there - from[axis], mirrored),
            ]
        })
    };
    for (x, a) in images(0) {
        for (y, b) in images(1) {
            for (z, c) in images(2) {
                let way = (x * x + y * y + z * z).sqrt().max(0.05);
                let at = way / SOUND * RATE as f32;
                let (whole, part) = (at as usize, at.fract());
                let gain = reflected.powi(a + b + c) / way;
                if whole + 1 < response.len() {
                    response[whole] += gain * (1.0 - part);
                    response[whole + 1] += gain * part;
                }
            }
        }
    }
    response
}

/// What becomes of a sound on that way.
fn convolved(samples: &[f32], response: &[f32]) -> Vec<f32> {
    let length = (samples.len() + response.len()).next_power_of_two();
    let mut fourier = Fourier::new(length);
    let mut bins = |samples: &[f32]| {
        let mut bins = vec![Bin::default(); length / 2 + 1];
        let zeros = std::iter::repeat(0.0);
        fourier.forward(samples.iter().copied().chain(zeros).take(length), &mut bins);
        bins
    };
    let (mut both, response) = (bins(samples), bins(response));
    both.iter_mut().zip(&response).for_each(|(a, b)| *a *= b);
    fourier.backward(&both)[..samples.len()].to_vec()
}

/// What a card records of it that is so many parts in a million slow, and late.
fn recorded(samples: &[f32], ppm: f64, late: Duration) -> Vec<f32> {
    let late = late.as_secs_f64() * f64::from(RATE);
    let sample = |at: i64| {
        usize::try_from(at)
            .ok()
            .and_then(|at| samples.get(at))
            .copied()
    };
    let at = |i: usize| {
        let at = i as f64 * (1.0 + ppm * 1e-6) - late;
        let (whole, part) = (at.floor() as i64, (at - at.floor()) as f32);
        // A windowed sinc over 16 samples.
        (-7..=8_i64)
            .map(|j| {
                let off = j as f32 - part;
                let sinc = if off == 0.0 {
                    1.0
                } else {
                    (PI * off).sin() / (PI * off)
                };
                let window = 0.5 + 0.5 * (PI * off / 8.5).cos();
                sample(whole + j).unwrap_or(0.0) * sinc * window
            })
            .sum()
    };
    let is_plain = ppm == 0.0 && late.fract() == 0.0;
    let plain = |i: usize| sample(i as i64 - late as i64).unwrap_or(0.0);
    (0..samples.len())
        .map(|i| if is_plain { plain(i) } else { at(i) })
        .collect()
}

/// A room, and what is said in it.
pub(super) struct Scene {
    /// What the speaker is given.
    pub(super) far: Vec<f32>,
    /// What the microphone hears of it.
    pub(super) echo: Vec<f32>,
    /// Of who stands before it.
    pub(super) near: Vec<f32>,
    /// How many samples the microphone has at a time.
    pub(super) buffer: usize,
    /// By how much the speaker's stamps are wrong.
    pub(super) wrong: Duration,
}

impl Scene {
    /// With an echo so loud, so late, from a card so much faster.
    pub(super) fn new(
        response: &[f32],
        far: Vec<f32>,
        level: f32,
        late: Duration,
        ppm: f64,
    ) -> Self {
        let echo = scaled(convolved(&far, response), level);
        Self {
            near: vec![0.0; far.len()],
            echo: recorded(&echo, ppm, late),
            far,
            buffer: 480,
            wrong: Duration::ZERO,
        }
    }

    pub(super) fn with_near(mut self, near: Vec<f32>, from: usize) -> Self {
        let from = from * RATE as usize;
        for (to, near) in self.near[from..].iter_mut().zip(near) {
            *to = near;
        }
        self
    }

    /// What the microphone hears, with a noise 66 dB under full scale.
    pub(super) fn heard(&self) -> Vec<i16> {
        let mut random = fastrand::Rng::with_seed(9);
        let mut noise = || (random.f32() + random.f32() + random.f32() - 1.5) * 32.0;
        let both = self.echo.iter().zip(&self.near);
        both.map(|(echo, near)| (echo + near + noise()).round() as i16)
            .collect()
    }

    /// All of it by way of `microphone`, from a time of the media clock on: what viewers
    /// hear, and what is told.
    pub(super) fn play(
        &self,
        played: &Played,
        microphone: &mut Microphone,
        from: Duration,
    ) -> (Vec<i16>, Vec<(f64, News)>) {
        let mut heard = self.heard();
        let mut news = Vec::new();
        let time = |sample: usize| Duration::from_secs_f64(sample as f64 / f64::from(RATE));
        let mut given = 0;
        // The speaker is ahead by its buffer.
        let ahead = RATE as usize / 10;
        for (i, samples) in heard.chunks_mut(self.buffer).enumerate() {
            let at = i * self.buffer;
            while given < self.far.len() && given < at + self.buffer + ahead {
                let end = (given + 960).min(self.far.len());
                let part = self.far[given..end].iter().map(|s| *s as i16);
                played.give(from + self.wrong + time(given), part);
                given = end;
            }
            if let Some(new) = microphone.hear(from + time(at), samples) {
                news.push((time(at).as_secs_f64(), new));
            }
        }
        (heard, news)
    }
}

/// A voice of 19 harmonics that slide, and nothing between them: no noise, no breath.
pub(super) fn harmonics(seconds: usize) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut now = [120.0_f32, 500.0, 1_500.0, 0.0];
    let (mut goal, mut phase) = (now, 0.0_f32);
    let samples = (0..seconds * RATE as usize).map(|i| {
        if i % (RATE as usize / 8) == 0 {
            let ranges = [(95.0, 220.0), (300.0, 800.0), (900.0, 2_400.0), (0.15, 1.0)];
            goal = ranges.map(|(low, high)| low + random.f32() * (high - low));
        }
        for (now, goal) in now.iter_mut().zip(goal) {
            *now += (goal - *now) * 0.000_6;
        }
        let [pitch, first, second, loudness] = now;
        phase = (phase + pitch / RATE as f32) % 1.0;
        let voice = (1..20).map(|n| {
            let formant = |at: f32, width: f32| (-((n as f32 * pitch - at) / width).powi(2)).exp();
            let gain = formant(first, 180.0) + 0.6 * formant(second, 300.0) + 0.02;
            gain * (std::f32::consts::TAU * phase * n as f32).sin()
        });
        (voice.sum::<f32>() * loudness * 6_000.0).clamp(-32_000.0, 32_000.0)
    });
    samples.collect()
}
