//! An offer from a stranger: read or refused; and the answer to one that was
//! read can be finished.
#![no_main]

use camera_agent::sdp::{Offer, ProfileLevelId, finish_answer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|sdp: &str| {
    match Offer::parse(sdp) {
        Ok(offer) => {
            assert!(offer.video.payload_type < 128);
            assert!(!offer.ufrags.is_empty() && !offer.fingerprints.is_empty());
            let _ = finish_answer(sdp, &offer, ProfileLevelId::parse("42c01f"));
        }
        Err(error) => {
            let words = error.to_string();
            assert!(!words.contains('\n'), "a reason is one line: {words}");
        }
    }
});
