//! Many viewers at one camera.

use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use super::*;
use crate::device::Control;
use crate::device::controls::Kind;

/// So long as three viewers' wishes, and not as long as four.
const SHORT: Duration = Duration::from_millis(350);

fn brightness() -> CameraControl {
    CameraControl {
        control: Control {
            id: 0x0098_0900,
            name: "brightness".to_owned(),
            minimum: 0,
            maximum: 255,
            step: 1,
            default: 128,
            menu: Vec::new(),
            writable: true,
        },
        kind: Kind::Integer,
        value: 128,
        inactive: false,
    }
}

/// What all viewers are told.
fn told(controls: &ViewerControls) -> usize {
    controls.known().borrow().len()
}

fn all_of(camera: Arc<AtCamera>) -> Arc<ViewerControls> {
    at_nodes(camera, Arc::default())
}

/// The camera that is open is the one of this number.
fn at_nodes(camera: Arc<AtCamera>, number: Arc<AtomicUsize>) -> Arc<ViewerControls> {
    let which = move || Some(format!("/dev/video{}", number.load(Ordering::Relaxed)));
    let allowed = vec!["*".to_owned()];
    Arc::new(ViewerControls::of(camera, Box::new(which), allowed, SHORT))
}

/// As a camera goes live each viewer's channel asks. From the 21st on they waited longer
/// than a camera may take, and had the controls taken from everybody.
#[tokio::test]
async fn however_many_ask_at_once_the_camera_is_asked_for_all_of_them() {
    let asked = Arc::<AtomicUsize>::default();
    let count = asked.clone();
    let controls = all_of(Arc::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(vec![brightness()])
    }));
    let mut known = controls.known();
    let all = (0..25).map(|_| {
        let controls = controls.clone();
        tokio::spawn(async move { controls.refresh().await })
    });
    for refresh in all.collect::<Vec<_>>() {
        refresh.await.expect("it ends");
        assert_eq!(known.borrow_and_update().len(), 1);
    }
    let asked = asked.load(Ordering::Relaxed);
    assert!((1..=3).contains(&asked), "{asked}");
}

/// Each waits for those before them, and none of that is the camera's silence.
#[tokio::test]
async fn who_waits_for_their_turn_is_not_told_that_the_camera_is_silent() {
    let controls = all_of(Arc::new(|_| Ok(vec![brightness()])));
    let all = (0..6).map(|value| {
        let controls = controls.clone();
        let set = async move {
            let value = ControlValue::Number(value);
            controls.set("brightness".to_owned(), value).await
        };
        tokio::spawn(set)
    });
    for set in all.collect::<Vec<_>>() {
        let set = set.await.expect("it ends");
        set.expect("the camera takes it");
    }
}

#[tokio::test]
async fn a_driver_that_hangs_takes_the_controls_from_nobody_and_holds_up_nobody_for_long() {
    let (go_on, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let controls = all_of(Arc::new(move |wish: Option<Wish>| {
        if wish.is_some() {
            // Until this test ends.
            let _ = lock(&held).recv();
        }
        Ok(vec![brightness()])
    }));
    controls.refresh().await;
    assert_eq!(told(&controls), 1);
    let set = |value| {
        let controls = controls.clone();
        async move {
            let value = ControlValue::Number(value);
            controls.set("brightness".to_owned(), value).await
        }
    };
    let (first, second) = tokio::join!(set(1), set(2));
    for refused in [first, second] {
        let refused = refused.expect_err("it hangs");
        assert_eq!(refused.reason.code, Code::CameraSilent);
    }
    controls.refresh().await;
    assert_eq!(told(&controls), 1, "they are what they were");
    drop(go_on);
    let mut busy = controls.busy.subscribe();
    busy.wait_for(Option::is_none).await.expect("it is there");
    // It answers again.
    controls.refresh().await;
    set(3).await.expect("the camera takes it");
}

#[tokio::test]
async fn without_a_camera_there_are_no_controls() {
    let is_there = Arc::new(std::sync::Mutex::new(true));
    let there = is_there.clone();
    let controls = all_of(Arc::new(move |_| match *lock(&there) {
        true => Ok(vec![brightness()]),
        false => Err(NO_CAMERA),
    }));
    controls.refresh().await;
    assert_eq!(told(&controls), 1);
    *lock(&is_there) = false;
    controls.refresh().await;
    assert_eq!(told(&controls), 0);
}

/// A camera may take its time for the first question: its controls were missing until
/// somebody else came.
#[tokio::test]
async fn what_a_camera_says_late_is_told_all_the_same_and_of_no_other_camera() {
    let (go_on, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let number = Arc::<AtomicUsize>::default();
    let controls = at_nodes(
        Arc::new(move |_| {
            let _ = lock(&held).recv();
            Ok(vec![brightness()])
        }),
        number.clone(),
    );
    let mut known = controls.known();
    controls.refresh().await;
    // Another comes who does not wait as long.
    controls.refresh().await;
    assert_eq!(told(&controls), 0);
    go_on.send(()).expect("it waits");
    let heard = known.wait_for(|list| list.len() == 1);
    let heard = timeout(Duration::from_secs(20), heard).await;
    drop(heard.expect("in time").expect("it is there"));
    // Another camera takes its place, and says nothing.
    number.store(1, Ordering::Relaxed);
    controls.refresh().await;
    assert_eq!(told(&controls), 0, "these are the other one's");
    // That one goes, while it is still being asked: its place has another, which is asked.
    number.store(2, Ordering::Relaxed);
    go_on.send(()).expect("it waits");
    controls.refresh().await;
    assert_eq!(told(&controls), 0);
    go_on.send(()).expect("it waits");
    let heard = timeout(
        Duration::from_secs(20),
        known.wait_for(|list| list.len() == 1),
    );
    drop(heard.await.expect("in time").expect("it is there"));
}
