//! What is watched, and how.

use std::sync::Arc;
use std::time::Duration;

use super::trigger::Times;
use super::zone::Point;
use crate::config::{MotionConfig, ZoneConfig};

/// The zone of a configuration without any: the whole picture.
const WHOLE: &str = "picture";

/// A part of the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// For people.
    pub name: Arc<str>,
    /// Its corners, in order.
    pub polygon: Vec<Point>,
    /// 1 (the least) to 10.
    pub sensitivity: u8,
}

impl Zone {
    /// As they are configured or drawn, `sensitivity` for those that say nothing
    /// else: the whole picture where there are none.
    pub(crate) fn all(zones: &[ZoneConfig], sensitivity: u8) -> Vec<Self> {
        if zones.is_empty() {
            return vec![Self {
                name: WHOLE.into(),
                polygon: vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]],
                sensitivity,
            }];
        }
        let of = |zone: &ZoneConfig| Self {
            name: zone.name.as_str().into(),
            polygon: zone.corners.clone(),
            sensitivity: zone.sensitivity.unwrap_or(sensitivity),
        };
        zones.iter().map(of).collect()
    }
}

/// What is watched.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// One at least.
    pub zones: Vec<Zone>,
    /// Of each zone's events.
    pub times: Times,
}

impl Settings {
    /// As it is configured; `None` where motion is off.
    pub fn of(config: &MotionConfig) -> Option<Self> {
        let seconds = |s: u32| Duration::from_secs(s.into());
        config.enabled.then(|| Self {
            zones: Zone::all(&config.zones, config.sensitivity),
            times: Times {
                initial: seconds(config.initial_s),
                augmentation: seconds(config.augmentation_s),
                maximum: seconds(config.maximum_s),
                blind: seconds(config.blind_s),
            },
        })
    }
}
