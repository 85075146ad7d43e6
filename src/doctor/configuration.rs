//! The configuration, in the words of `camera-agent run --check`.

use std::path::Path;

use super::finding::{Check, Finding};
use super::remedies;
use crate::config::{Config, ConfigError};
use crate::daemon::{self, StartError};
use crate::signaling::SignalingError;

const CHECK: Check = Check::Configuration;
const CORRECT: &str = "correct it; systemd/camera-agent.toml documents every key";

/// Reads it. Without one that can be read nothing that depends on it is worth
/// trying.
pub(super) fn read(path: Option<&Path>) -> (Option<Config>, Vec<Finding>) {
    let loaded = match path {
        Some(path) => Config::load(path),
        None => Ok(Config::default()),
    };
    let config = match loaded {
        Ok(config) => config,
        Err(error) => {
            return (
                None,
                vec![Finding::error(CHECK, error.to_string(), CORRECT)],
            );
        }
    };
    let mut findings: Vec<_> = daemon::problems(&config).iter().map(judge).collect();
    if findings.is_empty() {
        findings.push(Finding::ok(
            CHECK,
            match path {
                Some(path) => format!("{} is valid", path.display()),
                None => "no file was given; every key has its default".to_owned(),
            },
        ));
    }
    (Some(config), findings)
}

fn judge(problem: &StartError) -> Finding {
    let remedy = match problem {
        StartError::Config(ConfigError::Secret { .. })
        | StartError::Signaling(SignalingError::Config(ConfigError::Secret { .. })) => {
            "put the secret in that file and make it readable for this user".to_owned()
        }
        StartError::Config(_) | StartError::Signaling(SignalingError::Config(_)) => {
            CORRECT.to_owned()
        }
        StartError::Signaling(SignalingError::Authority { .. }) => {
            "put the server's certificate, or that of who signed it, in that file as PEM, and \
             make it readable for this user"
                .to_owned()
        }
        StartError::Signaling(SignalingError::Tls(_)) => "report this".to_owned(),
        StartError::Media(error) => remedies::of(error),
        StartError::Peer(_) => "report this".to_owned(),
    };
    Finding::error(CHECK, problem.to_string(), remedy)
}

/// Said in place of the checks that need a configuration.
pub(super) fn nothing_else_was_tried() -> Finding {
    Finding::hint(
        CHECK,
        "camera, microphone, encoder, servers and the test call were not tried",
        "run the doctor again once the configuration can be read",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn a_file_that_cannot_be_read_is_one_error_and_no_configuration() {
        let (config, findings) = read(Some(Path::new("/no/such/file")));
        assert_eq!(config, None);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::Error);
        assert!(findings[0].what.contains("/no/such/file"));
    }

    #[test]
    fn every_problem_is_found_and_not_the_first_alone() {
        let text = "[server]\nurl = \"wss://x/\"\nca_file = \"/no/such.pem\"\n\
                    [video]\nsource = \"custom\"\npipeline = \"nosuchelement\"\n\
                    [[ice.servers]]\nurls = [\"turn:t\"]\nsecret_file = \"/no/such\"\n";
        let config = Config::parse(text, Path::new("x")).expect("it parses");
        let findings: Vec<_> = daemon::problems(&config).iter().map(judge).collect();
        for word in ["/no/such.pem", "nosuchelement", "ice.servers.secret_file"] {
            let found = findings.iter().any(|f| f.what.contains(word));
            assert!(found, "{word}: {findings:?}");
        }
    }
}
