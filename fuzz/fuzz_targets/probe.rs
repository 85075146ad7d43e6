//! What an encoder's probe writes, and the file that remembers it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camera_agent::fuzzing::probe(data));
