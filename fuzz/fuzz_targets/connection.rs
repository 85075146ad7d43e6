//! A whole call over a socket that is none, with a viewer who sends anything.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camera_agent::fuzzing::connection(data));
