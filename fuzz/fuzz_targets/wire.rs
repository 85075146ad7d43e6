//! A frame from a stranger: parsed or refused, never a panic; and what was
//! understood is understood the same way again.
#![no_main]

use camera_agent::wire::{Candidate, Incoming};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parsed = Incoming::parse(text);
    assert_eq!(parsed, Incoming::parse(text));
    if let Ok(Incoming::NewIceCandidate {
        candidate: Some(candidate),
        ..
    }) = parsed
    {
        let _ = (candidate.ufrag(), candidate.is_end());
        let written = serde_json::to_string(&candidate).expect("it can be written");
        let read: Candidate = serde_json::from_str(&written).expect("and read");
        assert_eq!(read, candidate);
    }
});
