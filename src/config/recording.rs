//! `[recording]`: what is kept of picture and sound, where, and for how long.

use std::path::PathBuf;

use serde::Deserialize;

use super::ConfigError;

/// Seconds before its cause that a recording begins, at most: they are kept in
/// memory.
pub(crate) const LONGEST_PRE_ROLL_S: u32 = 30;
/// A disk of 16 TB, in MB.
const LARGEST_MB: u64 = 16_000_000;
/// Ten years.
const LONGEST_DAYS: u32 = 3_650;

/// When picture and sound are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordWhen {
    /// Never, but for a viewer's button.
    Off,
    /// While something moves; that needs `motion.enabled`.
    Motion,
    /// While somebody watches.
    Watched,
    /// All the time.
    Always,
}

/// `[recording]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordingConfig {
    /// When.
    pub when: RecordWhen,
    /// Whether viewers who may see recordings may make one, too.
    pub button: bool,
    /// Where they are kept; without it in the device's state folder.
    pub folder: Option<PathBuf>,
    /// Seconds before its cause that a recording begins, 0 to 30.
    pub pre_roll_s: u32,
    /// All of them together take no more than so many MB; 0 is no limit.
    pub total_mb: u64,
    /// None is kept for more than so many days; 0 is no limit.
    pub age_days: u32,
    /// So many MB of the disk stay free.
    pub free_mb: u64,
    /// Percent of what is kept, 0 to 100: where there is too much, recordings that were
    /// made while strangers alone watched go first as long as they have more.
    pub strangers_percent: u32,
}

impl Default for RecordingConfig {
    fn default() -> Self {
        Self {
            when: RecordWhen::Off,
            button: false,
            folder: None,
            pre_roll_s: 5,
            total_mb: 4_000,
            age_days: 30,
            free_mb: 500,
            strangers_percent: 25,
        }
    }
}

impl RecordingConfig {
    /// Something may be recorded.
    pub(crate) fn is_on(&self) -> bool {
        self.when != RecordWhen::Off || self.button
    }

    /// `motion`: it is looked for.
    pub(super) fn validate(&self, motion: bool) -> Result<(), ConfigError> {
        let bad = |key, problem: String| Err(ConfigError::Value { key, problem });
        if self.when == RecordWhen::Motion && !motion {
            return bad(
                "recording.when",
                "\"motion\" needs motion.enabled = true, which looks for it".to_owned(),
            );
        }
        if let Some(folder) = &self.folder
            && !folder.is_absolute()
        {
            return bad(
                "recording.folder",
                "name it from the root on: /var/lib/camera-agent/recordings".to_owned(),
            );
        }
        let range = |key, value: u64, most: u64| match value {
            _ if value <= most => Ok(()),
            _ => bad(key, format!("{value} is not between 0 and {most}")),
        };
        range(
            "recording.pre_roll_s",
            self.pre_roll_s.into(),
            LONGEST_PRE_ROLL_S.into(),
        )?;
        range("recording.total_mb", self.total_mb, LARGEST_MB)?;
        range(
            "recording.age_days",
            self.age_days.into(),
            LONGEST_DAYS.into(),
        )?;
        range("recording.free_mb", self.free_mb, LARGEST_MB)?;
        range(
            "recording.strangers_percent",
            self.strangers_percent.into(),
            100,
        )
    }
}
