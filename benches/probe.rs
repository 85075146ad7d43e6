//! What it costs to find out what an encoder does: the probe itself, and the
//! choice of an encoder when it is remembered, as at every start but the first.
//!
//! `cargo bench --bench probe`
#![allow(clippy::disallowed_methods, reason = "clippy.toml is for the program")]

use std::hint::black_box;
use std::time::Duration;

use camera_agent::config::{Config, VideoConfig};
use camera_agent::media::element;
use camera_agent::media::encoder::Encoder;
use camera_agent::media::probe::cache::Cache;
use camera_agent::media::probe::{Encoders, Job, Prober, probe};
use camera_agent::sdp::VideoCodec;
use criterion::{Criterion, criterion_group, criterion_main};

fn probe_cost(c: &mut Criterion) {
    element::init().expect("GStreamer is installed");
    let row = Encoder::row("x264").expect("a row");
    let mut group = c.benchmark_group("probe of x264");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    for (name, width, height) in [("640×360", 640, 360), ("1280×720", 1280, 720)] {
        let job = Job::new(
            &row,
            &VideoConfig {
                width,
                height,
                ..VideoConfig::default()
            },
        );
        group.bench_function(name, |b| {
            b.iter(|| {
                let report = probe(black_box(&job), &mut |_| {});
                assert!(report.is_usable(), "{}", report.words());
            });
        });
    }
    group.finish();
}

fn remembered_cost(c: &mut Criterion) {
    element::init().expect("GStreamer is installed");
    let folder = tempfile::tempdir().expect("a folder");
    let cache = Cache::at(folder.path().join("encoders.json"));
    let config = Config::default();
    let best = || {
        Encoders::new(&config, Prober::InProcess, cache.clone())
            .and_then(|encoders| encoders.best(VideoCodec::H264))
            .expect("x264 works")
    };
    best();
    c.bench_function("choice from memory", |b| b.iter(|| black_box(best())));
}

criterion_group!(benches, probe_cost, remembered_cost);
criterion_main!(benches);
