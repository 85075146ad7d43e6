//! Fourier transforms of one length. Pure.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// One bin.
pub(super) type Bin = Complex32;

/// From samples to bins and back, with the memory that this takes.
pub(super) struct Fourier {
    forward: Arc<dyn RealToComplex<f32>>,
    backward: Arc<dyn ComplexToReal<f32>>,
    scratch: Vec<Bin>,
    samples: Vec<f32>,
    bins: Vec<Bin>,
}

impl Fourier {
    /// Of so many samples, an even number.
    pub(super) fn new(length: usize) -> Self {
        let mut planner = RealFftPlanner::new();
        let forward = planner.plan_fft_forward(length);
        let backward = planner.plan_fft_inverse(length);
        let scratch = forward.get_scratch_len().max(backward.get_scratch_len());
        Self {
            scratch: vec![Bin::default(); scratch],
            samples: vec![0.0; length],
            bins: vec![Bin::default(); length / 2 + 1],
            forward,
            backward,
        }
    }

    /// Bins of these samples, as many as its length.
    pub(super) fn forward(&mut self, samples: impl Iterator<Item = f32>, bins: &mut [Bin]) {
        for (to, from) in self.samples.iter_mut().zip(samples) {
            *to = from;
        }
        self.forward
            .process_with_scratch(&mut self.samples, bins, &mut self.scratch)
            .expect("they have the lengths that it was planned for");
    }

    /// Samples of these bins.
    pub(super) fn backward(&mut self, bins: &[Bin]) -> &[f32] {
        self.bins.copy_from_slice(bins);
        let last = self.bins.len() - 1;
        // Of real samples these two are real.
        (self.bins[0].im, self.bins[last].im) = (0.0, 0.0);
        self.backward
            .process_with_scratch(&mut self.bins, &mut self.samples, &mut self.scratch)
            .expect("they have the lengths that it was planned for");
        let scale = 1.0 / self.samples.len() as f32;
        self.samples.iter_mut().for_each(|sample| *sample *= scale);
        &self.samples
    }
}
