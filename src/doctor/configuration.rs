//! The configuration, in the words of `camera-agent run --check`.

use std::path::Path;

use super::{Check, Finding, remedies};
use crate::config::Config;
use crate::ice::IceServers;
use crate::media::gst;
use crate::signaling::Server;

const CHECK: Check = Check::Configuration;

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
            let remedy = "correct it; systemd/camera-agent.toml documents every key";
            return (None, vec![Finding::error(CHECK, error.to_string(), remedy)]);
        }
    };
    let mut findings = problems(&config);
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

/// Everything that would keep `run` from starting but the encoder, which is a
/// check of its own.
fn problems(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Err(error) = IceServers::load(&config.ice) {
        findings.push(Finding::error(
            CHECK,
            error.to_string(),
            "put the secret in that file and make it readable for this user",
        ));
    }
    if let Err(error) = Server::new(&config.server.url, config.server.ca_file.as_ref()) {
        findings.push(Finding::error(
            CHECK,
            error.to_string(),
            "correct server.url and server.ca_file",
        ));
    }
    let descriptions =
        gst::init().and_then(|()| gst::check_descriptions(&config.video, &config.audio));
    if let Err(error) = descriptions {
        findings.push(Finding::error(
            CHECK,
            error.to_string(),
            remedies::of(&error),
        ));
    }
    findings
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
        let findings = problems(&config);
        for word in ["/no/such.pem", "nosuchelement", "ice.servers.secret_file"] {
            let found = findings.iter().any(|f| f.what.contains(word));
            assert!(found, "{word}: {findings:?}");
        }
    }
}
