//! The probe in a process of its own: a driver that hangs or a plug-in that
//! crashes takes this one with it and no other.
//!
//! `camera-agent probe-encoder` reads a [`Job`] as one line of JSON and writes
//! a line for each [`Stage`]. Vendors' libraries write to standard output too,
//! so these lines carry a mark.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};

use super::{Job, Report, Stage, judge, probe};

/// The name of the sub-command.
pub const COMMAND: &str = "probe-encoder";

/// A probe of hardware that takes longer hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(12);

/// Software has this many times the limit: it waits for the CPU with all else
/// that starts when a board does, and where it fails there is nothing after it.
const PATIENCE: u32 = 3;

/// What a report's line begins with, or has behind a library's words that did
/// not end their line.
const MARK: &[u8] = b"camera-agent-probe ";
/// The longest line that is kept; a report has some 2 kB.
const LINE: u64 = 256 * 1024;

/// A killed process is gone by then, unless a driver holds it.
const GONE: Duration = Duration::from_secs(1);

/// The child's side: reads the job from `input`, reports to `output`.
///
/// # Errors
///
/// What came is no job, or the parent is gone.
pub fn serve(input: impl Read, mut output: impl Write) -> Result<(), String> {
    let mut line = String::new();
    BufReader::new(input)
        .read_line(&mut line)
        .map_err(|e| format!("cannot read the job: {e}"))?;
    let job: Job = serde_json::from_str(&line).map_err(|e| format!("this is no job: {e}"))?;
    // Also where the parent was killed and cannot end it.
    let last = patience(&job, LIMIT) + GONE;
    thread::spawn(move || {
        #[expect(
            clippy::disallowed_methods,
            reason = "a thread of its own that ends the process"
        )]
        thread::sleep(last);
        let _ = kill_process(getpid(), Signal::KILL);
    });
    crate::media::element::init().map_err(|e| e.to_string())?;
    let mut failed = None;
    let mut tell = |report: &Report| {
        let written = serde_json::to_string(report)
            .map_err(std::io::Error::other)
            .and_then(|json| output.write_all(&[MARK, json.as_bytes(), b"\n"].concat()))
            .and_then(|()| output.flush());
        if let Err(error) = written {
            failed = Some(format!("cannot report: {error}"));
        }
    };
    let report = probe(&job, &mut tell);
    tell(&report);
    failed.map_or(Ok(()), Err)
}

/// Runs `program` as the child for `job`, no longer than `limit` if that is of
/// hardware, else three times as long.
///
/// # Errors
///
/// The child cannot be started, which says nothing of the encoder.
pub fn run(program: &Path, job: &Job, limit: Duration) -> Result<Report, String> {
    let child = start(program, job)
        .map_err(|error| format!("the probe {} cannot be started: {error}", program.display()))?;
    let (last, end) = follow(child, patience(job, limit));
    Ok(conclude(job, last, end))
}

fn patience(job: &Job, limit: Duration) -> Duration {
    if job.encoder.hardware {
        limit
    } else {
        limit * PATIENCE
    }
}

fn start(program: &Path, job: &Job) -> std::io::Result<Child> {
    let mut child = Command::new(program)
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // A group of its own, so that what it starts goes with it.
        .process_group(0)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        let line = serde_json::to_string(job).map_err(std::io::Error::other)?;
        // One that is gone already is found below.
        let _ = writeln!(input, "{line}");
    }
    Ok(child)
}

/// How a child came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// By itself.
    Exited(ExitStatus),
    /// It was killed at the limit.
    Killed(Duration),
}

fn follow(mut child: Child, limit: Duration) -> (Option<Report>, End) {
    let deadline = Instant::now() + limit;
    let (tell, reports) = mpsc::sync_channel(1);
    if let Some(output) = child.stdout.take() {
        // Ends with the pipe.
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            while let Some(report) = next_report(&mut output) {
                if tell.send(report).is_err() {
                    return;
                }
            }
        });
    }
    let mut last = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match reports.recv_timeout(left) {
            Ok(report) => last = Some(report),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                kill(&child);
                reap(child);
                return (last, End::Killed(limit));
            }
        }
    }
    // Its output is closed; most often it is gone.
    while Instant::now() < deadline {
        if let Ok(Some(status)) = child.try_wait() {
            return (last, End::Exited(status));
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "a thread of the probe's; std has no waiting for a child up to a limit"
        )]
        thread::sleep(Duration::from_millis(5));
    }
    kill(&child);
    reap(child);
    (last, End::Killed(limit))
}

/// The next report in what a child writes; `None` at its end. What else is
/// there, in any encoding and of any length, is passed over.
fn next_report(output: &mut impl BufRead) -> Option<Report> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = output.by_ref().take(LINE).read_until(b'\n', &mut line);
        if read.ok()? == 0 {
            return None;
        }
        let mark = line.windows(MARK.len()).rposition(|w| w == MARK);
        let report = mark.and_then(|at| serde_json::from_slice(&line[at + MARK.len()..]).ok());
        if report.is_some() {
            return report;
        }
    }
}

/// What is concluded of a child that wrote these bytes, and then crashed, hung
/// or came to its end.
#[cfg(any(test, fuzzing))]
pub(in crate::media) fn concluded(job: &Job, mut output: &[u8], how: u8) -> Report {
    let last = std::iter::from_fn(|| next_report(&mut output)).last();
    let end = match how {
        0..128 => End::Exited(ExitStatus::from_raw(how.into())),
        _ => End::Killed(LIMIT),
    };
    conclude(job, last, end)
}

fn kill(child: &Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// One that a driver holds cannot be waited for here.
fn reap(mut child: Child) {
    let until = Instant::now() + GONE;
    while Instant::now() < until {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "a thread of the probe's; std has no waiting for a child up to a limit"
        )]
        thread::sleep(Duration::from_millis(5));
    }
    thread::spawn(move || child.wait());
}

/// What was found, from the last report and from how the child ended.
fn conclude(job: &Job, last: Option<Report>, end: End) -> Report {
    let how = match end {
        End::Killed(limit) => format!("hung for {} s", limit.as_secs()),
        End::Exited(status) => match status.signal() {
            Some(signal) => format!("crashed (signal {signal})"),
            None => format!("ended without a report ({status})"),
        },
    };
    let Some(mut report) = last else {
        return Report::unusable(format!("it {how}"));
    };
    if !report.is_usable() {
        return report;
    }
    match report.stage {
        Stage::Stopped => {}
        Stage::Encoded if job.encoder.contexts > 1 => {
            report.measured.second = Some(false);
            report.warnings = judge::warnings(job, &report.measured, &report.left_out);
            report.warnings.push(format!("with a second one it {how}"));
        }
        Stage::Start | Stage::Encoded | Stage::Second => {
            report.unusable = Some(format!("it {how} when it was stopped"));
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::VideoConfig;
    use crate::media::encoder::Encoder;

    fn job() -> Job {
        Job::new(
            &Encoder::row("x264").expect("a row"),
            &VideoConfig::default(),
        )
    }

    fn report(stage: Stage) -> Report {
        Report {
            stage,
            unusable: None,
            ..Report::unusable("")
        }
    }

    #[test]
    fn an_end_before_the_report_is_the_finding() {
        let crash = End::Exited(ExitStatus::from_raw(11));
        let words = conclude(&job(), None, crash).words();
        assert_eq!(words, "unusable: it crashed (signal 11)");
        let hang = End::Killed(Duration::from_secs(7));
        let words = conclude(&job(), None, hang).words();
        assert_eq!(words, "unusable: it hung for 7 s");
    }

    #[test]
    fn an_end_with_a_second_encoder_is_a_warning_and_when_stopped_it_is_not() {
        let crash = End::Exited(ExitStatus::from_raw(11));
        let found = conclude(&job(), Some(report(Stage::Encoded)), crash);
        assert!(found.is_usable());
        assert!(
            found.words().contains("with a second one it crashed"),
            "{}",
            found.words()
        );
        assert_eq!(found.measured.second, Some(false));
        let found = conclude(&job(), Some(report(Stage::Second)), crash);
        assert_eq!(
            found.unusable.as_deref(),
            Some("it crashed (signal 11) when it was stopped")
        );
        let mut job = job();
        job.encoder.contexts = 1;
        assert!(!conclude(&job, Some(report(Stage::Encoded)), crash).is_usable());
        assert!(conclude(&job, Some(report(Stage::Stopped)), crash).is_usable());
    }

    #[test]
    fn what_libraries_write_hides_no_report() {
        let json = serde_json::to_string(&report(Stage::Stopped)).expect("JSON");
        let said = [MARK, json.as_bytes(), b"\n"].concat();
        let endless = vec![b'x'; 3 * LINE as usize];
        for noise in [
            &b"\xff\xfe in no encoding\n"[..],
            b"no end of line ",
            &endless,
        ] {
            let output = [noise, b"\n", &said, noise].concat();
            let found = concluded(&job(), &output, 0);
            assert!(found.is_usable(), "{}", found.words());
        }
        let output = [b"no end of line ", &said[..]].concat();
        assert!(concluded(&job(), &output, 0).is_usable());
        assert!(!concluded(&job(), b"camera-agent-probe {}\n", 0).is_usable());
    }

    #[test]
    fn a_program_that_is_none_is_named() {
        let error = run(&PathBuf::from("/no/such"), &job(), LIMIT).expect_err("no program");
        assert!(error.contains("/no/such"), "{error}");
        // It ends without a word.
        let report = run(&PathBuf::from("/bin/true"), &job(), LIMIT).expect("a program");
        assert!(
            report.words().contains("without a report"),
            "{}",
            report.words()
        );
    }

    #[test]
    fn what_is_no_job_is_refused() {
        let refusal = serve(&b"{}\n"[..], std::io::sink()).expect_err("no job");
        assert!(refusal.contains("no job"), "{refusal}");
    }
}
