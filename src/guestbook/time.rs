//! Dates as people write and read them.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// Longest time that an invitation is given, in days.
const LONGEST: u64 = 36_500;

/// For a log: UTC. `seconds` are since 1970.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let at = of(seconds);
    at.format(&Rfc3339).unwrap_or_default()
}

/// For people: this machine's own time.
pub(crate) fn shown(seconds: u64) -> String {
    let at = of(seconds);
    let here = UtcOffset::local_offset_at(at).unwrap_or(UtcOffset::UTC);
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]");
    at.to_offset(here).format(format).unwrap_or_default()
}

fn of(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds).ok();
    let at = seconds.and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    at.unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// When an invitation ends, in seconds since 1970: after a time (`7d`, `12h`,
/// `30m`) or with a day (`2026-12-31`, of this machine's own time).
///
/// # Errors
///
/// Words for who wrote it.
pub(crate) fn until(text: &str, now: u64) -> Result<u64, String> {
    let bad = || {
        let text: String = text.chars().take(40).collect();
        format!(
            "\"{}\" is neither a day (2026-12-31) nor a time from now (30m, 12h, 7d)",
            text.escape_debug()
        )
    };
    let end = if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        let next = day.next_day().ok_or_else(bad)?;
        let end = PrimitiveDateTime::new(next, Time::MIDNIGHT);
        let here = UtcOffset::local_offset_at(end.assume_utc()).unwrap_or(UtcOffset::UTC);
        u64::try_from(end.assume_offset(here).unix_timestamp()).map_err(|_| bad())?
    } else {
        let (number, unit) = text
            .split_at_checked(text.len().saturating_sub(1))
            .ok_or_else(bad)?;
        let unit = match unit {
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(bad()),
        };
        let number: u64 = number.parse().map_err(|_| bad())?;
        now.saturating_add(number.saturating_mul(unit))
    };
    if end <= now {
        return Err(format!("{} is over already", text.escape_debug()));
    }
    if end > now.saturating_add(LONGEST * 86_400) {
        return Err("leave --until out for an invitation that does not end".to_owned());
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_day_or_a_time_from_now() {
        let now = 1_795_906_280;
        assert_eq!(until("30m", now), Ok(now + 1_800));
        assert_eq!(until("12h", now), Ok(now + 43_200));
        assert_eq!(until("7d", now), Ok(now + 604_800));
        let end = until("2026-12-31", now).expect("a day");
        // 2027-01-01 00:00 UTC is 1798761600; no zone is further than 14 h.
        assert!(end.abs_diff(1_798_761_600) <= 14 * 3_600, "{end}");
        for bad in [
            "",
            "d",
            "7",
            "7w",
            "-7d",
            "2026-13-01",
            "2026-1-1",
            "\u{fc}",
            "7.5d",
        ] {
            let words = until(bad, now).expect_err(bad);
            assert!(words.contains("neither a day"), "{words}");
        }
        assert!(
            until("2020-01-01", now)
                .expect_err("past")
                .contains("over already")
        );
        assert!(until("99999999999999999999d", now).is_err());
        assert!(
            until("9999999999d", now)
                .expect_err("long")
                .contains("--until")
        );
    }
}
