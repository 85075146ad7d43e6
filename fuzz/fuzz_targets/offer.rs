//! An offer from a stranger, through reader and writer and the crate's own
//! `set_remote_description`: read or refused; and what is read is answered, on
//! its own sections, in little time and memory.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use camera_agent::fuzzing;
use libfuzzer_sys::fuzz_target;

/// Of the processor, for one offer and the same once more.
const TIME: Duration = Duration::from_millis(50);
/// At once.
const MEMORY: usize = 8 * 1024 * 1024;

/// Counts what is in use, and the most of it.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system's allocator's; beside it bytes are counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let in_use = IN_USE.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(in_use, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Of this thread's work; a machine that is busy with others does not count.
fn worked() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes the one struct that it is given.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(done, 0, "Linux has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fuzz_target!(|data: &[u8]| {
    fuzzing::prepare();
    let (started, before) = (worked(), IN_USE.load(Relaxed));
    MOST.store(before, Relaxed);
    fuzzing::offer(data);
    let took = worked() - started;
    assert!(took < TIME, "{took:?}");
    let most = MOST.load(Relaxed).saturating_sub(before);
    assert!(most < MEMORY, "{most} bytes");
});
