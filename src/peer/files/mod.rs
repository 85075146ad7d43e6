//! A viewer's data channel for files: gives them a picture as the camera has it; lists
//! recordings for them, hands them over in parts, deletes them, and begins and ends one.
//! Who was not invited to that is told so.
//!
//! One thing is done at a time, at [`LISTENED`] at most: a page that asks faster waits,
//! and what more than [`QUEUE`] is asked for at once is refused. What waits to be sent is
//! [`SEND_BUFFER`] at most, and no more than the page has asked for; a file is read as it
//! is sent.

pub(crate) mod messages;
mod outbox;
pub(super) mod pace;
pub(super) mod still;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tracing::debug;
use webrtc::data_channel::{DataChannel, DataChannelEvent};
use webrtc::error::Error;

use self::messages::{Asked, MOST_LISTED};
use self::outbox::Outbox;
use self::pace::Pace;
use self::still::Stills;
use super::Peers;
#[cfg(doc)]
use super::channel::SEND_BUFFER;
use super::messages::LISTENED;
use crate::access::{Guest, Right};
use crate::bucket::{Bucket, Rate};
use crate::reason::{Code, Reason};
use crate::recorder::{Id, NotPressed, Now, Recordings};

/// What is asked for while something is sent waits, so much of it.
const QUEUE: usize = 8;
/// Messages that are read; more than a page writes that waits for its answers. What goes
/// beyond is dropped.
const READ: Rate = Rate {
    burst: 100.0,
    per_second: 100.0,
};
/// Bytes of one message: what every browser takes (RFC 8831 §6.6).
const CHUNK: u64 = 16 * 1024;
/// Who takes none of what they asked for in so long has let go of it. A path that is away
/// for less does not end the call, nor this.
const STALLED: Duration = Duration::from_secs(60);

const NOT_INVITED: Reason = Reason::fixed(
    Code::RecordingsNotInvited,
    "only who was invited to see recordings may; ask this camera's owner for such an invitation",
);
const NOT_TO_DELETE: Reason = Reason::fixed(
    Code::DeleteNotInvited,
    "only who was invited to control this camera, too, may delete recordings",
);
const NONE: Reason = Reason::fixed(Code::RecordingsOff, "this camera records nothing");
const GONE: Reason = Reason::fixed(Code::RecordingGone, "this recording is not there any more");
const WRITING: Reason = Reason::fixed(
    Code::RecordingBusy,
    "this recording is being written still; it can be deleted when it has ended",
);
const NO_BUTTON: Reason = Reason::fixed(
    Code::NoRecordButton,
    "viewers may not make recordings on this camera",
);
const TOO_OFTEN: Reason = Reason::fixed(
    Code::TooOften,
    "a recording can be begun every ten seconds; try again in a moment",
);
const PRIVATE: Reason = Reason::fixed(
    Code::Privacy,
    "the owner has switched camera and microphone off, so nothing is recorded",
);
const BUSY: Reason = Reason::fixed(
    Code::FilesBusy,
    "too much was asked for at once; ask again when the last has come",
);

/// A part of a file, or a picture, on its way.
struct Part {
    of: Of,
    at: u64,
    left: u64,
}

/// Where it comes from.
enum Of {
    File(Id, Arc<File>),
    Picture(Bytes),
}

impl Part {
    /// All of a picture; nothing of an empty one.
    fn of(picture: Bytes) -> Option<Self> {
        (!picture.is_empty()).then(|| Self {
            at: 0,
            left: picture.len() as u64,
            of: Of::Picture(picture),
        })
    }
}

struct Files {
    channel: Arc<dyn DataChannel>,
    recordings: Recordings,
    may_delete: bool,
    outgoing: Outbox,
    waiting: VecDeque<Asked>,
    part: Option<Part>,
    /// When something was last sent, or nothing was waiting to be.
    moved: Instant,
    stills: Stills,
    /// Why nothing of recordings is for them.
    refused: Option<Reason>,
    pace: Pace,
    /// What is to go has to wait for its turn.
    waits: bool,
    read: Bucket,
    /// Of what is done, and of what is refused.
    done: Bucket,
    refusals: Bucket,
    state: Option<Now>,
    /// They began one by the button, and were not told of an end.
    pressed: bool,
}

/// Serves the channel until it closes.
pub(super) async fn serve(
    channel: Arc<dyn DataChannel>,
    shared: Arc<Peers>,
    guest: Option<Arc<Guest>>,
) {
    let recordings = shared.recordings.clone();
    // Only who was invited to it: an open camera shows what is before it, not what was.
    let may = |right| guest.as_ref().is_some_and(|guest| guest.may.has(right));
    let (state, refused) = match (may(Right::Recordings), recordings.state()) {
        (true, Some(state)) => (Some(state), None),
        (true, None) => (None, Some(NONE)),
        (false, _) => (None, Some(NOT_INVITED)),
    };
    let now = Instant::now();
    let together = guest.is_none().then(|| shared.strangers_files.clone());
    let mut files = Files {
        channel,
        recordings,
        may_delete: may(Right::Control),
        outgoing: Outbox::default(),
        waiting: VecDeque::new(),
        part: None,
        moved: now,
        stills: Stills::new(shared.hub.clone(), shared.still.clone(), now),
        refused,
        pace: Pace::new(together, now),
        waits: false,
        read: Bucket::full(READ, now),
        done: Bucket::full(LISTENED, now),
        refusals: Bucket::full(LISTENED, now),
        state,
        pressed: false,
    };
    files.tell_state();
    if let Err(error) = files.run().await {
        debug!(%error, "the viewer's channel for files takes nothing");
    }
    // Read to its end: what is not read would be kept.
    let _ = files.channel.close().await;
    while files.channel.poll().await.is_some() {}
}

impl Files {
    async fn run(&mut self) -> Result<(), Error> {
        loop {
            let is_idle =
                self.part.is_none() && self.outgoing.is_empty() && !self.stills.is_coming();
            let is_next = is_idle && !self.waiting.is_empty();
            if is_next
                && self.done.take(1.0, Instant::now())
                && let Some(asked) = self.waiting.pop_front()
            {
                self.obey(asked).await;
                continue;
            }
            let changed = async {
                match &mut self.state {
                    Some(state) => state.changed().await,
                    None => std::future::pending().await,
                }
            };
            let has_work = self.part.is_some() || !self.outgoing.is_empty();
            let is_paced = self.part.is_some() && self.outgoing.is_part_next();
            let now = Instant::now();
            // Who waits for their turn has let go of nothing.
            if !has_work || std::mem::take(&mut self.waits) {
                self.moved = now;
            }
            let next = self.done.due(1.0);
            let mut due = None;
            if is_paced && let Err(at) = self.pace.ask(CHUNK as f64, now) {
                due = Some(at);
                self.waits = true;
            }
            let stalled = self.moved.max(due.unwrap_or(self.moved)) + STALLED;
            let room = async {
                match due {
                    // Then it is asked again: others may have been before.
                    Some(at) => {
                        tokio::time::sleep_until(at.into()).await;
                        Ok(false)
                    }
                    None => self.channel.writable().await.map(|()| true),
                }
            };
            tokio::select! {
                event = self.channel.poll() => match event {
                    None | Some(DataChannelEvent::OnClosing | DataChannelEvent::OnClose) => {
                        return Ok(());
                    }
                    Some(DataChannelEvent::OnMessage(message)) => {
                        self.heard(&message.data);
                    }
                    Some(_) => {}
                },
                picture = self.stills.next() => self.took(picture),
                () = tokio::time::sleep_until(next.into()), if is_next => {}
                is_there = changed => {
                    if !is_there {
                        debug!("nothing is recorded any more; the channel for files closes");
                        return Ok(());
                    }
                    self.tell_state();
                }
                room = room, if has_work => {
                    if room? {
                        self.moved = Instant::now();
                        self.send().await?;
                    }
                }
                () = tokio::time::sleep_until(stalled.into()), if has_work => {
                    debug!("the viewer's channel for files takes nothing");
                    return Ok(());
                }
            }
        }
    }

    fn tell_state(&mut self) {
        if let Some(Now {
            why,
            list,
            has_button,
            trouble,
            ..
        }) = &mut self.state
        {
            list.mark_unchanged();
            let now = *why.borrow_and_update();
            let trouble = trouble.borrow_and_update().clone();
            let text = messages::recording(now, *has_button, self.may_delete);
            self.say(text);
            if let Some(trouble) = trouble.filter(|_| std::mem::take(&mut self.pressed)) {
                self.refuse("record", &failing(&trouble), None);
            }
        }
    }

    /// Who does not read is told no more.
    fn say(&mut self, text: String) {
        if self.outgoing.len() < 2 * QUEUE {
            self.outgoing.say(text);
        }
    }

    /// Has a part sent behind the text that says so.
    fn hand_over(&mut self, text: String, part: Option<Part>) {
        self.outgoing.announce(text);
        self.part = part;
    }

    fn refuse(&mut self, about: &str, reason: &Reason, id: Option<Id>) {
        self.say(messages::error(about, reason, id));
    }

    /// Whatever is asked for has an answer, but in a flood.
    fn heard(&mut self, message: &[u8]) {
        let now = Instant::now();
        if !self.read.take(1.0, now) {
            return;
        }
        match messages::parse(message) {
            Ok(asked) if self.waiting.len() < QUEUE => self.waiting.push_back(asked),
            Ok(asked) if self.refusals.take(1.0, now) => {
                self.refuse(asked.about(), &BUSY, asked.id());
            }
            Err(error) if self.refusals.take(1.0, now) => {
                if let Some(about) = error.about() {
                    let reason = Reason::new(Code::BadMessage, error.to_string());
                    self.refuse(about, &reason, None);
                }
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn took(&mut self, picture: Result<Bytes, Reason>) {
        match picture {
            Ok(bytes) => {
                let text = messages::picture(bytes.len());
                self.hand_over(text, Part::of(bytes));
            }
            Err(reason) => self.refuse("picture", &reason, None),
        }
    }

    async fn obey(&mut self, asked: Asked) {
        if let Some(reason) = self.refused.clone().filter(|_| asked != Asked::Picture) {
            return self.refuse(asked.about(), &reason, asked.id());
        }
        match asked {
            Asked::List { before } => {
                let (page, more) = self.recordings.page(before, MOST_LISTED);
                self.say(messages::list(before, &page, more));
            }
            Asked::Get { id, from, length } => match self.open(id, from, length).await {
                Ok((part, size)) => {
                    self.hand_over(messages::part(id, from, part.left, size), Some(part));
                }
                Err(error) => self.refuse("get", &reason(&error), Some(id)),
            },
            Asked::Thumbnail { id } => match self.recordings.thumbnail(id).await {
                Ok(jpeg) => {
                    let text = messages::thumbnail(id, jpeg.len());
                    self.hand_over(text, Part::of(jpeg.into()));
                }
                Err(error) => self.refuse("thumbnail", &reason(&error), Some(id)),
            },
            Asked::Delete { id } if !self.may_delete => {
                self.refuse("delete", &NOT_TO_DELETE, Some(id));
            }
            Asked::Delete { id } => match self.recordings.delete(id).await {
                Ok(()) => self.say(messages::deleted(id)),
                Err(error) => self.refuse("delete", &reason(&error), Some(id)),
            },
            Asked::Picture => {
                if let Err(reason) = self.stills.ask(Instant::now()) {
                    self.refuse("picture", &reason, None);
                }
            }
            Asked::Record { on } => {
                let reason = match self.recordings.press(on, Instant::now()) {
                    Ok(()) => {
                        self.pressed = on;
                        return;
                    }
                    Err(NotPressed::NoButton) => NO_BUTTON,
                    Err(NotPressed::TooOften) => TOO_OFTEN,
                    Err(NotPressed::Private) => PRIVATE,
                    Err(NotPressed::Failing(trouble)) => failing(&trouble),
                };
                self.refuse("record", &reason, None);
            }
        }
    }

    async fn open(&mut self, id: Id, from: u64, length: u64) -> io::Result<(Part, u64)> {
        let file = self.recordings.open(id).await?;
        let size = file.metadata()?.len();
        let part = Part {
            of: Of::File(id, Arc::new(file)),
            at: from,
            left: length.min(size.saturating_sub(from)),
        };
        Ok((part, size))
    }

    /// Sends one message, for which there is room.
    async fn send(&mut self) -> Result<(), Error> {
        if let Some(text) = self.outgoing.next(self.part.is_some()) {
            return self.channel.send_text(&text).await;
        }
        let Some(part) = &mut self.part else {
            return Ok(());
        };
        let length = part.left.min(CHUNK);
        if length > 0 {
            let at = part.at;
            let read = match &part.of {
                Of::Picture(bytes) => {
                    let (at, length) = (at as usize, length as usize);
                    Ok(BytesMut::from(&bytes[at..at + length]))
                }
                Of::File(id, file) => read(file.clone(), at, length)
                    .await
                    .map_err(|error| (*id, error)),
            };
            match read {
                Ok(bytes) => {
                    (part.at, part.left) = (at + length, part.left - length);
                    self.pace.sent(length as f64);
                    self.channel.send(bytes).await?;
                }
                Err((id, error)) => {
                    self.part = None;
                    self.refuse("get", &reason(&error), Some(id));
                    return Ok(());
                }
            }
        }
        if self.part.as_ref().is_some_and(|part| part.left == 0) {
            self.part = None;
        }
        Ok(())
    }
}

async fn read(file: Arc<File>, at: u64, length: u64) -> io::Result<BytesMut> {
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = BytesMut::zeroed(usize::try_from(length).unwrap_or_default());
        file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    });
    read.await
        .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}

fn reason(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => GONE,
        io::ErrorKind::ResourceBusy => WRITING,
        _ => failing(&error.to_string()),
    }
}

/// The camera's disk refuses.
fn failing(why: &str) -> Reason {
    let text = format!("the camera's disk does not do it: {why}");
    Reason::new(Code::RecordingFailed, text)
}
