//! The time of day: certificates and TURN credentials are good only in time.
//!
//! Reading the kernel's word on synchronisation is a system call that no crate
//! here wraps; it only fills a structure of ours.
#![allow(unsafe_code, reason = "see above")]

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::finding::{Check, Finding};
use crate::config::Config;

const CHECK: Check = Check::Clock;

/// 2026-01-01 UTC, in seconds since 1970: before it this program was not
/// written.
const WRITTEN: u64 = 1_767_225_600;
/// A build machine's clock may be ahead of ours.
const SKEW: Duration = Duration::from_secs(24 * 3600);
/// systemd-timesyncd makes this file once it has set the clock.
const TIMESYNC: &str = "/run/systemd/timesync/synchronized";

/// What is known of the clock.
#[derive(Debug)]
struct Seen {
    now: SystemTime,
    /// When the running binary was made.
    built: Option<SystemTime>,
    /// `None` where the kernel does not say.
    synchronised: Option<bool>,
}

pub(super) fn check(config: Option<&Config>) -> Finding {
    let built = std::env::current_exe()
        .and_then(std::fs::metadata)
        .and_then(|metadata| metadata.modified());
    let seen = Seen {
        now: SystemTime::now(),
        built: built.ok(),
        synchronised: kernel_is_synchronised().map(|kernel| kernel || Path::new(TIMESYNC).exists()),
    };
    judge(&seen, config.is_some_and(depends_on_time))
}

/// Certificates have a time, and credentials made from a shared secret too.
fn depends_on_time(config: &Config) -> bool {
    config.server.address().is_ok_and(|url| url.is_encrypted())
        || config.ice.servers.iter().any(|s| s.secret_file.is_some())
}

/// What adjtimex(2) says: the NTP daemon, whichever it is, tells the kernel.
fn kernel_is_synchronised() -> Option<bool> {
    // SAFETY: the structure is plain numbers, for which zero is good; `modes`
    // of zero makes the call read only, and it writes to nothing else.
    let state = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        libc::adjtimex(&mut timex)
    };
    match state {
        libc::TIME_ERROR => Some(false),
        // Not allowed, as in some containers.
        ..0 => None,
        _ => Some(true),
    }
}

fn judge(seen: &Seen, depended_on: bool) -> Finding {
    let since_1970 = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap_or_default()
    };
    let earliest = seen
        .built
        .map_or(Duration::ZERO, |built| {
            since_1970(built).saturating_sub(SKEW)
        })
        .max(Duration::from_secs(WRITTEN));
    let set = "set it: `timedatectl set-ntp true`, and see that the network lets NTP through; a \
               board without a clock battery starts in the past each time";
    if since_1970(seen.now) < earliest {
        let days = (earliest - since_1970(seen.now)).as_secs() / 86_400;
        let what = format!("the clock is wrong, at least {days} days behind");
        return if depended_on {
            Finding::error(
                CHECK,
                format!("{what}: certificates and TURN credentials will not be accepted"),
                set,
            )
        } else {
            Finding::warning(CHECK, what, set)
        };
    }
    match seen.synchronised {
        Some(true) => Finding::ok(CHECK, "set by the network"),
        Some(false) => Finding::hint(CHECK, "plausible, but not set by the network", set),
        None => Finding::hint(CHECK, "plausible; the kernel does not say who set it", set),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn seen(now: u64, built: Option<u64>, synchronised: Option<bool>) -> Seen {
        Seen {
            now: at(now),
            built: built.map(at),
            synchronised,
        }
    }

    #[test]
    fn a_board_without_a_battery_is_found_out() {
        let finding = judge(&seen(86_400, None, Some(false)), true);
        assert_eq!(finding.severity, Severity::Error);
        assert!(finding.what.contains("20453 days"), "{finding:?}");
        let finding = judge(&seen(86_400, None, Some(false)), false);
        assert_eq!(finding.severity, Severity::Warning);
    }

    #[test]
    fn nothing_is_older_than_its_own_binary() {
        let built = Some(WRITTEN + 100 * 86_400);
        let behind = judge(&seen(WRITTEN + 90 * 86_400, built, Some(true)), true);
        assert_eq!(behind.severity, Severity::Error);
        // Another time zone of the build machine, or an hour of skew.
        let just_built = judge(
            &seen(WRITTEN + 100 * 86_400 - 7200, built, Some(true)),
            true,
        );
        assert_eq!(just_built.severity, Severity::Ok);
    }

    #[test]
    fn a_clock_that_nobody_set_is_a_hint() {
        for synchronised in [Some(false), None] {
            let finding = judge(&seen(WRITTEN + 1, None, synchronised), true);
            assert_eq!(finding.severity, Severity::Hint);
        }
    }

    #[test]
    fn the_kernel_answers_or_refuses() {
        // What it says depends on the machine; that it can be asked does not.
        let _ = kernel_is_synchronised();
        let finding = check(None);
        assert!(finding.severity <= Severity::Hint, "{finding:?}");
    }
}
