//! What is different between two configurations, and whom it concerns: pure.

use crate::config::{AudioSource, Config, ServerConfig};

/// What a new configuration asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Another chat server, or another way to it: connect anew.
    pub server: bool,
    /// Another name: claim it.
    pub name: bool,
    /// Another limit for calls to come.
    pub viewers: bool,
    /// Another way to viewers, or sound where there was none: connections to
    /// come.
    pub peers: bool,
    /// Another picture, sound, light or motion: another source, when nobody
    /// watches.
    pub media: bool,
    /// Others are let in.
    pub access: bool,
    /// Camera and microphone stay closed at other times.
    pub privacy: bool,
    /// Something else is run when something happens.
    pub hooks: bool,
    /// Other things are recorded.
    pub recording: bool,
    /// Another level of the log.
    pub log_level: bool,
    /// Another look of the log, which takes a restart.
    pub log_format: bool,
}

impl Changes {
    pub(super) fn between(old: &Config, new: &Config) -> Self {
        let silent = |config: &Config| config.audio.source == AudioSource::None;
        Self {
            server: {
                let name = old.server.name.clone();
                let unnamed = ServerConfig {
                    name,
                    ..new.server.clone()
                };
                old.server != unnamed
            },
            name: old.server.name != new.server.name,
            viewers: old.viewers != new.viewers,
            peers: old.ice != new.ice
                || silent(old) != silent(new)
                || old.speaker != new.speaker
                || old.video.viewer_controls != new.video.viewer_controls,
            media: old.video != new.video
                || old.audio != new.audio
                || old.led != new.led
                || old.motion != new.motion
                || old.encoders != new.encoders,
            access: old.access != new.access,
            privacy: old.privacy != new.privacy,
            hooks: old.hooks != new.hooks,
            recording: old.recording != new.recording,
            log_level: old.log.level != new.log.level,
            log_format: old.log.format != new.log.format,
        }
    }

    /// In words, for the log.
    pub(super) fn words(self) -> String {
        let mut words = Vec::new();
        for (changed, word) in [
            (self.server, "another chat server"),
            (self.name, "another name"),
            (self.viewers, "another viewer limit"),
            (self.peers, "another way to viewers, for calls to come"),
            (
                self.media,
                "another picture, sound or motion, as soon as nobody watches",
            ),
            (self.access, "others are let in"),
            (self.privacy, "privacy"),
            (self.hooks, "other hooks"),
            (self.recording, "other recordings"),
            (self.log_level, "another log level"),
            (self.log_format, "another log format, which takes a restart"),
        ] {
            if changed {
                words.push(word);
            }
        }
        if words.is_empty() {
            "nothing has changed".to_owned()
        } else {
            words.join("; ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// What changes when this is laid over the defaults.
    fn changes(toml: &str) -> Changes {
        let new = Config::parse(toml, Path::new("new.toml")).expect("valid");
        Changes::between(&Config::default(), &new)
    }

    /// Nothing but what this sets.
    fn only(set: impl FnOnce(&mut Changes)) -> Changes {
        let mut changes = Changes::default();
        set(&mut changes);
        changes
    }

    #[test]
    fn a_change_concerns_only_whom_it_must() {
        for (toml, expected) in [
            ("", Changes::default()),
            ("[server]\nurl = \"wss://x/\"", only(|c| c.server = true)),
            ("[server]\nca_file = \"/ca\"", only(|c| c.server = true)),
            (
                "[server]\ntoken_file = \"/token\"",
                only(|c| c.server = true),
            ),
            ("[server]\nproxy = \"none\"", only(|c| c.server = true)),
            ("[server]\nname = \"door\"", only(|c| c.name = true)),
            ("[viewers]\nmax = 2", only(|c| c.viewers = true)),
            ("[video]\nfps = 15", only(|c| c.media = true)),
            ("[audio]\nbitrate_kbps = 32", only(|c| c.media = true)),
            ("[led]\npath = \"/l\"", only(|c| c.media = true)),
            ("[motion]\nenabled = true", only(|c| c.media = true)),
            (
                "[[hooks]]\non = [\"motion\"]\ncommand = [\"/bin/true\"]",
                only(|c| c.hooks = true),
            ),
            ("[recording]\nbutton = true", only(|c| c.recording = true)),
            ("[access]\nmode = \"invited\"", only(|c| c.access = true)),
            ("[privacy]\nalways = true", only(|c| c.privacy = true)),
            (
                "[audio]\nsource = \"none\"",
                only(|c| (c.media, c.peers) = (true, true)),
            ),
            ("[ice]\nloopback = true", only(|c| c.peers = true)),
            ("[speaker]\ndevice = \"s\"", only(|c| c.peers = true)),
            ("[log]\nlevel = \"debug\"", only(|c| c.log_level = true)),
            ("[log]\nformat = \"json\"", only(|c| c.log_format = true)),
        ] {
            assert_eq!(changes(toml), expected, "{toml}");
        }
    }

    #[test]
    fn the_words_name_each() {
        assert_eq!(changes("").words(), "nothing has changed");
        let words = changes("[server]\nname = \"door\"\n[video]\nfps = 15").words();
        assert!(
            words.contains("name") && words.contains("nobody watches"),
            "{words}"
        );
    }
}
