//! The process: parses what was typed, and does it.

use std::process::ExitCode;

use camera_agent::cli::Cli;
use camera_agent::{commands, environment};

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    #[allow(unsafe_code, reason = "the module explains itself")]
    unsafe {
        environment::prepare();
    }
    commands::carry_out(Cli::read().command)
}
