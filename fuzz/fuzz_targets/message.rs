//! A viewer's message over the data channel.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camera_agent::fuzzing::message(data));
