//! The device while it is plugged in: one thread that answers the host and
//! sends what is due.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::answers::Answers;
use super::descriptors::{
    self, AUDIO_ENDPOINT, AUDIO_STREAM, INTERFACES, VIDEO_ENDPOINT, VIDEO_STREAM,
};
use super::payload::{Pace, Pictures, sound};
use super::redir::{Isochronous, Link, Message, SUCCESS, Setup, kind};
use super::{Make, Wishes};

/// A stream that the host has started.
struct Stream<T> {
    content: T,
    pace: Pace,
    since: Instant,
}

impl<T> Stream<T> {
    fn new(content: T, microframes: u8) -> Self {
        Self {
            content,
            pace: Pace::new(microframes),
            since: Instant::now(),
        }
    }
}

pub(super) struct Device<'a> {
    link: Link,
    make: &'a Make,
    /// Of each mode.
    pictures: &'a [Vec<Vec<u8>>],
    wishes: &'a Wishes,
    answers: Answers<'a>,
    configuration: u8,
    /// The alternate setting of each interface.
    alternates: [u8; INTERFACES.len()],
    video: Option<Stream<Pictures<'a>>>,
    audio: Option<Stream<()>>,
}

impl<'a> Device<'a> {
    pub(super) fn new(
        stream: UnixStream,
        make: &'a Make,
        pictures: &'a [Vec<Vec<u8>>],
        wishes: &'a Wishes,
    ) -> Self {
        Self {
            link: Link::new(stream),
            make,
            pictures,
            wishes,
            answers: Answers::new(make),
            configuration: 1,
            alternates: [0; INTERFACES.len()],
            video: None,
            audio: None,
        }
    }

    /// Is plugged in until a test unplugs it, or QEMU is gone.
    pub(super) fn serve(&mut self) -> io::Result<()> {
        self.link.hello()?;
        self.appear()?;
        while !self.wishes.leave.load(Ordering::Relaxed) {
            for message in self.link.receive()? {
                self.take(&message)?;
            }
            if self.wishes.reset.swap(false, Ordering::Relaxed) {
                self.link.send(kind::DEVICE_DISCONNECT, 0, &[])?;
                self.forget();
                self.appear()?;
            }
            self.send()?;
        }
        self.forget();
        self.link.send(kind::DEVICE_DISCONNECT, 0, &[])
    }

    fn appear(&mut self) -> io::Result<()> {
        self.tell_endpoints()?;
        self.link.connect(&descriptors::device(), &INTERFACES)
    }

    /// As after power-up.
    fn forget(&mut self) {
        self.answers = Answers::new(self.make);
        self.alternates = [0; INTERFACES.len()];
        self.audio = None;
        self.stop_video();
    }

    fn stop_video(&mut self) {
        self.video = None;
        self.wishes.streams(None);
    }

    /// The endpoints of the present alternate settings.
    fn present(&self) -> Vec<Isochronous> {
        let alternate = |interface: u8| usize::from(self.alternates[usize::from(interface)]);
        let mut present = Vec::new();
        if let Some(at) = alternate(VIDEO_STREAM).checked_sub(1) {
            let setting = self.make.alternates()[at];
            present.push(Isochronous {
                address: VIDEO_ENDPOINT,
                interface: VIDEO_STREAM,
                microframes: setting.microframes,
                bytes: setting.max_packet_size(),
            });
        }
        if alternate(AUDIO_STREAM) == 1 {
            present.push(Isochronous {
                address: AUDIO_ENDPOINT,
                interface: AUDIO_STREAM,
                microframes: 8,
                bytes: 98,
            });
        }
        present
    }

    fn tell_endpoints(&mut self) -> io::Result<()> {
        let present = self.present();
        self.link.endpoints(&present)
    }

    fn take(&mut self, message: &Message) -> io::Result<()> {
        let (id, body) = (message.id, &message.body);
        match message.kind {
            kind::CONTROL_PACKET => {
                let (setup, data) = Setup::read(body);
                let answer = self.answers.answer(setup, data);
                self.link.answer(id, setup, answer.as_deref())
            }
            kind::SET_CONFIGURATION | kind::GET_CONFIGURATION => {
                if message.kind == kind::SET_CONFIGURATION {
                    self.configuration = body[0];
                    self.alternates = [0; INTERFACES.len()];
                    self.tell_endpoints()?;
                }
                let status = [SUCCESS, self.configuration];
                self.link.send(kind::CONFIGURATION_STATUS, id, &status)
            }
            kind::SET_ALT_SETTING | kind::GET_ALT_SETTING => {
                let at = usize::from(body[0]);
                if message.kind == kind::SET_ALT_SETTING {
                    self.alternates[at] = body[1];
                    self.tell_endpoints()?;
                }
                let status = [SUCCESS, body[0], self.alternates[at]];
                self.link.send(kind::ALT_SETTING_STATUS, id, &status)
            }
            kind::START_ISO_STREAM => {
                self.start(body[0]);
                self.link
                    .send(kind::ISO_STREAM_STATUS, id, &[SUCCESS, body[0]])
            }
            kind::STOP_ISO_STREAM => {
                match body[0] {
                    VIDEO_ENDPOINT => self.stop_video(),
                    _ => self.audio = None,
                }
                self.link
                    .send(kind::ISO_STREAM_STATUS, id, &[SUCCESS, body[0]])
            }
            kind::HELLO | kind::RESET => Ok(()),
            other => panic!("QEMU sends a message of kind {other}, which no webcam gets"),
        }
    }

    fn start(&mut self, endpoint: u8) {
        if endpoint == AUDIO_ENDPOINT {
            self.audio = Some(Stream::new((), 8));
            return;
        }
        let mode = self.answers.mode();
        let at = self.make.modes.iter().position(|one| *one == mode);
        let frames = &self.pictures[at.expect("one of its modes")];
        let pictures = Pictures::new(mode, frames);
        self.video = Some(Stream::new(pictures, mode.alternate.microframes));
        self.wishes.streams(Some(mode));
    }

    /// Sends the packets that are due.
    fn send(&mut self) -> io::Result<()> {
        let silent = self.wishes.silent.load(Ordering::Relaxed);
        if let Some(video) = &mut self.video {
            let due = video.pace.due(video.since.elapsed());
            let packets = due.into_iter().map(|at| video.content.packet(at, silent));
            let packets: Vec<_> = packets.collect();
            self.link.send_packets(VIDEO_ENDPOINT, &packets)?;
        }
        if let Some(audio) = &mut self.audio {
            let due = audio.pace.due(audio.since.elapsed());
            let packets: Vec<_> = due
                .into_iter()
                .map(|at| sound(self.make.hertz, at))
                .collect();
            self.link.send_packets(AUDIO_ENDPOINT, &packets)?;
        }
        Ok(())
    }
}
