//! What in-band FEC is worth, packet by packet.

use super::*;

/// The packets that the device's own pipeline makes of this sound, prepared
/// for so much loss.
fn encode(samples: &[i16], percent: i32) -> Vec<glib::Bytes> {
    let file = raw_file(samples);
    let config = AudioConfig {
        source: AudioSource::Custom,
        pipeline: Some(format!(
            "filesrc location={} ! {RAW}",
            file.path().display()
        )),
        ..AudioConfig::default()
    };
    let plan = plan::sound(&config, &[]).expect("a plan").expect("sound");
    let pipeline = gstreamer::parse::launch(&plan.description).expect("it parses");
    let pipeline: gstreamer::Pipeline = pipeline.downcast().expect("a pipeline");
    let encoder = pipeline.by_name(plan::SOUND_ENCODER).expect("it is named");
    encoder.set_property("packet-loss-percentage", percent);
    let sink: AppSink = pipeline
        .by_name("out")
        .expect("a sink")
        .downcast()
        .expect("its type");
    sink.set_property("max-buffers", 0_u32);
    sink.set_property("drop", false);
    sink.set_property("sync", false);
    pipeline
        .set_state(gstreamer::State::Playing)
        .expect("it plays");
    let mut packets = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().expect("a buffer");
        packets.push(glib::Bytes::from_owned(
            buffer.map_readable().expect("readable").to_vec(),
        ));
    }
    pipeline
        .set_state(gstreamer::State::Null)
        .expect("it stops");
    packets
}

/// What a decoder that uses in-band FEC makes of the packets that are there.
fn decode(packets: &[Option<&glib::Bytes>]) -> Vec<f64> {
    let pipeline = gstreamer::parse::launch(
        "appsrc name=in format=time \
         caps=audio/x-opus,rate=48000,channels=1,channel-mapping-family=0,stream-count=1,coupled-count=0 \
         ! opusdec use-inband-fec=true plc=true ! audio/x-raw,format=S16LE,rate=48000,channels=1 \
         ! appsink name=out sync=false",
    )
    .expect("it parses");
    let pipeline: gstreamer::Pipeline = pipeline.downcast().expect("a pipeline");
    let input: AppSrc = pipeline
        .by_name("in")
        .expect("it")
        .downcast()
        .expect("its type");
    let sink: AppSink = pipeline
        .by_name("out")
        .expect("it")
        .downcast()
        .expect("its type");
    pipeline
        .set_state(gstreamer::State::Playing)
        .expect("it plays");
    for (i, packet) in (0..).zip(packets) {
        let at = gstreamer::ClockTime::from_mseconds(20 * i);
        let time = gstreamer::ClockTime::from_mseconds(20);
        match packet {
            Some(bytes) => {
                let mut buffer = gstreamer::Buffer::from_slice((*bytes).clone());
                let writable = buffer.get_mut().expect("it is ours");
                writable.set_pts(at);
                writable.set_duration(time);
                input.push_buffer(buffer).expect("taken");
            }
            None => {
                let gap = gstreamer::event::Gap::builder(at).duration(time).build();
                assert!(input.send_event(gap));
            }
        }
    }
    input.end_of_stream().expect("taken");
    let mut samples = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let buffer = sample.buffer().expect("a buffer");
        let map = buffer.map_readable().expect("readable");
        let (pairs, _) = map.as_chunks::<2>();
        samples.extend(
            pairs
                .iter()
                .map(|pair| f64::from(i16::from_le_bytes(*pair))),
        );
    }
    pipeline
        .set_state(gstreamer::State::Null)
        .expect("it stops");
    samples
}

/// How far what is heard for lost packets is from what was said, in dB below
/// it; higher is better.
fn saved(percent: i32, loss: f64) -> f64 {
    let packets = encode(&speech(20), percent);
    assert!(packets.len() > 990, "{} packets", packets.len());
    let whole: Vec<_> = packets.iter().map(Some).collect();
    let mut random = fastrand::Rng::with_seed(11);
    let mut lossy = whole.clone();
    let mut lost = Vec::new();
    // The first second is the codecs' own beginning.
    for (i, packet) in lossy.iter_mut().enumerate().skip(50) {
        if random.f64() < loss {
            *packet = None;
            lost.push(i);
        }
    }
    let (clean, heard) = (decode(&whole), decode(&lossy));
    let (mut said, mut wrong) = (0.0, 0.0);
    for i in lost {
        let range = i * PACKET..(i + 1) * PACKET;
        let (Some(a), Some(b)) = (clean.get(range.clone()), heard.get(range)) else {
            continue;
        };
        said += a.iter().map(|x| x * x).sum::<f64>();
        wrong += a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>();
    }
    10.0 * (said / wrong).log10()
}

#[test]
fn in_band_fec_brings_back_most_of_what_concealment_guesses_wrong() {
    element::init().expect("GStreamer is installed");
    let (concealed, repaired) = (saved(0, 0.08), saved(10, 0.08));
    println!(
        "lost packets, error below the sound: {concealed:.1} dB concealed, {repaired:.1} dB with FEC"
    );
    assert!(
        repaired > concealed + 3.0,
        "{repaired:.1} dB after {concealed:.1} dB"
    );
}

#[test]
fn without_loss_no_bits_are_spent_on_fec() {
    element::init().expect("GStreamer is installed");
    let sound = speech(4);
    let share = |percent| {
        let packets = encode(&sound, percent);
        let fec = packets.iter().filter(|p| has_fec(p)).count();
        fec as f64 / packets.len() as f64
    };
    assert_eq!(share(0), 0.0);
    assert!(share(10) > 0.5, "{}", share(10));
}
