//! A viewer's packets of SCTP at our filter and, as far as they pass, at the crate.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| camera_agent::fuzzing::sctp(data));
