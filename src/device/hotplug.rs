//! Tells when the system announces a camera or a sound card, and when a program
//! begins to feed a loopback camera.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use tracing::{debug, warn};
use udev::{EventType, MonitorBuilder};

use super::loopback::Loopbacks;

/// What udev calls what is waited for.
const SUBSYSTEMS: [&str; 2] = ["video4linux", "sound"];

const UDEV: Token = Token(0);
const END: Token = Token(1);
const LOOPBACK: Token = Token(2);

/// Whether devices are announced here: udev runs. In most containers it does
/// not.
pub(crate) fn is_announced() -> bool {
    Path::new("/run/udev/control").exists()
}

/// Listens until it is dropped.
pub(crate) struct Hotplug {
    end: Arc<Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Hotplug {
    /// Calls `appeared` whenever udev has set up a device, permissions and all,
    /// or a loopback node becomes a camera.
    /// `None` where there is nothing to listen to: then a device that comes
    /// back has to be looked for.
    pub(crate) fn listen(appeared: impl FnMut() + Send + 'static) -> Option<Self> {
        if !is_announced() {
            debug!("no udev here; a device that comes back is looked for");
            return None;
        }
        match start(appeared) {
            Ok(this) => Some(this),
            Err(error) => {
                warn!(%error, "udev is not heard; a device that comes back is found later");
                None
            }
        }
    }
}

impl Drop for Hotplug {
    fn drop(&mut self) {
        if self.end.wake().is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn start(mut appeared: impl FnMut() + Send + 'static) -> io::Result<Hotplug> {
    let mut poll = Poll::new()?;
    let end = Arc::new(Waker::new(poll.registry(), END)?);
    let mut builder = MonitorBuilder::new()?;
    for subsystem in SUBSYSTEMS {
        builder = builder.match_subsystem(subsystem)?;
    }
    let mut socket = builder.listen()?;
    poll.registry()
        .register(&mut socket, UDEV, Interest::READABLE)?;
    let mut loopbacks = Loopbacks::new("/sys/class/video4linux", "/dev")?;
    poll.registry().register(
        &mut SourceFd(&loopbacks.descriptor()),
        LOOPBACK,
        Interest::READABLE,
    )?;
    let listen = move || {
        let mut events = Events::with_capacity(8);
        loop {
            match poll.poll(&mut events, loopbacks.timeout()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return warn!(%error, "udev is not heard any more"),
                Ok(()) => {}
            }
            if events.iter().any(|event| event.token() == END) {
                return;
            }
            let mut seen = false;
            for event in socket.iter() {
                debug!(device = ?event.devnode(), kind = ?event.event_type(), "udev");
                // A card is announced by a change, when its rules have run.
                seen |= matches!(
                    event.event_type(),
                    EventType::Add | EventType::Change | EventType::Bind
                );
            }
            if seen {
                loopbacks.scan();
            }
            let now = Instant::now();
            loopbacks.listen(now);
            if loopbacks.look(now) || seen {
                appeared();
            }
        }
    };
    let thread = std::thread::Builder::new()
        .name("hotplug".into())
        .spawn(listen)?;
    Ok(Hotplug {
        end,
        thread: Some(thread),
    })
}
