//! How long to wait before what failed is tried again. Pure; whoever waits
//! counts the failures, and says where they begin anew.

use std::time::Duration;

/// `first`, twice as long after each failure before this one, and no longer
/// than `longest`.
pub(crate) fn doubled(first: Duration, failures: u32, longest: Duration) -> Duration {
    let times = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    first.saturating_mul(times).min(longest)
}

/// `wait`, longer or shorter by up to this part of it, so that those who failed
/// together do not come back together. `random` is from 0 to 1.
pub(crate) fn spread(wait: Duration, part: f64, random: f64) -> Duration {
    wait.mul_f64(1.0 - part + 2.0 * part * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_whatever_the_count() {
        let [first, longest] = [500, 30_000].map(Duration::from_millis);
        let waits: Vec<_> = (0..8)
            .map(|n| doubled(first, n, longest).as_millis())
            .collect();
        assert_eq!(
            waits,
            [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
        );
        for failures in [31, 32, 33, u32::MAX] {
            assert_eq!(doubled(first, failures, longest), longest);
        }
    }

    #[test]
    fn a_spread_wait_is_around_the_wait() {
        let wait = Duration::from_secs(8);
        let seconds = [0.0, 0.5, 1.0].map(|random| spread(wait, 0.25, random).as_secs());
        assert_eq!(seconds, [6, 8, 10]);
    }
}
