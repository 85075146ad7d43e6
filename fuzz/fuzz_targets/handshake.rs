//! What a hostile chat server answers to the WebSocket's handshake.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camera_agent::fuzzing::answer(data));
