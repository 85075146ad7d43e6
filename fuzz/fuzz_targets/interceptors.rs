//! A hostile viewer's RTCP and RTP, decrypted, into the interceptors of a call.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camera_agent::fuzzing::interceptors(data));
