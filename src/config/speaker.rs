//! `[speaker]`: where callers are heard, and whose.

use serde::Deserialize;

use super::ConfigError;

/// Bytes of an ALSA name; real ones have some fifty.
const MOST_BYTES: usize = 256;

/// `[speaker]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpeakerConfig {
    /// The ALSA PCM that callers are heard from; without it nobody is heard.
    pub device: Option<String>,
    /// Who calls without an invitation may talk, too.
    pub strangers: bool,
    /// What is done against echo.
    pub echo: Echo,
}

/// What is done so that nobody hears themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Echo {
    /// While the speaker speaks, the microphone is silent, and the other way round.
    #[default]
    HalfDuplex,
    /// What the speaker plays is taken out of what the microphone hears, so that both are
    /// heard at once; half-duplex while that is not sure.
    Cancel,
    /// Nothing: for speakers that the microphone does not hear.
    Off,
}

impl SpeakerConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let bad = |problem: &str| {
            Err(ConfigError::Value {
                key: "speaker.device",
                problem: problem.to_owned(),
            })
        };
        match self.device.as_deref() {
            Some("") => bad("it is empty; name an ALSA PCM, as \"aplay -L\" does, or remove it"),
            Some(name) if name.len() > MOST_BYTES || name.contains(char::is_control) => {
                bad("it is no name of an ALSA PCM, as \"aplay -L\" lists them")
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_done_against_echo_is_named_where_it_is_something_else() {
        let parsed = |echo: &str| toml::from_str::<SpeakerConfig>(&format!("echo = \"{echo}\""));
        assert_eq!(parsed("cancel").expect("one of them").echo, Echo::Cancel);
        let error = parsed("aec").expect_err("none of them").to_string();
        for word in ["half-duplex", "cancel", "off"] {
            assert!(error.contains(word), "{error}");
        }
    }
}
