//! Learns the way from one signal to another, and tells how the second one would be
//! if it had come that way. Pure.
//!
//! A Kalman filter over the partitions of an impulse response, in the frequency domain
//! (Enzner and Vary, Signal Processing 86, 2006; Kuech, Mabande and Enzner, ICASSP
//! 2014). It knows of each bin how wrong it may be, and how much there is in it that
//! did not come that way. So it learns fast, and holds still where somebody speaks.

use super::fourier::{Bin, Fourier};

/// What is known of the way is worth so much less with each block, squared: a room in
/// which somebody walks.
const KEPT: f32 = 0.998;
/// Of what did not come that way so much is new with each block.
const NEW: f32 = 0.2;
/// Partitions that are cut to their length in a block: each of them has its turn a few
/// times a second.
const CUT: usize = 4;
/// No bin is quieter, in the squares of 16-bit samples: digital silence.
const SILENCE: f32 = 1.0;

/// One partition: what of the way is as late as that.
#[derive(Clone)]
struct Part {
    response: Vec<Bin>,
    /// The square by which that may be wrong.
    doubt: Vec<f32>,
}

impl Part {
    /// One of so many of a way of which nothing is known: with all of them it may be as
    /// loud as what goes in.
    fn unknown(bins: usize, parts: usize) -> Self {
        Self {
            response: vec![Bin::default(); bins],
            doubt: vec![1.0 / parts as f32; bins],
        }
    }
}

pub(super) struct Filter {
    block: usize,
    fourier: Fourier,
    /// The last two blocks of what went in.
    input: Vec<f32>,
    /// Bins of what went in, the newest at `newest`, older ones behind it.
    spectra: Vec<Vec<Bin>>,
    newest: usize,
    parts: Vec<Part>,
    /// The square of what did not come that way.
    noise: Vec<f32>,
    /// The partition that is cut next.
    next: usize,
    sums: Vec<Bin>,
    doubts: Vec<f32>,
    estimate: Vec<f32>,
    error: Vec<f32>,
    residual: Vec<f32>,
}

impl Filter {
    /// Of so many partitions, of `block` samples each.
    pub(super) fn new(block: usize, parts: usize) -> Self {
        let bins = block + 1;
        Self {
            block,
            fourier: Fourier::new(2 * block),
            input: vec![0.0; 2 * block],
            spectra: vec![vec![Bin::default(); bins]; parts],
            newest: 0,
            parts: vec![Part::unknown(bins, parts); parts],
            noise: vec![0.0; bins],
            next: 0,
            sums: vec![Bin::default(); bins],
            doubts: vec![0.0; bins],
            estimate: vec![0.0; block],
            error: vec![0.0; block],
            residual: vec![0.0; bins],
        }
    }

    /// A block of what went in, and of what came out.
    pub(super) fn learn(&mut self, input: &[f32], output: &[f32]) {
        self.enter(input);
        self.expect();
        let expected = &self.fourier.backward(&self.sums)[self.block..];
        self.estimate.copy_from_slice(expected);
        for (i, error) in self.error.iter_mut().enumerate() {
            *error = output[i] - self.estimate[i];
        }
        let zeros = std::iter::repeat_n(0.0, self.block);
        let errors = zeros.chain(self.error.iter().copied());
        self.fourier.forward(errors, &mut self.sums);
        self.correct();
        for _ in 0..CUT.min(self.parts.len()) {
            self.cut();
        }
    }

    /// What would have come out, had all of it come that way.
    pub(super) fn estimate(&self) -> &[f32] {
        &self.estimate
    }

    /// What came out without that.
    pub(super) fn error(&self) -> &[f32] {
        &self.error
    }

    /// The square by which each bin of the estimate may be wrong.
    pub(super) fn residual(&self) -> &[f32] {
        &self.residual
    }

    /// The impulse response, as far as it is known.
    pub(super) fn response(&mut self) -> Vec<f32> {
        let mut response = Vec::with_capacity(self.block * self.parts.len());
        for part in &self.parts {
            let samples = self.fourier.backward(&part.response);
            response.extend_from_slice(&samples[..self.block]);
        }
        response
    }

    /// What goes in will come so many blocks later, or earlier where that is negative:
    /// the way is shorter by that.
    pub(super) fn shorten(&mut self, blocks: isize) {
        let count = self.parts.len();
        let by = blocks.unsigned_abs().min(count);
        let unknown = Part::unknown(self.block + 1, count);
        if blocks >= 0 {
            self.parts.rotate_left(by);
            self.parts[count - by..].fill(unknown);
        } else {
            self.parts.rotate_right(by);
            self.parts[..by].fill(unknown);
        }
        self.still();
    }

    /// Nothing went in for as long as the way is.
    pub(super) fn still(&mut self) {
        self.input.fill(0.0);
        for bins in &mut self.spectra {
            bins.fill(Bin::default());
        }
    }

    fn enter(&mut self, input: &[f32]) {
        self.input.copy_within(self.block.., 0);
        self.input[self.block..].copy_from_slice(input);
        let count = self.spectra.len();
        self.newest = (self.newest + count - 1) % count;
        let samples = self.input.iter().copied();
        self.fourier
            .forward(samples, &mut self.spectra[self.newest]);
    }

    /// Lets time pass, and sums up what is to be expected.
    fn expect(&mut self) {
        self.sums.fill(Bin::default());
        self.doubts.fill(0.0);
        let count = self.parts.len();
        for (i, part) in self.parts.iter_mut().enumerate() {
            let spectrum = &self.spectra[(self.newest + i) % count];
            let bins = spectrum.iter().zip(&part.response).zip(&mut part.doubt);
            let sums = self.sums.iter_mut().zip(&mut self.doubts);
            for (((input, response), doubt), (sum, doubts)) in bins.zip(sums) {
                *sum += input * response;
                *doubt = KEPT * *doubt + (1.0 - KEPT) * response.norm_sqr();
                *doubts += *doubt * input.norm_sqr();
            }
        }
    }

    /// Learns from the errors, which are in `sums`.
    fn correct(&mut self) {
        for (k, error) in self.sums.iter().enumerate() {
            self.noise[k] += NEW * (error.norm_sqr() - self.noise[k]);
            // A half, and its square: an error is half of a transform's length.
            self.residual[k] = 0.25 * self.doubts[k];
            self.doubts[k] = 1.0 / (self.doubts[k] + self.noise[k] + SILENCE);
        }
        let count = self.parts.len();
        for (i, part) in self.parts.iter_mut().enumerate() {
            let spectrum = &self.spectra[(self.newest + i) % count];
            let bins = spectrum.iter().zip(&mut part.response).zip(&mut part.doubt);
            let errors = self.sums.iter().zip(&self.doubts);
            for (((input, response), doubt), (error, scale)) in bins.zip(errors) {
                let gain = *doubt * scale;
                *response += input.conj() * error * gain;
                *doubt *= 1.0 - 0.5 * gain * input.norm_sqr();
            }
        }
    }

    /// Cuts one partition to its length, which a transform does not.
    fn cut(&mut self) {
        let response = &mut self.parts[self.next].response;
        let mut samples = self.fourier.backward(response).to_vec();
        samples[self.block..].fill(0.0);
        self.fourier.forward(samples.into_iter(), response);
        self.next = (self.next + 1) % self.parts.len();
    }
}
