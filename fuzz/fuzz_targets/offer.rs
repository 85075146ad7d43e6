//! An offer from a stranger: read or refused; and what the crate is given of one
//! that was read holds nothing of the stranger's.
#![no_main]

use camera_agent::sdp::{MAX_CANDIDATES, Offer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|sdp: &str| {
    match Offer::parse(sdp) {
        Ok(offer) => {
            assert!(offer.video.payload_type < 128);
            assert!(offer.candidates.len() <= MAX_CANDIDATES);
            assert!(offer.for_crate().len() < 8 * 1024);
        }
        Err(error) => {
            let words = error.to_string();
            assert!(!words.contains('\n'), "a reason is one line: {words}");
            assert!(words.len() < 200, "and a short one: {words}");
        }
    }
});
