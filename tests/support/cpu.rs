//! CPU time, for benches and the siege.

#![allow(dead_code, reason = "each binary uses its part of it")]

use std::time::Duration;

/// CPU time of this process: threads that end count as well.
pub fn cpu() -> Duration {
    cpu_of("self")
}

/// The same of any process that runs.
pub fn cpu_of(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    // utime and stime (proc_pid_stat(5)), in ticks of 10 ms on every Linux
    // that Debian builds; the name before them may hold blanks.
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(ticks * 10)
}
