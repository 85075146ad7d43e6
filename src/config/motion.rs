//! `[motion]`: what counts as motion, and `[[hooks]]`: what is run then.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Zones are drawn by hand.
const MOST_ZONES: usize = 16;
/// Corners of a zone.
const CORNERS: std::ops::RangeInclusive<usize> = 3..=32;
/// Letters of a zone's name.
const MOST_LETTERS: usize = 32;
/// Times of a trigger, in seconds.
const LONGEST_S: u32 = 3600;
/// Hooks that a configuration may have.
const MOST_HOOKS: usize = 16;

/// `[motion]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MotionConfig {
    /// The camera is kept open and looked at, also while nobody watches.
    pub enabled: bool,
    /// 1 (the least) to 10, of zones that say nothing else.
    pub sensitivity: u8,
    /// Seconds that an event lasts at least.
    pub initial_s: u32,
    /// Seconds that motion before its end makes it longer.
    pub augmentation_s: u32,
    /// Seconds that it lasts at most.
    pub maximum_s: u32,
    /// Seconds after its end in which none begins.
    pub blind_s: u32,
    /// Where motion counts; without any everywhere.
    pub zones: Vec<ZoneConfig>,
}

/// `[[motion.zones]]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneConfig {
    /// In events.
    pub name: String,
    /// Of the picture that viewers see: 0, 0 is its upper left corner, 1, 1 its
    /// lower right one.
    pub corners: Vec<[f32; 2]>,
    /// 1 to 10, in place of `motion.sensitivity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<u8>,
}

impl Default for MotionConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            sensitivity: 5,
            initial_s: 5,
            augmentation_s: 5,
            maximum_s: 60,
            blind_s: 5,
            zones: Vec::new(),
        }
    }
}

/// When a hook is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookEvent {
    /// Motion begins.
    Motion,
    /// It is over.
    MotionEnded,
}

impl HookEvent {
    /// As it is written in a configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Motion => "motion",
            Self::MotionEnded => "motion-ended",
        }
    }
}

/// `[[hooks]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookConfig {
    /// When.
    pub on: Vec<HookEvent>,
    /// A program, from the root on, and its arguments; no shell is between.
    pub command: Vec<String>,
    /// It is ended after so many seconds, 1 to 3600.
    #[serde(default = "half_a_minute")]
    pub time_limit_s: u32,
}

fn half_a_minute() -> u32 {
    30
}

impl HookConfig {
    /// What is run.
    pub fn program(&self) -> PathBuf {
        self.command.first().map(PathBuf::from).unwrap_or_default()
    }
}

fn bad<T>(key: &'static str, problem: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError::Value {
        key,
        problem: problem.into(),
    })
}

fn sensitivity(key: &'static str, value: u8) -> Result<(), ConfigError> {
    match value {
        1..=10 => Ok(()),
        _ => bad(key, format!("{value} is not between 1 and 10")),
    }
}

impl MotionConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        sensitivity("motion.sensitivity", self.sensitivity)?;
        for (key, value, least) in [
            ("motion.initial_s", self.initial_s, 1),
            ("motion.augmentation_s", self.augmentation_s, 0),
            ("motion.maximum_s", self.maximum_s, 1),
            ("motion.blind_s", self.blind_s, 0),
        ] {
            if !(least..=LONGEST_S).contains(&value) {
                return bad(
                    key,
                    format!("{value} is not between {least} and {LONGEST_S}"),
                );
            }
        }
        if self.maximum_s < self.initial_s {
            return bad(
                "motion.maximum_s",
                format!("it is less than motion.initial_s, {}", self.initial_s),
            );
        }
        validate_zones(&self.zones)
    }
}

/// Checks all zones.
pub(crate) fn validate_zones(zones: &[ZoneConfig]) -> Result<(), ConfigError> {
    if zones.len() > MOST_ZONES {
        let problem = format!("{} are more than {MOST_ZONES}", zones.len());
        return bad("motion.zones", problem);
    }
    for (i, zone) in zones.iter().enumerate() {
        zone.validate()?;
        if zones[..i].iter().any(|other| other.name == zone.name) {
            let problem = format!("\"{}\" is there twice", zone.name);
            return bad("motion.zones.name", problem);
        }
    }
    Ok(())
}

/// What somebody who draws zones wants.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ZoneWish {
    /// This one, in place of the one of its name, or of the one that had another.
    Put {
        /// The name that it had.
        was: Option<String>,
        /// As it is to be.
        zone: ZoneConfig,
    },
    /// None of this name any more.
    Away(String),
    /// Those of the configuration again.
    Configured,
}

impl ZoneWish {
    /// The zones as they are then.
    pub(crate) fn applied_to(self, zones: &[ZoneConfig]) -> Result<Vec<ZoneConfig>, ConfigError> {
        let mut zones = zones.to_vec();
        let at = |zones: &[ZoneConfig], name: &str| zones.iter().position(|z| z.name == name);
        match self {
            Self::Put { was, zone } => {
                let old = at(&zones, was.as_deref().unwrap_or(&zone.name));
                match old {
                    Some(old) => zones[old] = zone,
                    None => zones.push(zone),
                }
            }
            Self::Away(name) => zones.retain(|zone| zone.name != name),
            Self::Configured => {}
        }
        validate_zones(&zones)?;
        Ok(zones)
    }
}

impl ZoneConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let name = &*self.name;
        let letters = name.chars().count();
        if !(1..=MOST_LETTERS).contains(&letters) || name.chars().any(char::is_control) {
            let problem = format!("a name has 1 to {MOST_LETTERS} letters, in one line");
            return bad("motion.zones.name", problem);
        }
        if let Some(value) = self.sensitivity {
            sensitivity("motion.zones.sensitivity", value)?;
        }
        let count = self.corners.len();
        if !CORNERS.contains(&count) {
            let (least, most) = (CORNERS.start(), CORNERS.end());
            let problem = format!("\"{name}\" has {count} corners; a zone has {least} to {most}");
            return bad("motion.zones.corners", problem);
        }
        let is_outside = |at: &f32| !(0.0..=1.0).contains(at);
        match self.corners.iter().flatten().find(|at| is_outside(at)) {
            Some(at) => bad(
                "motion.zones.corners",
                format!(
                    "\"{name}\": {at} is not in the picture, which goes from 0 to 1 across and \
                     down: [0.5, 0.5] is its middle"
                ),
            ),
            None => Ok(()),
        }
    }
}

/// Checks all hooks.
pub(super) fn validate_hooks(hooks: &[HookConfig]) -> Result<(), ConfigError> {
    if hooks.len() > MOST_HOOKS {
        return bad(
            "hooks",
            format!("{} are more than {MOST_HOOKS}", hooks.len()),
        );
    }
    for hook in hooks {
        if hook.on.is_empty() {
            return bad("hooks.on", "name one event at least: \"motion\"");
        }
        let Some(program) = hook.command.first() else {
            return bad(
                "hooks.command",
                "name a program: [\"/usr/local/bin/moved\"]",
            );
        };
        if !Path::new(program).is_absolute() {
            return bad(
                "hooks.command",
                format!(
                    "\"{program}\" is no program: name it from the root on, and its arguments \
                     each by itself: [\"/usr/bin/logger\", \"it moves\"]; no shell is between"
                ),
            );
        }
        if hook.command.iter().any(|part| part.contains('\0')) {
            return bad("hooks.command", "there is a NUL in it");
        }
        if !(1..=LONGEST_S).contains(&hook.time_limit_s) {
            let value = hook.time_limit_s;
            return bad(
                "hooks.time_limit_s",
                format!("{value} is not between 1 and {LONGEST_S}"),
            );
        }
    }
    Ok(())
}
