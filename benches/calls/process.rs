//! A program in another process, mostly this one again, and what that costs.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::sync::mpsc;

/// It is killed when this is dropped.
pub struct Child {
    child: tokio::process::Child,
    said: mpsc::UnboundedSender<String>,
    lines: Lines<BufReader<ChildStdout>>,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub cpu: Duration,
    pub rss_mb: f64,
    pub pss_mb: f64,
    pub threads: usize,
}

impl Child {
    /// This program, with a role.
    pub fn start(arguments: &[&str]) -> Self {
        let mut program = Command::new(std::env::current_exe().expect("its own path"));
        program.args(arguments);
        Self::run(program)
    }

    /// The same on one core and no other.
    pub fn start_on(core: usize, arguments: &[&str]) -> Self {
        let mut program = Command::new("taskset");
        program.args(["--cpu-list", &core.to_string()]);
        program.arg(std::env::current_exe().expect("its own path"));
        program.args(arguments);
        Self::run(program)
    }

    pub fn run(mut program: Command) -> Self {
        let mut child = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        let (said, mut words) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(word) = words.recv().await {
                let line = format!("{word}\n");
                if stdin.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            said,
            lines: BufReader::new(stdout).lines(),
        }
    }

    pub fn say(&self, word: &str) {
        let _ = self.said.send(word.to_owned());
    }

    /// The next line, which is JSON.
    pub async fn line(&mut self) -> Value {
        let line = self.lines.next_line().await.expect("it can be read");
        serde_json::from_str(&line.expect("it still runs")).expect("JSON")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it still runs")
    }

    /// How many files, sockets and devices it has open.
    pub fn descriptors(&self) -> usize {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.id()));
        folder.expect("it still runs").count()
    }

    pub fn usage(&self) -> Usage {
        let proc = format!("/proc/{}", self.id());
        let read = |path: String| fs::read_to_string(path).unwrap_or_default();
        let tasks: Vec<_> = fs::read_dir(format!("{proc}/task"))
            .expect("it still runs")
            .flatten()
            .collect();
        // Nanoseconds on a CPU; the ticks in `stat` are 10 ms long.
        let cpu = tasks
            .iter()
            .filter_map(|task| {
                let stat = read(format!("{}/schedstat", task.path().display()));
                stat.split_ascii_whitespace().next()?.parse::<u64>().ok()
            })
            .sum::<u64>();
        let kilobytes = |file: &str, key: &str| -> f64 {
            let text = read(format!("{proc}/{file}"));
            let line = text.lines().find_map(|l| l.strip_prefix(key));
            let number = line.and_then(|l| l.split_ascii_whitespace().next());
            number.and_then(|n| n.parse().ok()).unwrap_or(f64::NAN)
        };
        Usage {
            cpu: Duration::from_nanos(cpu),
            rss_mb: kilobytes("status", "VmRSS:") / 1024.0,
            pss_mb: kilobytes("smaps_rollup", "Pss:") / 1024.0,
            threads: tasks.len(),
        }
    }
}
