//! All findings, for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::finding::{Finding, Severity};
use crate::media::latency::LatencyReport;

/// Columns of the text form.
const WIDTH: usize = 80;
/// The width of mark and name in front of the text.
const INDENT: usize = 18;

/// What the doctor found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    /// In the order of the checks.
    pub findings: Vec<Finding>,
    /// Where the frames of the test call spent their time.
    pub latency: LatencyReport,
}

impl Report {
    /// Sorts the findings by check, and each check's worst first.
    pub(crate) fn new(mut findings: Vec<Finding>, latency: LatencyReport) -> Self {
        findings.sort_by_key(|f| (f.check, std::cmp::Reverse(f.severity)));
        Self { findings, latency }
    }

    /// The worst there is.
    pub(crate) fn severity(&self) -> Severity {
        let worst = self.findings.iter().map(|f| f.severity).max();
        worst.unwrap_or(Severity::Ok)
    }

    /// For programs. Fields may be added, none changes its meaning:
    ///
    /// * `version`: of this program;
    /// * `severity`: the worst, `ok`, `hint`, `warning` or `error`;
    /// * `findings`: each with `check`, `severity`, `what`, and `remedy`, which
    ///   is null for `ok` alone;
    /// * `latency`: the stages of the test call, each with `stage`
    ///   (`to-encoder`, `encode`, `send`, `total`), `samples`, `p50_ms` and
    ///   `p95_ms`; empty where no call came about.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "severity": self.severity(),
            "findings": self.findings,
            "latency": self.latency,
        })
    }

    /// For people: a mark, the check, and what to do, in plain characters.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        let mut last = None;
        for finding in &self.findings {
            let mark = match finding.severity {
                Severity::Ok => "✓",
                Severity::Hint => "·",
                Severity::Warning => "!",
                Severity::Error => "✗",
            };
            let name = match last.replace(finding.check) {
                Some(check) if check == finding.check => "",
                _ => finding.check.name(),
            };
            let head = format!("{mark} {name:<width$}", width = INDENT - 2);
            paragraph(&mut text, &head, &finding.what);
            if let Some(remedy) = &finding.remedy {
                paragraph(&mut text, &format!("{:INDENT$}→ ", ""), remedy);
            }
        }
        text.push_str(match self.severity() {
            Severity::Ok | Severity::Hint => "\nThis device is ready for calls.\n",
            Severity::Warning => {
                "\nThis device answers calls, but not as it should: see what is marked \"!\".\n"
            }
            Severity::Error => {
                "\nThis device will not work until what is marked \"✗\" is mended.\n"
            }
        });
        text
    }
}

/// Writes `body` behind `head`, broken between words; later lines are indented
/// to where it begins.
fn paragraph(text: &mut String, head: &str, body: &str) {
    let indent = head.chars().count();
    let mut column = indent;
    text.push_str(head);
    for (i, word) in body.split_whitespace().enumerate() {
        let length = word.chars().count();
        if i > 0 && column + 1 + length > WIDTH {
            let _ = write!(text, "\n{:indent$}", "");
            column = indent;
        } else if i > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Check;

    fn report() -> Report {
        Report::new(
            vec![
                Finding::error(Check::Camera, "nothing came", "plug it in"),
                Finding::ok(Check::Configuration, "valid"),
                Finding::ok(Check::IceServer, "stun:a answers"),
                Finding::warning(
                    Check::IceServer,
                    "turn:b does not answer, and these words are here so that the line breaks",
                    "ask its operator",
                ),
            ],
            LatencyReport::default(),
        )
    }

    #[test]
    fn the_text_is_aligned_sorted_and_says_what_to_do() {
        assert_eq!(
            report().to_text(),
            "\
✓ configuration   valid
✗ camera          nothing came
                  → plug it in
! STUN and TURN   turn:b does not answer, and these words are here so that the
                  line breaks
                  → ask its operator
✓                 stun:a answers

This device will not work until what is marked \"✗\" is mended.
"
        );
    }

    #[test]
    fn the_json_form_is_the_documented_one() {
        let json = report().to_json();
        assert_eq!(json["severity"], "error");
        assert_eq!(json["latency"], json!([]));
        assert_eq!(
            json["findings"][0],
            json!({"check": "configuration", "severity": "ok", "what": "valid", "remedy": null})
        );
        assert_eq!(json["findings"][2]["check"], "ice-server");
        assert_eq!(json["findings"][2]["remedy"], "ask its operator");
    }

    #[test]
    fn nothing_found_is_nothing_wrong() {
        let report = Report::new(Vec::new(), LatencyReport::default());
        assert_eq!(report.severity(), Severity::Ok);
    }
}
