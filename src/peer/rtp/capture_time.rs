//! When a frame was captured, in its packets
//! (<http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time>).
//!
//! From it a page can tell how old what it shows is. A receiver works out the
//! frames between two that carry it, so it goes with the first frames, until
//! surely one arrived, and then with one frame a second.

use std::time::{Duration, Instant, SystemTime};

use bytes::{BufMut, Bytes, BytesMut};

/// The extension's name in SDP.
pub(in crate::peer) const URI: &str =
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";

/// One frame in so much time carries it, as the extension's description has it.
const INTERVAL: Duration = Duration::from_secs(1);
/// Frames that carry it at the start.
const FIRST: u32 = 5;
/// From NTP's epoch, 1900, to that of Unix (RFC 5905 §6).
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// Which frames of one stream carry the time, and how.
#[derive(Debug)]
pub(in crate::peer) struct CaptureTime {
    /// The extension's negotiated id.
    pub id: u8,
    first: u32,
    sent: Option<Instant>,
}

impl CaptureTime {
    pub(crate) fn new(id: u8) -> Self {
        Self {
            id,
            first: FIRST,
            sent: None,
        }
    }

    /// What the frame that was captured at `captured_at` carries, if it is its
    /// turn. `wall` is what the wall clock shows at `now`.
    pub(crate) fn of(
        &mut self,
        captured_at: Instant,
        now: Instant,
        wall: SystemTime,
    ) -> Option<Bytes> {
        let due = self
            .sent
            .is_none_or(|at| now.saturating_duration_since(at) >= INTERVAL);
        if !due && self.first == 0 {
            return None;
        }
        self.first = self.first.saturating_sub(1);
        self.sent = Some(now);
        let age = now.saturating_duration_since(captured_at);
        Some(extension(wall.checked_sub(age)?))
    }
}

/// The 16-byte form: the capture time as an NTP timestamp, and how far the
/// capturing clock is ahead of the sender's. They are the same clock.
fn extension(captured: SystemTime) -> Bytes {
    let since = captured
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    // The era's seconds, and binary fractions of one.
    let seconds = since.as_secs().wrapping_add(NTP_TO_UNIX) as u32;
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    let mut bytes = BytesMut::with_capacity(16);
    bytes.put_u32(seconds);
    bytes.put_u32(fraction as u32);
    bytes.put_i64(0);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_ntp_time_of_the_capture_and_no_offset() {
        // 2024-01-01T00:00:00.25Z.
        let captured = SystemTime::UNIX_EPOCH + Duration::from_millis(1_704_067_200_250);
        let now = Instant::now();
        let age = Duration::from_millis(70);
        let mut time = CaptureTime::new(9);
        let bytes = time.of(now, now + age, captured + age).expect("the first");
        let (ntp, offset) = bytes.split_at(8);
        assert_eq!(ntp[..4], 3_913_056_000_u32.to_be_bytes());
        assert_eq!(ntp[4..], (1_u32 << 30).to_be_bytes());
        assert_eq!(offset, [0; 8]);
    }

    #[test]
    fn the_first_frames_carry_it_and_then_one_a_second() {
        let (start, wall) = (Instant::now(), SystemTime::now());
        let mut time = CaptureTime::new(9);
        let carried: Vec<_> = (0..100_u32)
            .filter(|n| {
                let now = start + Duration::from_millis(40) * *n;
                time.of(now, now, wall).is_some()
            })
            .collect();
        assert_eq!(carried, [0, 1, 2, 3, 4, 29, 54, 79]);
    }
}
