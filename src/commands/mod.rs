//! The commands, each in a file of its own: what is typed becomes settings and
//! output here, and work elsewhere.

mod chat;
mod demo;
mod devices;
mod doctor;
mod fixture;
mod package_files;
mod page;
mod process;
mod restarts;
mod run;
mod setup;

use std::io::{stdin, stdout};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::Command;
use crate::config::ConfigError;
use crate::daemon::StartError;
use crate::media::probe::child;
use crate::owner::chat_users;
use crate::{logging, owner};

/// sysexits.h's number for a configuration that cannot be used: starting again
/// will not mend it, and the unit says so.
const CONFIGURATION: u8 = 78;
/// What went wrong was said; another start may go better.
const FAILURE: u8 = 1;

/// Does what was typed. An error is the last line of the log.
pub fn carry_out(command: Command) -> ExitCode {
    let result = match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Chat(arguments) => chat::run(&arguments),
        Command::ChatUser(arguments) => {
            chat_users::chat_user(&arguments, &mut chat_users::Asked, &mut stdout())
                .map_err(Into::into)
        }
        Command::Page(arguments) => page::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Doctor(arguments) => match doctor::run(&arguments) {
            Ok(severity) => return ExitCode::from(severity.exit_code()),
            Err(error) => Err(error),
        },
        Command::Setup(arguments) => setup::run(&arguments),
        Command::PackageFiles { folder } => package_files::write(&folder)
            .with_context(|| format!("writing to {}", folder.display())),
        Command::Fixture { report, folder } => fixture::write(&report, &folder),
        Command::Devices(arguments) => devices::run(&arguments),
        Command::Invite(arguments) => owner::invite(&arguments, &mut stdout()).map_err(Into::into),
        Command::Viewers(arguments) => {
            owner::viewers(&arguments, &mut stdout()).map_err(Into::into)
        }
        Command::Privacy(arguments) => {
            owner::privacy(&arguments, &mut stdout()).map_err(Into::into)
        }
        Command::Revoke(arguments) => owner::revoke(&arguments, &mut stdout()).map_err(Into::into),
        Command::ProbeEncoder => child::serve(stdin(), stdout()).map_err(anyhow::Error::msg),
        Command::SetupLook => setup::look(),
        Command::SetupTestCall { config } => setup::be_called(&config),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::last_words(&format_args!("{error:#}"));
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let is_configuration = error.chain().any(|cause| {
        cause.is::<ConfigError>()
            || cause
                .downcast_ref()
                .is_some_and(StartError::is_configuration)
    });
    match is_configuration {
        true => CONFIGURATION,
        false => FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_cannot_be_used_has_a_code_of_its_own() {
        let bad = || ConfigError::Value {
            key: "server.name",
            problem: "is empty".to_owned(),
        };
        let alone = anyhow::Error::new(bad());
        assert_eq!(exit_code(&alone), 78);
        assert_eq!(exit_code(&alone.context("starting")), 78);
        let at_start = anyhow::Error::new(StartError::Config(bad()));
        assert_eq!(exit_code(&at_start), 78);
        let other = std::io::Error::other("the disk is full");
        assert_eq!(exit_code(&anyhow::Error::new(other)), 1);
    }
}
