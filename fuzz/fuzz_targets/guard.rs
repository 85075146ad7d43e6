//! Datagrams of strangers, servers and the crate at the guard of a connection.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camera_agent::fuzzing::guard(data));
