//! The detector of motion: what holds of any picture, and of generated scenes.

use std::time::Duration;

use camera_agent::config::{MotionConfig, ZoneConfig};
use camera_agent::motion::trigger::{Change, End, Times, Trigger};
use camera_agent::motion::{Luma, Plane, RATE, Settings, Shrinker, UNIT, Watcher};
use proptest::prelude::*;

use crate::scenes::{Kind, Random, SIZE, Scene, Score};

/// Of a whole picture.
fn settings() -> Settings {
    let config = MotionConfig {
        enabled: true,
        ..MotionConfig::default()
    };
    Settings::of(&config).expect("it is on")
}

/// Two zones and their sensitivity.
fn zones(zones: &[(&str, [f32; 4], u8)]) -> Settings {
    let config = MotionConfig {
        enabled: true,
        zones: zones
            .iter()
            .map(
                |(name, [left, top, right, bottom], sensitivity)| ZoneConfig {
                    name: (*name).to_owned(),
                    corners: vec![
                        [*left, *top],
                        [*right, *top],
                        [*right, *bottom],
                        [*left, *bottom],
                    ],
                    sensitivity: Some(*sensitivity),
                },
            )
            .collect(),
        ..MotionConfig::default()
    };
    Settings::of(&config).expect("it is on")
}

/// When events began in a scene, by zone.
fn begun(settings: &Settings, scene: Scene) -> Vec<(String, f32)> {
    let mut watcher = Watcher::new(settings);
    let mut begun = Vec::new();
    for (time, picture) in scene.pictures() {
        for event in watcher.look(&picture, Duration::from_secs_f32(time)) {
            if event.change == Change::Began {
                begun.push((event.zone.to_string(), time));
            }
        }
    }
    begun
}

#[test]
fn of_generated_scenes_nearly_all_that_moves_is_found_and_nearly_nothing_else() {
    let mut all = Score::default();
    for kind in Kind::ALL {
        let scene = Scene::new(kind, 300);
        let moves = scene.moves();
        let events = begun(&settings(), scene);
        let events: Vec<f32> = events.into_iter().map(|event| event.1).collect();
        all.add(Score::of(&events, &moves));
    }
    assert!(all.moved >= 12, "{all:?}");
    assert!(all.precision() >= 0.9 && all.recall() >= 0.9, "{all:?}");
}

#[test]
fn what_moves_outside_of_a_zone_is_nothing_in_it() {
    // Walkers go below, the sky is above.
    let settings = zones(&[
        ("sky", [0.0, 0.0, 1.0, 0.08], 10),
        ("ground", [0.0, 0.3, 1.0, 1.0], 5),
    ]);
    let events = begun(&settings, Scene::new(Kind::Walker, 3));
    assert!(
        events.iter().any(|(zone, _)| zone == "ground"),
        "{events:?}"
    );
    assert!(events.iter().all(|(zone, _)| zone != "sky"), "{events:?}");
}

#[test]
fn a_more_sensitive_zone_sees_no_less() {
    for kind in [Kind::NightAndWalker, Kind::RainAndWalker, Kind::Walker] {
        let whole = [0.0, 0.0, 1.0, 1.0];
        let settings = zones(&[("less", whole, 2), ("more", whole, 8)]);
        let events = begun(&settings, Scene::new(kind, 5));
        let of = |zone: &str| events.iter().filter(|e| e.0 == zone).count();
        assert!(of("more") >= of("less"), "{kind:?}: {events:?}");
    }
}

/// A scene of noise on a still picture, with `light` laid over the second half.
fn still(seed: u64, noise: f32, light: impl Fn(f32, usize) -> f32) -> usize {
    let mut random = Random::new(seed);
    let backdrop: Vec<f32> = (0..SIZE.0 * SIZE.1)
        .map(|i| 90.0 + 50.0 * ((i % SIZE.0 / 9 + i / SIZE.0 / 7) % 2) as f32)
        .collect();
    let mut watcher = Watcher::new(&settings());
    let mut events = 0;
    for number in 0..60 {
        let pixel = |(i, luma): (usize, &f32)| {
            let lit = if number < 30 { *luma } else { light(*luma, i) };
            let grain = random.between(-1.7, 1.7) * noise;
            ((lit + grain).clamp(0.0, 255.0) * f32::from(UNIT)) as u16
        };
        let pixels = backdrop.iter().enumerate().map(pixel).collect();
        let picture = Luma::new(SIZE, pixels).expect("a picture");
        events += watcher.look(&picture, at(number)).len();
    }
    events
}

fn at(picture: u32) -> Duration {
    Duration::from_secs(1) * picture / RATE
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Darker, brighter, harder, flatter, in all of the picture or falling off
    /// from a lamp: none of it is motion, whatever the noise.
    #[test]
    fn light_is_no_motion(
        seed in any::<u64>(),
        noise in 0.0_f32..8.0,
        gain in 0.4_f32..1.6,
        offset in -30.0_f32..30.0,
        lamp in (0.0_f32..160.0, 0.0_f32..92.0, 40.0_f32..200.0),
    ) {
        prop_assert_eq!(still(seed, noise, |luma, _| luma * gain + offset), 0);
        let (x, y, reach) = lamp;
        let lit = |luma: f32, i: usize| {
            let away = ((i % SIZE.0) as f32 - x).hypot((i / SIZE.0) as f32 - y);
            luma * (1.0 + 0.5 * (-(away / reach).powi(2)).exp())
        };
        prop_assert_eq!(still(seed, noise, lit), 0);
    }
}

proptest! {
    /// Events of any motion, at any times, keep to the trigger's times.
    #[test]
    fn events_keep_to_their_times(
        initial in 1_u64..10,
        augmentation in 0_u64..10,
        longer in 0_u64..40,
        blind in 0_u64..10,
        looks in prop::collection::vec((0_u64..3_000, any::<bool>()), 1..300),
    ) {
        let seconds = Duration::from_secs;
        let times = Times {
            initial: seconds(initial),
            augmentation: seconds(augmentation),
            maximum: seconds(initial + longer),
            blind: seconds(blind),
        };
        let mut trigger = Trigger::new(times);
        let (mut now, mut gap) = (Duration::ZERO, Duration::ZERO);
        let (mut began, mut ended) = (None, None::<Duration>);
        for (later, moves) in looks {
            now += Duration::from_millis(later);
            gap = gap.max(Duration::from_millis(later));
            match trigger.look(moves, now) {
                Some(Change::Began) => {
                    prop_assert!(moves && began.is_none());
                    prop_assert!(ended.is_none_or(|at| now >= at + times.blind));
                    began = Some(now);
                }
                Some(Change::Ended(end, lasted)) => {
                    let since = began.take().expect("it began");
                    prop_assert_eq!(lasted, now - since);
                    prop_assert!(lasted >= times.initial.min(times.maximum));
                    // Late by no more than the time between two looks.
                    prop_assert!(lasted <= times.maximum + gap);
                    prop_assert_eq!(end == End::Maximum, lasted >= times.maximum);
                    ended = Some(now);
                }
                None => {}
            }
        }
        prop_assert_eq!(trigger.stop(now).is_some(), began.is_some());
    }

    /// Whatever a plane says of itself, and however sizes change in between.
    #[test]
    fn any_pictures_are_looked_at(
        planes in prop::collection::vec(
            (0_usize..400, 0_usize..300, 0_usize..900, 0_usize..4, any::<u8>()), 1..12,
        ),
    ) {
        let data: Vec<u8> = (0..60_000_u32).map(|i| ((i * 31) >> 3) as u8).collect();
        let mut shrinker = Shrinker::default();
        let mut watcher = Watcher::new(&settings());
        for (number, (width, height, stride, step, start)) in (0..).zip(planes) {
            let plane = Plane {
                data: &data[usize::from(start)..],
                size: (width, height),
                stride,
                step,
            };
            if let Some(picture) = shrinker.shrink(plane) {
                watcher.look(&picture, at(number));
            }
        }
    }
}

/// A day of a busy street: what is remembered of it does not grow, and events
/// follow on each other as their times say.
#[test]
fn a_day_of_motion_is_a_day_of_events() {
    let settings = settings();
    let mut trigger = Trigger::new(settings.times);
    let (mut began, mut ended) = (0, 0);
    for picture in 0..24 * 3600 * RATE {
        match trigger.look(true, at(picture)) {
            Some(Change::Began) => began += 1,
            Some(Change::Ended(end, lasted)) => {
                assert_eq!((end, lasted), (End::Maximum, settings.times.maximum));
                ended += 1;
            }
            None => {}
        }
    }
    // 60 s and 5 s in turns.
    assert_eq!((began, ended), (1330, 1329));
}

/// Whoever draws zones does so while the picture is looked at.
#[test]
fn other_zones_count_at_once_and_what_goes_on_in_one_that_is_gone_ends() {
    let whole = ("whole", [0.0, 0.0, 1.0, 1.0], 5);
    let both = zones(&[whole, ("sky", [0.0, 0.0, 1.0, 0.08], 5)]);
    let mut watcher = Watcher::new(&both);
    let mut pictures = Scene::new(Kind::Walker, 3).pictures();
    let mut look = |watcher: &mut Watcher| {
        let (time, picture) = pictures.next()?;
        let now = Duration::from_secs_f32(time);
        Some((now, watcher.look(&picture, now)))
    };
    let now = loop {
        let (now, events) = look(&mut watcher).expect("somebody walks");
        if events.iter().any(|e| e.change == Change::Began) {
            break now;
        }
    };
    // The one that stays is as it was.
    assert_eq!(watcher.watch(&zones(&[whole]).zones, now), []);
    let other = zones(&[("other", [0.0, 0.0, 1.0, 1.0], 5)]).zones;
    let ended = watcher.watch(&other, now + Duration::from_secs(1));
    assert_eq!(ended.len(), 1);
    assert_eq!(&*ended[0].zone, "whole");
    let end = (End::Still, Duration::from_secs(1));
    assert_eq!(ended[0].end(), Some(end));
    // The scene need not be learned anew: they walk on.
    let (_, events) = std::iter::from_fn(|| look(&mut watcher))
        .find(|(_, events)| !events.is_empty())
        .expect("they walk on");
    assert_eq!(
        (&*events[0].zone, events[0].change),
        ("other", Change::Began)
    );
}
