//! Locks that outlive a panic: what is behind them is small and always whole.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also behind a thread that panicked with it.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[expect(clippy::disallowed_methods, reason = "this is the lock")]
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
