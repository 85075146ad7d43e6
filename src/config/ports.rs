//! A range of ports, as a configuration and firewalls have it: `50000-50100`.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// Ports from 1024 on are for everybody.
const LEAST: u16 = 1024;
/// Fewer are used up by one call of a machine with two networks.
const FEWEST: usize = 2;

/// UDP ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// How many there are: two at least.
    pub fn count(self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    /// One of them; behind the last comes the first.
    pub fn nth(self, n: usize) -> u16 {
        let offset = n % self.count();
        self.first + u16::try_from(offset).unwrap_or(0)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        };
        let ends = text
            .split_once('-')
            .map(|(a, b)| (number(a.trim()), number(b.trim())));
        let Some((Some(first), Some(last))) = ends else {
            return Err("write the first and the last port, as in \"50000-50100\"".to_owned());
        };
        let range = Self { first, last };
        if first < LEAST || first >= last || range.count() < FEWEST {
            return Err(format!(
                "{first}-{last} is no range of ports from {LEAST} to 65535, the lower one first; \
                 a call takes one for each address that the device has"
            ));
        }
        Ok(range)
    }
}

/// For the configuration, whose parser adds the line.
impl TryFrom<String> for PortRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error| format!("ice.ports: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_two_numbers_the_lower_one_first() {
        let range: PortRange = "50000-50100".parse().expect("a range");
        assert_eq!(
            (range.count(), range.nth(0), range.nth(100)),
            (101, 50_000, 50_100)
        );
        assert_eq!(
            (range.nth(101), range.to_string()),
            (50_000, "50000-50100".into())
        );
        assert_eq!(
            "1024 - 65535".parse::<PortRange>().map(PortRange::count),
            Ok(64_512)
        );
        for bad in [
            "",
            "50000",
            "50000-",
            "-1",
            "a-b",
            "50100-50000",
            "80-90",
            "5000-5000",
            "5000-70000",
            "+5000-6000",
            "5000-6000-7000",
        ] {
            let error = bad.parse::<PortRange>().expect_err(bad);
            assert!(error.contains("port"), "{error}");
        }
    }
}
