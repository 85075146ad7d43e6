//! The crate's driver sleeps until its next timer also where something has
//! come up in between: DTLS's first flight once ICE has a pair, the first check
//! of a new candidate. It would take up to ICE's interval between checks until
//! that is sent. Its sleep is ours, and can end before its time; the driver
//! then looks at all its timers, and sends what lies there.

use std::sync::Arc;

use tokio::sync::Notify;

/// Ends the sleep of one connection's driver. Clones are cheap.
#[derive(Debug, Clone, Default)]
pub(in crate::peer) struct Wake(Arc<Notify>);

impl Wake {
    /// Ends the sleep that is going on; where none is, the next one.
    pub(crate) fn wake(&self) {
        self.0.notify_one();
    }

    /// Until somebody [wakes](Self::wake) the driver.
    pub(super) async fn woken(&self) {
        self.0.notified().await;
    }
}
