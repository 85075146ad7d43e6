//! Callers whose path is up and who send what they like instead of a handshake.

use std::collections::VecDeque;
use std::time::Duration;

use super::connection::{Call, REHEARSAL, STEPS, THEIRS};
use crate::fuzzing::Draw;
use crate::peer::socket::guard::fuzzing::records as write;

/// One thing that a caller does instead of their handshake.
fn instead(call: &mut Call, draw: &mut Draw<'_>) {
    let kind = draw.byte();
    let next = |call: &mut Call| call.held.as_mut().and_then(VecDeque::pop_front);
    match kind % 8 {
        0 => call.pass(Duration::from_millis(u64::from(draw.byte()) * 8)),
        1 => {
            // Their own, as it should be.
            if let Some(datagram) = next(call) {
                call.comes(THEIRS.into(), &datagram);
                call.good.push_front(datagram);
            }
        }
        2 | 3 => {
            // Nearly so; or again.
            let datagram = match kind & 64 {
                0 => next(call),
                _ => call.good.get(usize::from(kind >> 3) % 4).cloned(),
            };
            if let Some(mut datagram) = datagram {
                let at = usize::from(draw.short()) % datagram.len().max(1);
                if let Some(byte) = datagram.get_mut(at) {
                    *byte ^= draw.byte();
                }
                call.comes(THEIRS.into(), &datagram);
            }
        }
        4 | 5 => {
            // Pieces of messages that there never were.
            let mut datagram = Vec::new();
            for _ in 0..=(kind >> 5) {
                let length = usize::from(draw.short()) % 20_000;
                let (number, offset) = (u16::from(draw.byte() % 36), usize::from(draw.short()));
                let here = usize::from(draw.short()) % 1_200;
                let body = write::fragment(length, number, offset % (length + 1), here);
                datagram.extend(write::record(22, u16::from(draw.byte() % 3), &body));
            }
            call.comes(THEIRS.into(), &datagram);
        }
        6 => {
            let record = write::record(20 + kind % 6, u16::from(kind >> 6), draw.piece());
            call.comes(THEIRS.into(), &record);
        }
        _ => {
            let mut datagram = vec![20 + kind % 44];
            datagram.extend_from_slice(draw.piece());
            call.comes(THEIRS.into(), &datagram);
        }
    }
    call.carry();
}

/// Whatever a caller with a path sends instead of a handshake, or into one:
/// little of it comes to the crate, and no timer spins.
pub fn records(data: &[u8]) {
    fastrand::seed(7);
    let mut draw = Draw(data);
    let mut call = Call::made(&REHEARSAL);
    call.held = Some(VecDeque::new());
    call.pass(Duration::from_millis(200));
    for _ in 0..STEPS * 4 {
        if draw.is_empty() {
            break;
        }
        instead(&mut call, &mut draw);
        // What the guard lets by: a handshake, and what overtakes its end.
        assert!(call.early < 100_000, "{} bytes", call.early);
    }
    call.pass(Duration::from_secs(3));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Held back and then sent, it is a handshake still.
    #[test]
    fn a_handshake_may_take_its_time() {
        let mut call = Call::made(&REHEARSAL);
        call.held = Some(VecDeque::new());
        for _ in 0..20 {
            call.pass(Duration::from_millis(200));
            assert!(!call.is_up() || call.early > 0);
            // Their own, one by one.
            for _ in 0..8 {
                instead(&mut call, &mut Draw(&[1]));
            }
        }
        assert!(call.is_up(), "{:?}", call.states);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_records_instead_of_a_handshake_are_few(
            data in proptest::collection::vec(any::<u8>(), 0..900),
        ) {
            super::records(&data);
        }
    }
}
