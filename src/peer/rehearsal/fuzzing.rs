//! An offer of a stranger, through reader and writer and the crate's own
//! `set_remote_description`: for fuzzing. Not part of the program.

use std::sync::LazyLock;
use std::time::Instant;

use super::Rehearsal;
use crate::sdp::{Description, MAX_CANDIDATES, Offer};

static REHEARSAL: LazyLock<Rehearsal> = LazyLock::new(|| Rehearsal::new().expect("a certificate"));

/// Makes the certificate, which is not part of what an offer costs.
pub fn prepare() {
    LazyLock::force(&REHEARSAL);
}

/// Read or refused in one short line; and what is read is answered, on its own
/// sections, and again.
pub fn offer(data: &[u8]) {
    let sdp = crate::fuzzing::text(data);
    match Offer::parse(sdp) {
        Ok(offer) => answered(sdp, &offer),
        Err(error) => {
            let words = error.to_string();
            assert!(!words.contains('\n'), "a reason is one line: {words}");
            assert!(words.len() < 200, "and a short one: {words}");
        }
    }
}

fn answered(sdp: &str, offer: &Offer) {
    assert!(offer.video.payload_type < 128);
    assert!(offer.candidates.len() <= MAX_CANDIDATES);
    assert!(offer.for_crate().len() < 8 * 1024);
    let now = Instant::now();
    let mut call = REHEARSAL.call(offer, now).expect("a connection");
    let answer = call.answer(offer, now).expect("what is read is answered");
    let sections = answer.lines().filter(|l| l.starts_with("m=")).count();
    assert_eq!(sections, offer.sections());
    let again = Description::read(sdp).and_then(|d| d.again(offer));
    let again = again.expect("it was read before");
    call.answer(&again, now).expect("and again");
}
