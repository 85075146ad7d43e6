//! Whether this machine gave its processes their time.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Sleeps so long, over and over.
const NAP: Duration = Duration::from_millis(5);

/// Looks until it is dropped, on a thread of its own.
pub struct Strain {
    /// In microseconds.
    worst: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Strain {
    pub fn start() -> Self {
        let (worst, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (late, stopped) = (worst.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let due = Instant::now() + NAP;
                std::thread::sleep(NAP);
                let micros = due.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
                late.fetch_max(micros, Ordering::Relaxed);
            }
        });
        Self {
            worst,
            stop,
            thread: Some(thread),
        }
    }

    /// How late somebody was woken up, at worst.
    pub fn worst(&self) -> Duration {
        Duration::from_micros(self.worst.load(Ordering::Relaxed))
    }
}

impl Drop for Strain {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
