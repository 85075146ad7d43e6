//! A configuration file as anybody writes it: for fuzzing and for property
//! tests. Not part of the program.

use std::path::Path;

use super::Config;
use crate::fuzzing::{LOGIN, gives_login_away};

/// The same of bytes.
pub fn file(data: &[u8]) {
    text(crate::fuzzing::text(data));
}

/// Text is a configuration or is refused in one line, which shows none of the
/// credentials in it; and what is shown of a good one has none either.
pub(crate) fn text(text: &str) {
    if gives_login_away(text.as_bytes()) {
        return;
    }
    let text = text.replace('$', LOGIN);
    match Config::parse(&text, Path::new("camera-agent.toml")) {
        Ok(config) => {
            let again = Config::parse(&text, Path::new("camera-agent.toml"));
            assert_eq!(again.expect("it was good"), config);
            config.validate().expect("it was checked");
            for server in config.ice.servers.iter().flat_map(|s| &s.urls) {
                let shown = server.to_string();
                assert!(!shown.contains("north-star"), "{shown}");
            }
        }
        Err(error) => {
            let words = error.to_string();
            assert!(!words.contains(['\n', '\r']), "one line: {words:?}");
            assert!(!words.contains("north-star"), "{words}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const DOCUMENTED: &str = include_str!("../../systemd/camera-agent.toml");

    proptest! {
        /// The documented file with one line of it changed.
        #[test]
        fn any_value_is_taken_or_refused_in_one_line(
            line in any::<prop::sample::Index>(),
            value in prop_oneof![
                "-?[0-9]{1,20}", "\"(stun|turns?|wss?|https?)?:?\\$?[a-z0-9.:/?=\\[\\]]{0,20}\"",
                "\"\\PC{0,20}\"", "\\[(\"\\$?[a-z:.]{0,9}\")?\\]", "true|false|nan|1e400",
                "\"(\\\\n|\\\\t|\\$| |x){0,9}\"",
            ],
        ) {
            let keys: Vec<_> = DOCUMENTED
                .lines()
                .map(|l| l.strip_prefix("#:").unwrap_or(l))
                .collect();
            let places: Vec<_> = (0..keys.len()).filter(|i| keys[*i].contains(" = ")).collect();
            let place = places[line.index(places.len())];
            let text: String = keys
                .iter()
                .enumerate()
                .map(|(i, line)| match line.split_once(" = ") {
                    Some((key, _)) if i == place => format!("{key} = {value}\n"),
                    _ => format!("{line}\n"),
                })
                .collect();
            super::text(&text);
        }
    }
}
