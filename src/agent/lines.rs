//! What strangers do, in the log: few lines, and short ones.

use std::time::{Duration, Instant};

use crate::bucket::{Bucket, Rate};

/// How many lines may be written, and a count of what was left out.
#[derive(Debug)]
pub(super) struct Lines {
    bucket: Bucket,
    left_out: u64,
}

impl Lines {
    /// `burst` lines at once, one more after each `interval`.
    pub(super) fn new(burst: u32, interval: Duration, now: Instant) -> Self {
        let rate = Rate {
            burst: burst.into(),
            per_second: 1.0 / interval.as_secs_f64(),
        };
        Self {
            bucket: Bucket::full(rate, now),
            left_out: 0,
        }
    }

    /// Asks for one line. `Some(n)` allows it; `n` were left out before it.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        if !self.bucket.take(1.0, now) {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Words that may hold a stranger's text, in at most `most` bytes and one line.
pub(super) fn bounded(text: &str, most: usize) -> String {
    const CUT: char = '…';
    let mut safe = String::with_capacity(text.len().min(most));
    for c in text.chars() {
        let c = if c.is_control() || is_invisible(c) {
            ' '
        } else {
            c
        };
        if safe.len() + c.len_utf8() + CUT.len_utf8() > most {
            safe.push(CUT);
            break;
        }
        safe.push(c);
    }
    safe
}

/// Line and direction marks: they rearrange what is written around them.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_lines_is_thinned_and_counted() {
        let start = Instant::now();
        let mut lines = Lines::new(10, Duration::from_secs(5), start);
        let mut written = 0;
        let mut left_out = 0;
        for i in 0..60_000_u64 {
            if let Some(count) = lines.take(start + Duration::from_millis(i)) {
                written += 1;
                left_out += count;
            }
        }
        assert!((21..=22).contains(&written), "{written}");
        let late = lines.take(start + Duration::from_secs(120));
        assert_eq!(written + left_out + late.expect("calm again"), 60_000);
    }

    #[test]
    fn words_are_one_short_line_whatever_they_hold() {
        assert_eq!(bounded("no video", 200), "no video");
        assert_eq!(bounded("a\r\nb\u{1b}[31m\u{202e}c", 200), "a  b [31m c");
        for text in ["x".repeat(60_000), "ü".repeat(60_000), "𝄞".repeat(60_000)] {
            let short = bounded(&text, 200);
            assert!((190..=200).contains(&short.len()) && short.ends_with('…'));
        }
    }
}
