//! A configuration file; what is said of it shows no credentials.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camera_agent::fuzzing::file(data));
