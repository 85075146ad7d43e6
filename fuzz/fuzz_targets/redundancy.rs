//! Sound with copies of earlier packets (RED), read back.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camera_agent::fuzzing::redundancy(data));
