//! Motion in real pictures.

use std::time::Duration;

use tokio::sync::broadcast::Receiver as Told;

use super::*;
use crate::config::MotionConfig;
use crate::media::moved::Moved;
use crate::motion::trigger::End;

/// A ball that bounces about on black.
const BALL: &str = "videotestsrc is-live=true pattern=ball";

/// Nobody watches; motion is looked for in what `pipeline` makes.
fn watched_by_nobody(pipeline: &str) -> (Hub, crate::media::hub::HubThread) {
    init().expect("GStreamer is installed");
    let (mut video, audio) = config();
    video.source = VideoSource::Custom;
    video.pipeline = Some(pipeline.to_owned());
    let motion = MotionConfig {
        enabled: true,
        initial_s: 1,
        augmentation_s: 1,
        maximum_s: 2,
        blind_s: 1,
        ..MotionConfig::default()
    };
    let source = (*source(video, audio, x264())).with_motion(crate::motion::Settings::of(&motion));
    Hub::start(Box::new(source), None)
}

async fn told(news: &mut Told<Moved>) -> Moved {
    let moved = timeout(LIMIT, news.recv()).await;
    moved.expect("in time").expect("the hub lives")
}

#[tokio::test]
async fn motion_is_found_while_nobody_watches_and_who_comes_finds_the_camera_open() {
    let (hub, thread) = watched_by_nobody(BALL);
    let (past, mut news) = hub.moves().listen();
    assert_eq!(past, []);
    let began = told(&mut news).await;
    assert_eq!((&*began.zone, began.ended), ("picture", None));
    let ended = told(&mut news).await;
    assert_eq!(ended.began, began.began, "the same one");
    let (end, lasted) = ended.ended.expect("it is over");
    assert_eq!(end, End::Maximum, "the ball never rests");
    assert!(lasted >= Duration::from_secs(2), "{lasted:?}");
    assert_eq!(hub.status().borrow().video.state, State::Live);
    // It goes on while somebody watches, and after.
    let watch = hub.watch(Stream::Video(Encoding::H264));
    next_key(&mut watch.frames()).await;
    assert_eq!(told(&mut news).await.ended, None);
    drop(watch);
    let (recent, _) = hub.moves().listen();
    assert_eq!(recent.len(), 2, "{recent:?}");
    // More than the grace that the hub has for who watched.
    for _ in 0..8 {
        told(&mut news).await;
    }
    assert_eq!(hub.status().borrow().video.state, State::Live);
    thread.stop();
}

#[tokio::test]
async fn motion_ends_with_the_picture_and_begins_again_when_it_is_back() {
    // 8 s of it, again and again.
    let (hub, thread) = watched_by_nobody(&format!("{BALL} num-buffers=240"));
    let (_, mut news) = hub.moves().listen();
    let mut unseen = 0;
    let mut open = None;
    while unseen < 2 {
        let moved = told(&mut news).await;
        match moved.ended {
            None => assert_eq!(open.replace(moved.began), None, "one at a time"),
            Some((end, _)) => {
                assert_eq!(open.take(), Some(moved.began));
                unseen += u32::from(end == End::Unseen);
            }
        }
    }
    thread.stop();
}

#[tokio::test]
async fn a_clock_that_runs_is_no_motion() {
    init().expect("GStreamer is installed");
    let (video, audio) = config();
    let motion = MotionConfig {
        enabled: true,
        sensitivity: 10,
        ..MotionConfig::default()
    };
    let source = (*source(video, audio, x264())).with_motion(crate::motion::Settings::of(&motion));
    let (hub, thread) = Hub::start(Box::new(source), None);
    let (_, mut news) = hub.moves().listen();
    // Three seconds to learn, and as long as the ball takes twice.
    let told = timeout(Duration::from_secs(12), news.recv()).await;
    assert!(told.is_err(), "{told:?}");
    assert_eq!(hub.status().borrow().video.state, State::Live);
    thread.stop();
}

#[tokio::test]
async fn without_motion_nothing_is_opened_while_nobody_watches() {
    let (hub, thread) = hub();
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
        tasks.flatten().filter(|task| {
            let name = std::fs::read_to_string(task.path().join("comm"));
            name.is_ok_and(|name| name.starts_with(plan::WATCHING))
        })
    };
    let watch = hub.watch(Stream::Video(Encoding::H264));
    next_key(&mut watch.frames()).await;
    assert_eq!(threads().count(), 0);
    thread.stop();
    let (hub, thread) = watched_by_nobody(BALL);
    let (_, mut news) = hub.moves().listen();
    told(&mut news).await;
    assert!(threads().count() > 0, "this is where they would be seen");
    thread.stop();
}

#[tokio::test]
async fn motion_is_found_in_whatever_a_tee_carries() {
    init().expect("GStreamer is installed");
    let settings = crate::motion::Settings::of(&MotionConfig {
        enabled: true,
        ..MotionConfig::default()
    });
    let settings = settings.expect("it is on");
    let raw = |format: &str| (format.to_owned(), plan::Carries::Raw(format.to_owned()));
    let h264 = "I420 ! x264enc tune=zerolatency speed-preset=ultrafast ! \
                h264parse config-interval=-1 ! video/x-h264,stream-format=byte-stream,alignment=au";
    let mut pictures = Vec::new();
    for (format, carries) in ["I420", "NV12", "YUY2", "UYVY", "BGRx", "GRAY8"]
        .map(raw)
        .into_iter()
        .chain([(h264.to_owned(), plan::Carries::H264)])
    {
        let moves = Arc::<crate::media::moved::Moves>::default();
        let (_, news) = moves.listen();
        let (raw, coded) = format.split_once(" ! ").unwrap_or((&format, "identity"));
        let plan = PicturePlan {
            what: format.clone(),
            node: None,
            mode: None,
            description: format!(
                "{BALL} ! video/x-raw,format={raw},width=328,height=184,framerate=30/1 ! \
                 {coded} ! tee name=tee allow-not-linked=true"
            ),
            carries,
            fps: 30,
            size: (328, 184),
            reason: String::new(),
        };
        let mut picture =
            picture::Picture::new(plan, || {}, Arc::new(|_, error| panic!("{error}")))
                .expect("it is made");
        let motion = Arc::new(tap::Motion::new(settings.clone(), moves));
        picture.watch(&motion).expect("it is watched");
        let clock = gst::SystemClock::obtain();
        picture.play(&clock, clock.time()).expect("it plays");
        pictures.push((format, picture, news));
    }
    for (format, _picture, news) in &mut pictures {
        let moved = timeout(LIMIT, news.recv()).await;
        let moved = moved.unwrap_or_else(|_| panic!("nothing moves in {format}"));
        assert_eq!(moved.expect("it is told").ended, None, "{format}");
    }
}
