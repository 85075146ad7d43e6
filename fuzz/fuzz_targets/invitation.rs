//! A code that somebody typed, a link that somebody opened.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| camera_agent::fuzzing::code(text));
