//! Sound on paths that lose packets: what Opus's in-band FEC saves, measured
//! with the real encoder and decoder, and that the encoder follows what
//! receivers report.

mod fec;

use std::sync::Arc;
use std::time::Duration;

use crate::support::Chat;
use crate::support::browser::{Browser, Person};
use crate::support::meter::has_fec;
use crate::support::relay::{Conditions, Relay};
use crate::support::shims::FakeMicrophone;
use crate::support::speaker::speech;
use crate::support::viewer::Viewer;
use camera_agent::config::{AudioConfig, AudioSource, Config, VideoSource};
use camera_agent::daemon::Daemon;
use camera_agent::media::element;
use camera_agent::media::encoder::Encoder;
use camera_agent::media::gst::GstSource;
use camera_agent::media::plan;
use camera_agent::media::probe::cache::Cache;
use camera_agent::media::probe::{Encoders, Prober};
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};
use tokio_util::sync::CancellationToken;

const RATE: usize = 48_000;
/// Samples of one packet.
const PACKET: usize = RATE / 50;

/// Reads what [`raw_file`] writes.
const RAW: &str = "rawaudioparse use-sink-caps=false format=pcm pcm-format=s16le \
                   sample-rate=48000 num-channels=1";

/// A file that holds these samples.
fn raw_file(samples: &[i16]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    std::fs::write(file.path(), bytes).expect("written");
    file
}

/// A minute and a half of speech, and the source that plays it.
fn speaker() -> (tempfile::NamedTempFile, String) {
    let file = raw_file(&speech(10).repeat(9));
    let pipeline = format!(
        "filesrc blocksize=960 location={} ! {RAW} ! clocksync sync-to-first=true",
        file.path().display()
    );
    (file, pipeline)
}

/// A device in this process whose microphone hears `pipeline`.
struct Device {
    url: String,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Device {
    fn start(chat: &Chat, pipeline: &str) -> Self {
        element::init().expect("GStreamer is installed");
        let mut config = Config::default();
        config.server.url = format!("ws://{}/", chat.addr);
        config.video.source = VideoSource::Test;
        (config.video.width, config.video.height) = (320, 180);
        config.video.bitrate_kbps = 300;
        config.audio.source = AudioSource::Custom;
        config.audio.pipeline = Some(pipeline.to_owned());
        config.ice.loopback = true;
        let encoders = Encoders::new(&config, Prober::InProcess, Cache::none());
        let source = GstSource::new(
            config.video.clone(),
            config.audio.clone(),
            Encoder::row("x264").expect("a row"),
            Arc::new(encoders.expect("the table")),
        );
        let device = Daemon::with_source(&config, Box::new(source), None).expect("a device");
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { device.run(stop.cancelled()).await });
        Self {
            url: config.server.url,
            shutdown,
            task,
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(2), self.task)
            .await
            .expect("it stops within 2 s")
            .expect("it does not panic");
    }
}

#[tokio::test]
async fn the_encoder_follows_the_loss_that_a_receiver_reports() {
    let chat = Chat::start().await;
    // Opus repeats nothing that is no voice.
    let (_file, voice) = speaker();
    let device = Device::start(&chat, &voice);
    let relay = Arc::new(Relay::start(Conditions::default(), Conditions::default(), 7).await);
    let mut viewer = Viewer::join(&device.url, "viewer", "camera").await;
    viewer.go_through(relay.clone());
    viewer.call().await;
    viewer.watch(30).await;
    let fec = |viewer: &Viewer| viewer.received(|r| r.audio.fec);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(fec(&viewer), 0, "nothing is lost, nothing is repeated");
    relay.set_inward(|c| c.loss = 0.10);
    viewer
        .wait("packets with FEC", |_, r| (r.audio.fec > 50).then_some(()))
        .await;
    relay.set_inward(|c| c.loss = 0.0);
    // It goes on for as long as the loss may come back.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let before = fec(&viewer);
        tokio::time::sleep(Duration::from_secs(2)).await;
        if fec(&viewer) == before {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "it never ends");
    }
    device.stop().await;
    chat.stop().await;
}

const SMALL_PICTURE: &str =
    "[video]\nsource = \"test\"\nwidth = 320\nheight = 180\nbitrate_kbps = 500\n";

/// What Chromium heard in some time.
#[derive(Debug, Clone, Copy)]
struct Heard {
    samples: f64,
    concealed: f64,
    lost: f64,
    packets: f64,
    seconds_in_buffer: f64,
    emitted: f64,
}

impl Heard {
    async fn so_far(browser: &Browser) -> Self {
        let field = async |name| browser.inbound("audio", name).await.expect("a statistic");
        Self {
            samples: field("totalSamplesReceived").await,
            concealed: field("concealedSamples").await,
            lost: field("packetsLost").await,
            packets: field("packetsReceived").await,
            seconds_in_buffer: field("jitterBufferDelay").await,
            emitted: field("jitterBufferEmittedCount").await,
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            samples: self.samples - before.samples,
            concealed: self.concealed - before.concealed,
            lost: self.lost - before.lost,
            packets: self.packets - before.packets,
            seconds_in_buffer: self.seconds_in_buffer - before.seconds_in_buffer,
            emitted: self.emitted - before.emitted,
        }
    }

    /// The share of what was played that was made up.
    fn concealed(self) -> f64 {
        self.concealed / self.samples
    }
}

/// A call of a Chromium over a path with these conditions toward it; what it
/// heard in `time`, a while after the call began. `offer` is JavaScript that
/// changes the offer in `sdp` on its way to the device.
async fn hear(toward: Conditions, offer: &str, time: Duration) -> Heard {
    let chat = Chat::start().await;
    let microphone = FakeMicrophone::hearing(&speech(20), 0);
    let toml = format!(
        "{SMALL_PICTURE}{}[ice]\nloopback = true\n",
        FakeMicrophone::toml()
    );
    let device =
        crate::support::device::Device::start_with_env(chat.addr, &toml, &microphone.env()).await;
    device.registered().await;
    let back = Conditions {
        delay: toward.delay,
        ..Conditions::default()
    };
    let relay = Relay::start(toward, back, 5).await;
    let browser = Browser::start(Person {
        camera: false,
        plain_addresses: true,
        ..Person::default()
    })
    .await;
    browser.open(&chat.page("viewer")).await;
    browser.go_through(&relay).await;
    browser
        .js(&format!(
            "(() => {{ const send = WebSocket.prototype.send;
             WebSocket.prototype.send = function (text) {{
               const frame = JSON.parse(text);
               if (frame.type === 'video-offer') {{
                 let {{ sdp }} = frame.sdp;
                 {offer}
                 frame.sdp.sdp = sdp;
               }}
               send.call(this, JSON.stringify(frame)); }}; }})(), null"
        ))
        .await;
    browser.call("camera").await;
    browser.lead(&relay).await;
    browser.state("connected").await;
    browser.frames_rise(30).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let before = Heard::so_far(&browser).await;
    tokio::time::sleep(time).await;
    let heard = Heard::so_far(&browser).await.since(before);
    browser.client.clone().close().await.expect("it ends");
    chat.stop().await;
    heard
}

/// The path: 5 % loss, 80 ms RTT.
const LOSSY: Conditions = Conditions {
    rate: None,
    queue: Duration::from_millis(300),
    delay: Duration::from_millis(40),
    loss: 0.05,
    burst: 1,
    cut: false,
};

#[tokio::test]
async fn chromium_makes_up_less_than_a_hundredth_of_the_sound_at_five_percent_loss() {
    let heard = hear(LOSSY, "", Duration::from_secs(20)).await;
    println!("{heard:?}: {:.2} % concealed", heard.concealed() * 100.0);
    assert!(heard.lost > 20.0, "{heard:?}");
    assert!(heard.concealed() < 0.01, "{heard:?}");
}

/// What each means against loss is worth; for docs/how-it-works.md and the rule in src/rate.
#[tokio::test]
#[ignore = "a measurement of minutes: cargo test --test browsers sound:: -- --ignored --nocapture"]
async fn what_each_means_is_worth() {
    let time = Duration::from_secs(25);
    let without_red = "sdp = sdp.replace('red/48000/2', 'gone/48000/2');";
    let without_both =
        &format!("{without_red} sdp = sdp.replace('useinbandfec=1', 'useinbandfec=0');");
    for (loss, burst) in [(0.05, 1), (0.10, 1), (0.15, 4)] {
        for (means, offer) in [
            ("nothing", without_both.as_str()),
            ("in-band FEC", without_red),
            ("RED", ""),
        ] {
            let conditions = Conditions {
                loss,
                burst,
                ..LOSSY
            };
            let heard = hear(conditions, offer, time).await;
            println!(
                "loss {:.0} % in bursts of {burst}, {means}: {:.2} % concealed, {:.0} ms in the jitter buffer, {:.0} of {:.0} packets lost",
                loss * 100.0,
                heard.concealed() * 100.0,
                heard.seconds_in_buffer / heard.emitted * 1e3,
                heard.lost,
                heard.lost + heard.packets,
            );
        }
    }
}

#[tokio::test]
async fn a_fast_sound_card_is_told_of_and_costs_no_sample() {
    let chat = Chat::start().await;
    let microphone = FakeMicrophone::tone_at_pace(440, 1_500);
    let toml = format!(
        "{SMALL_PICTURE}{}[ice]\nloopback = true\n",
        FakeMicrophone::toml()
    );
    let device =
        crate::support::device::Device::start_with_env(chat.addr, &toml, &microphone.env()).await;
    device.registered().await;
    let url = format!("ws://{}/", chat.addr);
    let mut viewer = Viewer::join(&url, "viewer", "camera").await;
    viewer.call().await;
    viewer.watch(30).await;
    let told = "the sound card's pace against this machine's clock";
    device.logs(told, 1, Duration::from_secs(60)).await;
    let log = device.log();
    let line = log
        .iter()
        .find(|l| l["message"] == told)
        .expect("it is there");
    let ppm: f64 = line["ppm"]
        .as_str()
        .expect("text")
        .parse()
        .expect("a number");
    assert!((ppm - 1_500.0).abs() < 100.0, "{ppm}");
    // Each packet follows on the one before: to a receiver nothing is missing.
    viewer.received(|r| {
        assert_eq!(r.audio.missing, 0);
        assert_eq!(r.audio.timeline.elapsed, r.audio.ticks, "{:?}", r.audio);
        assert_eq!(r.audio.timeline.backwards, 0);
    });
    chat.stop().await;
}
