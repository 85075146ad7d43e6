//! A USB webcam with a microphone, for the virtual machine. The device alone is
//! not real: it is served to QEMU over the usbredir protocol, from this process.
//! All above it is: a USB 2 controller as QEMU has it, and the kernel's
//! ehci-hcd, uvcvideo and snd-usb-audio, and udev.
//!
//! Not by `dummy_hcd` and the kernel's own gadgets: `dummy_hcd` carries no
//! isochronous transfers ("We don't support isochronous" in its
//! `dummy_timer()`), and the gadgets of a webcam and of a sound card have no
//! others. Nor by `usbip-vudc`, for the same reason.
//!
//! ```ignore
//! let mut webcam = Webcam::new(lab.usb_port(1), Make::usual("0001"));
//! webcam.plug();
//! webcam.go_silent();
//! webcam.unplug();
//! ```

mod answers;
mod descriptors;
mod device;
mod payload;
mod redir;

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::shims::{Format, frames};
use device::Device;

/// An alternate setting of the streaming interface: what it takes of the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alternate {
    /// Bytes of a packet, up to 3072.
    pub bytes: u16,
    /// Microframes of 125 µs from packet to packet: 1, 2, 4 or 8.
    pub microframes: u8,
}

impl Alternate {
    /// `wMaxPacketSize`, with the transactions in a microframe (USB 2.0 §9.6.6).
    fn max_packet_size(self) -> u16 {
        let transactions = self.bytes.div_ceil(1024);
        self.bytes.div_ceil(transactions) | (transactions - 1) << 11
    }

    /// `bInterval`, an exponent of two.
    fn interval(self) -> u8 {
        self.microframes.ilog2() as u8 + 1
    }
}

/// 1 MB/s: enough for small JPEGs.
pub const LITTLE: Alternate = Alternate {
    bytes: 1024,
    microframes: 8,
};
/// 3 MB/s: enough for small raw pictures.
pub const ENOUGH: Alternate = Alternate {
    bytes: 3072,
    microframes: 8,
};
/// All that a high-speed endpoint may take, 24.6 MB/s. The bus has no room for
/// a second one: 80 % of it is for periodic transfers (USB 2.0 §5.6.4).
pub const ALL: Alternate = Alternate {
    bytes: 3072,
    microframes: 1,
};

/// Pictures of a webcam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// `Yuyv` or one of JPEG.
    pub format: Format,
    pub width: u32,
    pub height: u32,
    pub fps: u32,
    pub alternate: Alternate,
}

impl Mode {
    /// From frame to frame in units of 100 ns, as the class counts.
    fn interval(&self) -> u32 {
        10_000_000 / self.fps
    }

    /// Bytes of a raw picture; no JPEG is larger.
    fn largest_frame(&self) -> u32 {
        self.width * self.height * 2
    }
}

/// What a webcam says it is.
#[derive(Debug, Clone)]
pub struct Make {
    pub manufacturer: &'static str,
    pub product: &'static str,
    pub serial: &'static str,
    /// Those of one format after each other.
    pub modes: Vec<Mode>,
    /// What its microphone hears.
    pub hertz: u32,
}

impl Make {
    /// A webcam with small pictures, MJPG and YUYV, which an emulated processor
    /// has time for.
    pub fn usual(serial: &'static str) -> Self {
        let mode = |format, alternate| Mode {
            format,
            width: 320,
            height: 180,
            fps: 15,
            alternate,
        };
        Self {
            manufacturer: "ACME",
            product: "HD Webcam",
            serial,
            modes: vec![mode(Format::Mjpg422, LITTLE), mode(Format::Yuyv, ENOUGH)],
            hertz: 1000,
        }
    }

    /// The same with its raw pictures through this setting.
    pub fn with_raw(mut self, alternate: Alternate) -> Self {
        for mode in &mut self.modes {
            if mode.format == Format::Yuyv {
                mode.alternate = alternate;
            }
        }
        self
    }

    /// Its modes by format, numbered as the class does, from 1.
    fn formats(&self) -> Vec<(Format, Vec<Mode>)> {
        let mut formats: Vec<(Format, Vec<Mode>)> = Vec::new();
        for mode in &self.modes {
            match formats.last_mut() {
                Some((format, modes)) if *format == mode.format => modes.push(*mode),
                _ => formats.push((mode.format, vec![*mode])),
            }
        }
        formats
    }

    /// The alternate settings, in their order, from 1.
    fn alternates(&self) -> Vec<Alternate> {
        let mut alternates: Vec<_> = self.modes.iter().map(|mode| mode.alternate).collect();
        alternates.sort_unstable();
        alternates.dedup();
        alternates
    }
}

/// What a test wants of a device that is plugged in, and what that tells.
#[derive(Debug, Default)]
struct Wishes {
    /// It is to go.
    leave: AtomicBool,
    /// It is to go from the bus and come back by itself.
    reset: AtomicBool,
    /// No pictures: packets with headers only, as from a sensor that stands.
    silent: AtomicBool,
    /// The mode whose pictures go out.
    streams: Mutex<Option<Mode>>,
}

impl Wishes {
    fn streams(&self, mode: Option<Mode>) {
        *self.streams.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }
}

/// A webcam in a socket of the machine, or in nobody's.
pub struct Webcam {
    make: Make,
    socket: PathBuf,
    wishes: Arc<Wishes>,
    thread: Option<JoinHandle<()>>,
}

impl Webcam {
    /// `socket`: the port, as QEMU listens for what is plugged into it. It is
    /// not plugged in yet.
    pub fn new(socket: PathBuf, make: Make) -> Self {
        Self {
            make,
            socket,
            wishes: Arc::default(),
            thread: None,
        }
    }

    pub fn plug(&mut self) {
        assert!(self.thread.is_none(), "it is plugged in");
        let (make, wishes) = (self.make.clone(), self.wishes.clone());
        let pictures: Vec<_> = make.modes.iter().map(pictures).collect();
        let stream = UnixStream::connect(&self.socket).unwrap_or_else(|e| {
            panic!(
                "{}: {e}: QEMU listens for webcams there",
                self.socket.display()
            )
        });
        // The device does something so often.
        let turn = Duration::from_millis(4);
        stream.set_read_timeout(Some(turn)).expect("a socket");
        self.thread = Some(std::thread::spawn(move || {
            let mut device = Device::new(stream, &make, &pictures, &wishes);
            if let Err(error) = device.serve() {
                println!("the webcam's wire: {error}");
            }
        }));
    }

    /// It goes from the bus as one that is pulled out.
    pub fn unplug(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.wishes.leave.store(true, Ordering::Relaxed);
            thread.join().expect("the device does not panic");
            self.wishes.leave.store(false, Ordering::Relaxed);
        }
    }

    /// Its firmware crashes: it goes, and is back a quarter of a second later.
    pub fn reset_itself(&self) {
        self.wishes.reset.store(true, Ordering::Relaxed);
    }

    /// No more pictures come, and no error.
    pub fn go_silent(&self) {
        self.wishes.silent.store(true, Ordering::Relaxed);
    }

    pub fn send_again(&self) {
        self.wishes.silent.store(false, Ordering::Relaxed);
    }

    /// The mode whose pictures a host asked for and is sent.
    pub fn streams(&self) -> Option<Mode> {
        *self
            .wishes
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Webcam {
    fn drop(&mut self) {
        self.unplug();
    }
}

/// The frames of a mode, of moving colour bars.
fn pictures(mode: &Mode) -> Vec<Vec<u8>> {
    let folder = frames(mode.format, mode.width, mode.height, mode.fps);
    let files = (0..).map(|number| folder.join(format!("{number:05}")));
    files.map_while(|file| fs::read(file).ok()).collect()
}
