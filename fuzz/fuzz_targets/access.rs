//! The file of invitations.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| camera_agent::fuzzing::store(text));
