//! A caller who sends records of DTLS instead of a handshake, or into one.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camera_agent::fuzzing::records(data));
