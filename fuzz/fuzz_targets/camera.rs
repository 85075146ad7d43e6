//! H.264 (and VP8) of a camera, on its way into packets.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camera_agent::fuzzing::camera(data));
